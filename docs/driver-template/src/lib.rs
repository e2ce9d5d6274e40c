//! A driver for QEMU's `edu` device, as an example of one kept outside Pollux's tree.
//!
//! The device computes factorials and copies memory, and raises its interrupt when done. Source:
//! QEMU, `docs/specs/edu.rst` (registers below 0x80 are 32 bits wide, those from there on may be
//! 64).
#![no_std]
#![forbid(unsafe_code)]

use hal::dma::{AddressLimit, Direction, DmaBuf, DmaDomain, DmaError};
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, Register};

const IDENTITY: Register<u32> = Register::at(0x00);
const LIVENESS: Register<u32> = Register::at(0x04);
const FACTORIAL: Register<u32> = Register::at(0x08);
const STATUS: Register<u32> = Register::at(0x20);
const RAISED: Register<u32> = Register::at(0x24);
const ACKNOWLEDGE: Register<u32> = Register::at(0x64);
const DMA_SOURCE: Register<u64> = Register::at(0x80);
const DMA_DESTINATION: Register<u64> = Register::at(0x88);
const DMA_COUNT: Register<u64> = Register::at(0x90);
const DMA_COMMAND: Register<u64> = Register::at(0x98);

const INTERRUPT_WHEN_COMPUTED: u32 = 0x80;
const COMPUTED: u32 = 0x001;
const COPIED: u32 = 0x100;
const DMA_RUN: u64 = 0x1;
const DMA_TO_MEMORY: u64 = 0x2;
const DMA_INTERRUPT: u64 = 0x4;

/// Where the device's own 4 KiB of memory lie, as its DMA engine sees them.
const OWN_MEMORY: u64 = 0x4_0000;
/// How long they are.
pub const OWN_MEMORY_BYTES: usize = 4096;

/// Why the device did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum EduError {
    /// Something else is there, or nothing. Leave it alone.
    #[error("this is no edu device")]
    NotEdu,
    /// It stopped answering. Give it up.
    #[error("the device is gone")]
    Gone,
    /// It holds no more than [`OWN_MEMORY_BYTES`].
    #[error("more bytes than the device holds")]
    TooLong,
    /// See [`DmaError`].
    #[error("{0}")]
    Dma(#[from] DmaError),
}

/// A device that was found and is ready.
pub struct Edu {
    registers: DeviceRegion,
    interrupt: Interrupt,
    dma: DmaDomain,
}

impl Edu {
    /// Looks whether an `edu` device is there and makes it ready.
    pub fn probe(
        registers: DeviceRegion,
        mut interrupt: Interrupt,
        dma: &DmaDomain,
    ) -> Result<Self, EduError> {
        if registers.read(IDENTITY) & 0xff != 0xed {
            return Err(EduError::NotEdu);
        }
        registers.write(LIVENESS, 0x1234_5678);
        if registers.read(LIVENESS) != !0x1234_5678 {
            return Err(EduError::NotEdu);
        }
        registers.write(STATUS, INTERRUPT_WHEN_COMPUTED);
        interrupt.unmask();
        // The device drives 28 address lines.
        Ok(Self { registers, interrupt, dma: dma.limited(AddressLimit::bits(28)) })
    }

    /// `number!`, modulo 2^32.
    pub async fn factorial(&mut self, number: u32) -> Result<u32, EduError> {
        self.registers.write(FACTORIAL, number);
        self.done(COMPUTED).await?;
        Ok(self.registers.read(FACTORIAL))
    }

    /// Copies `data` into the device and out again.
    pub async fn echo(&mut self, data: &[u8]) -> Result<DmaBuf, EduError> {
        if data.len() > OWN_MEMORY_BYTES {
            return Err(EduError::TooLong);
        }
        let mut buffer = self.dma.buffer(data.len())?;
        buffer.copy_from_slice(data);
        let buffer = self.copy(buffer, Direction::ToDevice).await?;
        self.copy(buffer, Direction::FromDevice).await
    }

    async fn copy(&mut self, buffer: DmaBuf, direction: Direction) -> Result<DmaBuf, EduError> {
        // A copy whose future was dropped may still be running, or have left its interrupt.
        while self.registers.read(DMA_COMMAND) & DMA_RUN != 0 {
            self.done(COPIED).await?;
        }
        self.registers.write(ACKNOWLEDGE, COPIED);
        // While it is lent the buffer cannot be touched. If this future is dropped, or fails, it is
        // leaked: the device may be at it.
        let loan = buffer.lend(direction);
        let memory = loan.address().0;
        let (from, to, command) = match direction {
            Direction::ToDevice => (memory, OWN_MEMORY, 0),
            _ => (OWN_MEMORY, memory, DMA_TO_MEMORY),
        };
        self.registers.write(DMA_SOURCE, from);
        self.registers.write(DMA_DESTINATION, to);
        self.registers.write(DMA_COUNT, loan.bytes() as u64);
        self.registers.write(DMA_COMMAND, command | DMA_RUN | DMA_INTERRUPT);
        self.done(COPIED).await?;
        Ok(loan.reclaim())
    }

    /// Waits until the device says that it has done `what`.
    async fn done(&mut self, what: u32) -> Result<(), EduError> {
        loop {
            let raised = self.registers.read(RAISED);
            if raised == u32::MAX {
                return Err(EduError::Gone);
            }
            if raised & what != 0 {
                self.registers.write(ACKNOWLEDGE, what);
                return Ok(());
            }
            self.interrupt.wait().await;
        }
    }
}
