//! Console input: the receiving side of a 16550 UART.
//!
//! The early console sends (and initialises the line: speed, format, FIFOs); this driver receives.
//! It sleeps until the UART raises its interrupt, takes what has arrived and passes it on through a
//! bounded queue. When the reader falls behind, bytes stay in the UART, and what overruns there is
//! counted and reported.
//!
//! ISA interrupts are edge-triggered: a UART that still wants attention raises no new edge. So the
//! driver waits only after the UART itself has said that nothing is pending.
//!
//! Source: National Semiconductor PC16550D data sheet, section 8 (registers).

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use executor::sync::mpsc::Sender;
use executor::yield_now;
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, Register};

/// Received byte (read); byte to send (write, not ours).
const RECEIVE: Register<u8> = Register::at(0);
const INTERRUPT_ENABLE: Register<u8> = Register::at(1);
const INTERRUPT_IDENTIFICATION: Register<u8> = Register::at(2);
const MODEM_CONTROL: Register<u8> = Register::at(4);
const LINE_STATUS: Register<u8> = Register::at(5);
const SCRATCH: Register<u8> = Register::at(7);

/// Interrupt enable: a byte has been received.
const RECEIVED: u8 = 1 << 0;
/// Interrupt identification: nothing is pending.
const NOTHING_PENDING: u8 = 1 << 0;
/// Modem control: on a PC, OUT2 connects the interrupt line.
const INTERRUPT_LINE: u8 = 1 << 3;

/// Line status: a byte can be read.
const DATA_READY: u8 = 1 << 0;
/// Line status: bytes were lost in the UART.
const OVERRUN: u8 = 1 << 1;
/// Line status: this byte is no byte (parity, framing, break).
const BROKEN: u8 = 1 << 2 | 1 << 3 | 1 << 4;

/// How many bytes are taken before other tasks get a turn.
const BATCH: usize = 64;
/// How often in a row the UART may claim to want something and have nothing.
const PATIENCE: u32 = 1000;

/// Bytes of registers a 16550 has.
pub const REGISTER_BYTES: usize = 8;

/// Why there is no input from a serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum SerialError {
    /// There is no UART at this place. Use another console.
    #[error("no 16550 UART answers")]
    NotPresent,
    /// It has stopped answering: a hot-pluggable card, or a virtual machine's port. Start anew if
    /// it comes back.
    #[error("the UART has gone")]
    Gone,
    /// It asks for attention without end and has nothing. Do without it.
    #[error("the UART's interrupt is stuck")]
    Stuck,
}

/// Receives from the UART behind `registers` into `input`. Ends when a byte arrives and nobody
/// holds the other end any more.
///
/// `name` is for the log. The future may be dropped at any time; the UART's interrupts are then
/// off.
pub async fn receive(
    name: &'static str,
    registers: DeviceRegion,
    mut interrupt: Interrupt,
    input: Sender<u8>,
) -> Result<(), SerialError> {
    let uart = Uart::start(registers)?;
    interrupt.unmask();
    let mut lost = Lost { name, overruns: 0, broken: 0 };
    let mut in_vain = 0;
    loop {
        let mut taken = 0;
        while taken < BATCH {
            let Some(arrived) = uart.take()? else { break };
            taken += 1;
            match arrived {
                Arrived { byte: Some(byte), overrun } => {
                    lost.count(overrun, Intact::Yes);
                    if input.send(byte).await.is_err() {
                        return Ok(());
                    }
                }
                Arrived { byte: None, overrun } => lost.count(overrun, Intact::No),
            }
        }
        if taken == BATCH {
            yield_now().await;
        } else if uart.is_quiet()? {
            in_vain = 0;
            interrupt.wait().await;
        } else {
            in_vain = if taken == 0 { in_vain + 1 } else { 0 };
            if in_vain > PATIENCE {
                return Err(SerialError::Stuck);
            }
            yield_now().await;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Intact {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overrun {
    Yes,
    No,
}

struct Arrived {
    /// `None`: what arrived was no byte.
    byte: Option<u8>,
    overrun: Overrun,
}

/// The UART, raising interrupts as long as this lives.
struct Uart {
    registers: DeviceRegion,
}

impl Uart {
    fn start(registers: DeviceRegion) -> Result<Self, SerialError> {
        // The scratch register exists for asking whether anybody is there.
        for pattern in [0x5a, 0xa5] {
            registers.write(SCRATCH, pattern);
            if registers.read(SCRATCH) != pattern {
                return Err(SerialError::NotPresent);
            }
        }
        registers.modify(MODEM_CONTROL, |control| control | INTERRUPT_LINE);
        registers.write(INTERRUPT_ENABLE, RECEIVED);
        Ok(Self { registers })
    }

    fn take(&self) -> Result<Option<Arrived>, SerialError> {
        let status = self.registers.read(LINE_STATUS);
        if status == u8::MAX {
            return Err(SerialError::Gone);
        }
        if status & DATA_READY == 0 {
            return Ok(None);
        }
        let byte = self.registers.read(RECEIVE);
        Ok(Some(Arrived {
            byte: (status & BROKEN == 0).then_some(byte),
            overrun: if status & OVERRUN == 0 { Overrun::No } else { Overrun::Yes },
        }))
    }

    /// Whether the next byte will raise an edge.
    fn is_quiet(&self) -> Result<bool, SerialError> {
        match self.registers.read(INTERRUPT_IDENTIFICATION) {
            u8::MAX => Err(SerialError::Gone),
            pending => Ok(pending & NOTHING_PENDING != 0),
        }
    }
}

impl Drop for Uart {
    fn drop(&mut self) {
        self.registers.write(INTERRUPT_ENABLE, 0);
    }
}

/// What never reached the reader.
struct Lost {
    name: &'static str,
    overruns: u32,
    broken: u32,
}

impl Lost {
    fn count(&mut self, overrun: Overrun, intact: Intact) {
        if overrun == Overrun::Yes {
            self.overruns = self.overruns.saturating_add(1);
        }
        if intact == Intact::No {
            self.broken = self.broken.saturating_add(1);
        }
        let events = self.overruns.saturating_add(self.broken);
        // 1, 2, 4, 8, … so that a bad line does not fill the log.
        if (overrun, intact) != (Overrun::No, Intact::Yes) && events.is_power_of_two() {
            log::warn!(
                "{}: input lost: {} overruns, {} bytes broken on the line",
                self.name,
                self.overruns,
                self.broken
            );
        }
    }
}
