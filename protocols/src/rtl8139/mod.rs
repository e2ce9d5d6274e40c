//! RTL8139: what a driver exchanges with Realtek's Fast Ethernet controllers, in the mode that all
//! of them have (C mode: one receive buffer, four transmit descriptors).
//!
//! | file | what |
//! |---|---|
//! | `registers` | where the registers are, and what their bits say |
//! | `receive` | the receive buffer: headers of frames, and where the next one is |
//! | `transmit` | the transmit descriptors: telling, and what became of frames |
//! | `multicast` | which groups are let through |
//!
//! Source: Realtek, RTL8139C(L) data sheet, rev. 1.4 (sections are of that one).

mod multicast;
mod receive;
mod registers;
mod transmit;

pub use self::multicast::GroupFilter;
pub use self::receive::{
    Arrival, BUFFER_BYTES, BUFFER_SPARE_BYTES, CHECK_BYTES, HEADER_BYTES, HeaderError,
    LONGEST_FRAME, ReadPlace,
};
pub use self::registers::{
    Causes, Command, MediaStatus, RECEIVE_CONFIG, RECEIVE_CONFIG_CHECKED, TRANSMIT_CONFIG,
    WAKE_CLOCK, offset,
};
pub use self::transmit::{
    DESCRIPTORS, Fate, LONGEST_TRANSMIT, Summary, Threshold, send_command, shortest_transmit,
};

/// PCI vendor and device of controllers of this kind, under their makers' and resellers' names.
pub const PCI_IDS: &[(u16, u16)] = &[
    (0x10ec, 0x8139),
    (0x10ec, 0x8138),
    (0x1113, 0x1211),
    (0x1186, 0x1300),
    (0x1186, 0x1340),
    (0x1259, 0xa117),
    (0x1259, 0xa11e),
    (0x13d1, 0xab06),
    (0x1500, 0x1360),
    (0x4033, 0x1360),
];

/// How many bytes of registers there are.
pub const REGISTER_BYTES: usize = 0x100;
