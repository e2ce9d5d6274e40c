//! AHCI: the formats a driver exchanges with a SATA host bus adapter (HBA).
//!
//! | file | what |
//! |---|---|
//! | `registers` | the HBA's own registers: capabilities, control, handing over from firmware |
//! | `port` | the registers of a port: command, status of the link, interrupts, errors |
//! | `command` | the list of commands, and each command's table of memory pieces |
//! | `fis` | frame information structures: what goes over the cable |
//! | `received` | where a port puts the frames that a device sends |
//!
//! What a disk is told inside of these is in [`ata`](crate::ata).
//!
//! Source: Serial ATA AHCI 1.3.1 (sections are of that one); Serial ATA 3.0 for the frames.

mod command;
mod fis;
#[cfg(test)]
mod fuzz;
mod port;
mod received;
mod registers;

pub use self::command::{
    COMMAND_BYTES, Header, PIECE_MOST, PRDT_OFFSET, Piece, Pieces, SLOTS, WRITES_DEVICE, merge,
};
pub use self::fis::{DmaSetup, Fis, FisError, PioSetup, Registers, SetDeviceBits, kind};
pub use self::port::{
    Detection, LinkControl, LinkStatus, PortCommand, PortInterrupts, Signature, TaskFile,
    port_offset,
};
pub use self::received::{RECEIVED_BYTES, place};
pub use self::registers::{
    Capabilities, Control, Handoff, PORT_BYTES, PORTS, PORTS_AT, Version, has_handoff, offset,
};

/// PCI class, subclass and programming interface of an AHCI HBA.
pub const PCI_CLASS: (u8, u8, u8) = (0x01, 0x06, 0x01);
/// The base address register that its registers are behind.
pub const BAR: u8 = 5;
