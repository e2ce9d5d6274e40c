//! The power management capability (PCI Bus Power Management 1.2, 3.2).

/// The control and status register's place behind the capability's start (16 bits).
pub const CONTROL: u16 = 4;
/// In it: the state, 0 (D0, on) to 3 (D3hot).
pub const STATE: u16 = 0b11;
/// In it: coming back from D3hot leaves the function as it was.
pub const NO_SOFT_RESET: u16 = 1 << 3;
