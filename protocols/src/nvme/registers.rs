//! The controller's registers (NVMe 1.4, section 3.1).

/// Offsets of the registers in bytes.
pub mod offset {
    /// Capabilities, 64 bits.
    pub const CAP: usize = 0x00;
    /// Version, 32 bits.
    pub const VS: usize = 0x08;
    /// Interrupt mask set, 32 bits.
    pub const INTMS: usize = 0x0c;
    /// Configuration, 32 bits.
    pub const CC: usize = 0x14;
    /// Status, 32 bits.
    pub const CSTS: usize = 0x1c;
    /// Admin queue attributes, 32 bits.
    pub const AQA: usize = 0x24;
    /// Admin submission queue, 64 bits.
    pub const ASQ: usize = 0x28;
    /// Admin completion queue, 64 bits.
    pub const ACQ: usize = 0x30;
    /// The doorbells begin here.
    pub const DOORBELLS: usize = 0x1000;
}

/// What the controller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Most entries of an I/O queue; at least 1, at most 65,536.
    pub const fn max_entries(self) -> u32 {
        (self.0 & 0xffff) as u32 + 1
    }

    /// Longest time from a change of the enable bit to that of the ready bit, in milliseconds.
    pub const fn timeout_ms(self) -> u64 {
        // Zero means less than one unit.
        let units = self.0 >> 24 & 0xff;
        (if units == 0 { 1 } else { units }) * 500
    }

    /// Bytes from one doorbell to the next.
    pub const fn doorbell_stride(self) -> usize {
        4 << (self.0 >> 32 & 0xf)
    }

    /// Whether it speaks the NVM command set.
    pub const fn has_nvm_commands(self) -> bool {
        self.0 >> 37 & 1 == 1
    }

    /// Smallest memory page it takes, in bytes.
    pub const fn min_page_bytes(self) -> u64 {
        4096 << (self.0 >> 48 & 0xf)
    }
}

/// The version of the specification it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.0 >> 16, self.0 >> 8 & 0xff, self.0 & 0xff)
    }
}

/// The configuration register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration(pub u32);

impl Configuration {
    /// Not enabled.
    pub const DISABLED: Self = Self(0);
    /// Enabled, for the NVM command set, round-robin arbitration, pages of 4 KiB, submission
    /// entries of 64 and completion entries of 16 bytes.
    pub const ENABLED: Self = Self(1 | 6 << 16 | 4 << 20);
    const SHUTDOWN: u32 = 0b11 << 14;

    /// Whether the enable bit is set.
    pub const fn is_enabled(self) -> bool {
        self.0 & 1 == 1
    }

    /// The same, with the notice that power is going to be switched off in an orderly way.
    #[must_use]
    pub const fn shutting_down(self) -> Self {
        Self(self.0 & !Self::SHUTDOWN | 1 << 14)
    }

    /// The same, disabled.
    #[must_use]
    pub const fn disabled(self) -> Self {
        Self(self.0 & !1 & !Self::SHUTDOWN)
    }
}

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownStatus {
    /// None was asked for.
    Normal,
    /// Under way.
    Occurring,
    /// Done: power may go.
    Complete,
    /// A value the specification reserves.
    Reserved,
}

/// The status register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerStatus(pub u32);

impl ControllerStatus {
    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// Whether it takes commands.
    pub const fn is_ready(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether it has failed for good: only a reset helps.
    pub const fn is_fatal(self) -> bool {
        self.0 >> 1 & 1 == 1
    }

    /// How far a shutdown has come.
    pub const fn shutdown(self) -> ShutdownStatus {
        match self.0 >> 2 & 0b11 {
            0 => ShutdownStatus::Normal,
            1 => ShutdownStatus::Occurring,
            2 => ShutdownStatus::Complete,
            _ => ShutdownStatus::Reserved,
        }
    }
}

/// Which doorbell of a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueDoorbell {
    /// The submission queue's tail.
    SubmissionTail,
    /// The completion queue's head.
    CompletionHead,
}

/// The offset of a doorbell of queue pair `queue` (0: admin), `stride` bytes apart.
pub const fn doorbell(queue: u16, which: QueueDoorbell, stride: usize) -> usize {
    let index = 2 * queue as usize
        + match which {
            QueueDoorbell::SubmissionTail => 0,
            QueueDoorbell::CompletionHead => 1,
        };
    offset::DOORBELLS + index * stride
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn registers_of_qemus_controller() {
        let capabilities = Capabilities(0x0040_0020_0f01_07ff | 1 << 37);
        assert_eq!(capabilities.max_entries(), 2048);
        assert_eq!(capabilities.timeout_ms(), 7500);
        assert_eq!(capabilities.doorbell_stride(), 4);
        assert_eq!(capabilities.min_page_bytes(), 4096);
        assert!(capabilities.has_nvm_commands());
        assert_eq!(Version(0x0001_0400).to_string(), "1.4.0");
        assert_eq!(Configuration::ENABLED.0, 0x0046_0001);
        let closing = Configuration::ENABLED.shutting_down();
        assert_eq!(closing.0, 0x0046_4001);
        assert_eq!(closing.disabled().0, 0x0046_0000);
        assert_eq!(doorbell(0, QueueDoorbell::CompletionHead, 4), 0x1004);
        assert_eq!(doorbell(1, QueueDoorbell::SubmissionTail, 8), 0x1010);
    }

    proptest! {
        #[test]
        fn any_value_is_within_bounds(raw: u64, status: u32) {
            let capabilities = Capabilities(raw);
            prop_assert!((1..=65_536).contains(&capabilities.max_entries()));
            prop_assert!((500..=127_500).contains(&capabilities.timeout_ms()));
            prop_assert!(capabilities.doorbell_stride().is_power_of_two());
            prop_assert!(capabilities.min_page_bytes() <= 4096 << 15);
            let _ = ControllerStatus(status).shutdown();
        }
    }
}
