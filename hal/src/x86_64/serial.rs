//! The two serial ports: COM1 for people, COM2 (where there is one) for machine-readable lines.
//!
//! Works before anything else does. Sending is bounded: a UART whose transmitter does not drain is
//! waited for once, then called stalled, and bytes for it are dropped until it drains by itself.
//! Receiving is polled ([`receive`]); [`enable_receive_interrupt`] makes the port raise its ISA
//! interrupt ([`Port::irq`]) when bytes wait, so that a task can await them.
//!
//! Source: the 16550D data sheet, through the `uart_16550` crate.

use core::fmt;

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
use uart_16550::{BaudRate, Config, Uart16550};

use crate::lock::{InterruptLock, InterruptLockGuard};

/// A serial port of the PC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// 0x3f8, IRQ 4: the human console.
    Com1,
    /// 0x2f8, IRQ 3: lines for a program at the other end.
    Com2,
}

impl Port {
    /// First of the port's eight I/O ports.
    pub const fn base(self) -> u16 {
        match self {
            Self::Com1 => 0x3f8,
            Self::Com2 => 0x2f8,
        }
    }
    /// ISA interrupt line.
    pub const fn irq(self) -> u8 {
        match self {
            Self::Com1 => 4,
            Self::Com2 => 3,
        }
    }
    fn cell(self) -> &'static InterruptLock<Transceiver> {
        match self {
            Self::Com1 => &COM1,
            Self::Com2 => &COM2,
        }
    }
}

/// How often a full transmitter is looked at before it is called stalled: at about 1 us a look,
/// over ten times what 16 bytes take at 115,200 baud.
const DRAIN_LOOKS: u32 = 20_000;
/// Line status register, from the base port; bit 6: shift register and FIFO empty.
const LINE_STATUS: u16 = 5;
const TRANSMITTER_EMPTY: u8 = 1 << 6;
/// Attempts at a port's lock from a panic.
const PANIC_ATTEMPTS: u32 = 1_000_000;

static COM1: InterruptLock<Transceiver> = InterruptLock::new(Transceiver::new());
static COM2: InterruptLock<Transceiver> = InterruptLock::new(Transceiver::new());

struct Transceiver {
    uart: Option<Uart16550<PioBackend>>,
    stalled: bool,
    dropped_bytes: u64,
}

impl Transceiver {
    const fn new() -> Self {
        Self { uart: None, stalled: false, dropped_bytes: 0 }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        let Some(uart) = &mut self.uart else { return };
        while !bytes.is_empty() {
            let mut looks = if self.stalled { 1 } else { DRAIN_LOOKS };
            let sent = loop {
                let sent = uart.send_bytes(bytes);
                looks -= 1;
                if sent > 0 || looks == 0 {
                    break sent;
                }
                core::hint::spin_loop();
            };
            self.stalled = sent == 0;
            if self.stalled {
                self.dropped_bytes += bytes.len() as u64;
                return;
            }
            bytes = &bytes[sent..];
        }
    }

    /// Sends text, each line feed as carriage return and line feed.
    fn send_text(&mut self, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.send(b"\r\n");
            }
            self.send(line.as_bytes());
        }
    }
}

/// Sets up a port at 115,200 baud, 8N1. Returns whether one answers there and works.
pub fn init(port: Port) -> bool {
    let mut cell = port.cell().lock();
    cell.uart = detect(port.base());
    cell.stalled = false;
    cell.uart.is_some()
}

fn detect(base: u16) -> Option<Uart16550<PioBackend>> {
    // SAFETY: the ports of COM1 and COM2 are the PC's own; nothing else in the kernel uses them,
    // and where there is no UART, reads give 0xff and writes go nowhere.
    let mut uart = unsafe { Uart16550::new_port(base) }.ok()?;
    if !uart.check_present() || !transmitter_drains(base) {
        return None;
    }
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        // A shell wants each key as it is pressed.
        fifo_trigger_level: Some(FifoTriggerLevel::One),
        ..Config::DEFAULT
    };
    uart.init(config.clone()).ok()?;
    uart.test_loopback().ok()?;
    // The loop-back test leaves the FIFOs otherwise than they were.
    uart.init(config).ok()?;
    Some(uart)
}

/// Waits, with a bound, for what firmware left in the transmitter; the crate's own wait has none.
fn transmitter_drains(base: u16) -> bool {
    let mut status = ::x86_64::instructions::port::PortReadOnly::<u8>::new(base + LINE_STATUS);
    (0..DRAIN_LOOKS * 10).any(|_| {
        // SAFETY: reading a UART's line status clears error flags only, which nobody has use for
        // yet.
        unsafe { status.read() & TRANSMITTER_EMPTY != 0 }
    })
}

/// Whether [`init`] found the port.
pub fn is_present(port: Port) -> bool {
    port.cell().lock().uart.is_some()
}

/// Sends bytes as they are. Bounded; drops what a stalled UART does not take.
pub fn send(port: Port, bytes: &[u8]) {
    port.cell().lock().send(bytes);
}

/// Takes up to `buffer.len()` received bytes; returns how many. Never waits.
pub fn receive(port: Port, buffer: &mut [u8]) -> usize {
    port.cell().lock().uart.as_mut().map_or(0, |uart| uart.receive_bytes(buffer))
}

/// Makes the port raise [`Port::irq`] when a byte has come. Reading all of them ends the interrupt.
pub fn enable_receive_interrupt(port: Port) {
    if let Some(uart) = &mut port.cell().lock().uart {
        uart.enable_interrupts(IER::DATA_READY);
    }
}

/// Ends what [`enable_receive_interrupt`] began.
pub fn disable_receive_interrupt(port: Port) {
    if let Some(uart) = &mut port.cell().lock().uart {
        uart.disable_interrupts(IER::DATA_READY);
    }
}

/// Bytes that were dropped because the transmitter stood still.
pub fn dropped_bytes(port: Port) -> u64 {
    port.cell().lock().dropped_bytes
}

/// `core::fmt::Write` on a port, which is held for as long as the writer lives: one line, one
/// writer.
pub struct Writer(InterruptLockGuard<'static, Transceiver>);

/// A writer on `port`. Line feeds become carriage return and line feed.
pub fn writer(port: Port) -> Writer {
    Writer(port.cell().lock())
}

/// A writer for a panic: `None` if the port's lock does not come free in a bounded time.
pub fn panic_writer(port: Port) -> Option<Writer> {
    port.cell().try_lock_for(PANIC_ATTEMPTS).map(Writer)
}

/// A writer on a port whoever holds it.
///
/// # Safety
/// As for [`InterruptLock::lock_by_force`].
pub unsafe fn take_by_force(port: Port) -> Writer {
    // SAFETY: the caller vouches for the holder; a transceiver is usable whatever was interrupted.
    Writer(unsafe { port.cell().lock_by_force(PANIC_ATTEMPTS) })
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_text(text);
        Ok(())
    }
}
