//! What the system calls on devices ([`super::Syscall::DeviceConfig`] and on) speak of.
//!
//! ```text
//!   masked ──Unmask──> unmasked ──the device interrupts──> bits are set in the notification
//!      ^                  │ ^                                      │ a line only
//!      └──────Mask────────┘ └──────────Rearm── silent until <──────┘
//! ```

/// Most interrupts of one function that are given to ring 3.
pub const INTERRUPTS_MAX: usize = 32;

/// Most pieces of memory that a function has at a time by [`super::Syscall::DeviceMemory`].
pub const PIECES_MAX: usize = 1024;

/// Bytes of configuration space that may be read: the header.
pub const CONFIG_BYTES: u64 = 64;

bitflags::bitflags! {
    /// What a function does on the bus.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u32 {
        /// It reaches memory, and interrupts by message.
        const BUS_MASTER = 1;
    }
}

macro_rules! codes {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $kind:ident = $code:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $kind = $code,)*
        }

        impl $name {
            /// The one of that number.
            pub const fn from_raw(raw: u64) -> Option<Self> {
                match raw {
                    $($code => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What is behind a base address register.
    Range {
        /// Registers that [`super::Syscall::DeviceMap`] maps.
        Memory = 1,
        /// I/O ports: not for ring 3 by this way.
        Ports = 2,
    }
}

codes! {
    /// How a function interrupts.
    InterruptKind {
        /// Not at all: poll it.
        None = 0,
        /// By a table of messages.
        MsiX = 1,
        /// By one message.
        Msi = 2,
        /// By a line that it shares: after each interrupt the line is silent, for its neighbours
        /// too, until [`InterruptAction::Rearm`].
        Line = 3,
    }
}

codes! {
    /// What to do with an interrupt.
    InterruptAction {
        /// No more until unmasked. One under way may still arrive.
        Mask = 0,
        /// Interrupts again.
        Unmask = 1,
        /// The device has been silenced: its line may interrupt again.
        Rearm = 2,
        /// The last one was this device's own, not a neighbour's on the line.
        Claim = 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_they_are_written() {
        for raw in 0..300 {
            assert_eq!(Range::from_raw(raw).map_or(raw, |found| found as u64), raw);
            assert_eq!(InterruptKind::from_raw(raw).map_or(raw, |found| found as u64), raw);
            assert_eq!(InterruptAction::from_raw(raw).map_or(raw, |found| found as u64), raw);
        }
        assert_eq!(Range::from_raw(0), None);
    }
}
