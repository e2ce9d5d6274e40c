//! What a correct driver and a correct device never do.

use std::fmt;
use std::string::String;

use crate::interrupt::Message;
use crate::mmio::Width;

/// Something that would have corrupted memory, or gone unnoticed, on a real machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A driver accessed a register outside its region or not aligned.
    StrayAccess {
        /// The device's name.
        device: &'static str,
        /// Bytes into its registers.
        offset: usize,
        /// How wide the access was.
        width: Width,
    },
    /// A device used memory in a way it was not allowed. Nothing was transferred.
    Dma {
        /// The device's name.
        device: &'static str,
        /// Where the transfer began.
        address: u64,
        /// How long it was.
        bytes: usize,
        /// What was wrong with it.
        fault: DmaFault,
    },
    /// A device sent an interrupt message that raises nobody's vector: one it was never told, or
    /// one that was masked and given back.
    StrayMessage {
        /// The device's name.
        device: &'static str,
        /// What it sent.
        message: Message,
    },
    /// A driver did not follow the script.
    Script {
        /// The device's name.
        device: &'static str,
        /// What was expected and what came.
        message: String,
    },
}

/// What was wrong with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaFault {
    /// No buffer is or was there: a wild address, or the guard between two buffers.
    Nowhere,
    /// It begins in a buffer and runs past its end.
    PastEnd,
    /// The memory was freed.
    Freed,
    /// The memory belongs to its driver: it was never lent, or was reclaimed.
    NotLent,
    /// The device wrote what it was lent for reading, or read what it was lent for writing.
    Direction,
    /// The device cannot put such an address on the bus.
    BeyondLimit,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::StrayAccess { device, offset, width } => {
                write!(formatter, "{device}: stray {width:?} access at {offset:#x}")
            }
            Violation::Dma { device, address, bytes, fault } => {
                write!(formatter, "{device}: DMA of {bytes} bytes at {address:#x}: {fault:?}")
            }
            Violation::StrayMessage { device, message: Message { address, data } } => {
                write!(formatter, "{device}: message {data:#x} to {address:#x} is nobody's")
            }
            Violation::Script { device, message } => write!(formatter, "{device}: {message}"),
        }
    }
}
