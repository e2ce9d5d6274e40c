//! Handles, the rights they carry and the kinds of objects behind them.

/// A slot of the calling process's capability table: index in the low 16 bits, the slot's
/// generation above. Dropping a capability advances the generation, so a stale handle fails instead
/// of naming whatever came to live in the slot (until the slot has been used 65,535 times more).
/// Zero is never a valid handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Handle(pub u32);

impl Handle {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Handle of slot `index` in its `generation` (which is never zero).
    pub const fn new(index: u16, generation: u16) -> Self {
        Self((generation as u32) << 16 | index as u32)
    }

    /// Slot in the table.
    pub const fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// Generation the slot must be in.
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

bitflags::bitflags! {
    /// What a capability allows. A derived capability never has more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        /// Endpoint: call and send. Notification: signal. Console, log: write. Memory: map
        /// for writing (with [`Rights::RECEIVE`]). Device: drive it.
        const SEND = 1;
        /// Endpoint: receive. Notification: wait. Process, thread: wait for its end. Memory: map for
        /// reading. Device: read what it is.
        const RECEIVE = 2;
        /// Process: kill. Memory that is a program: spawn. Device: drive.
        const CONTROL = 4;
        /// May be duplicated within its process.
        const DUPLICATE = 8;
        /// May be moved to another process, in a message or at spawn.
        const TRANSFER = 16;
    }
}

/// What a capability names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// Rendezvous for messages.
    Endpoint = 1,
    /// A word of bits to signal and wait for.
    Notification = 2,
    /// A process.
    Process = 3,
    /// A thread.
    Thread = 4,
    /// Text output, prefixed with the writer's name, on serial line and screen.
    Console = 5,
    /// The kernel's logs: takes lines of text and [`super::metric::Metric`]s, gives SysLog.
    Log = 6,
    /// Pages that processes map and devices use in place; or a boot module's, which are a program.
    Memory = 9,
    /// A PCI function: its registers, interrupt vectors and a window for DMA.
    Device = 10,
    /// A range of I/O ports.
    PortRange = 11,
}

impl ObjectKind {
    /// The kind of a number as found in [`super::start::StartHandle`].
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            1 => Self::Endpoint,
            2 => Self::Notification,
            3 => Self::Process,
            4 => Self::Thread,
            5 => Self::Console,
            6 => Self::Log,
            9 => Self::Memory,
            10 => Self::Device,
            11 => Self::PortRange,
            _ => return None,
        })
    }
}
