//! Messages: six words and up to four capabilities, all in registers.
//!
//! | register | sending ([`Call`], [`Send`], [`Reply`], [`ReplyReceive`]) | receiving ([`Receive`], [`ReplyReceive`], end of [`Call`]) |
//! |---|---|---|
//! | `rax` | call number | zero, or a negated error |
//! | `rdi` | endpoint handle (`Reply`: unused) | [`Sender`]: who sent it, stamped by the kernel |
//! | `rsi` | [`Info`] | [`Info`] as sent |
//! | `rdx r10 r8 r9 r12 r13` | words 0-5 | words 0-5 |
//! | `r14` | handles 0 (low half) and 1 (high half) | the same, as slots of the receiver |
//! | `r15` | handles 2 and 3 | the same |
//!
//! `r14` and `r15` are read only if [`Info`] counts capabilities, and come back preserved if the
//! message received carries none. A capability in a message *moves*: it leaves the sender's table
//! when the message is delivered. If the receiver's table can't take all of them the sender gets
//! [`Error::LimitReached`] and keeps them. To an endpoint that takes words only
//! ([`super::Takes::Words`]) none can be sent: the sender gets [`Error::NotPermitted`] and keeps
//! them.
//!
//! [`Call`]: super::Syscall::Call
//! [`Send`]: super::Syscall::Send
//! [`Reply`]: super::Syscall::Reply
//! [`Receive`]: super::Syscall::Receive
//! [`ReplyReceive`]: super::Syscall::ReplyReceive
//! [`Error::LimitReached`]: super::Error::LimitReached

use super::Handle;

/// Words in a message.
pub const WORDS: usize = 6;
/// Most capabilities in a message.
pub const CAPABILITIES_MAX: usize = 4;

/// `rsi` of a message: a label of the sender's choosing in the low 32 bits, the number of
/// capabilities in bits 32-34, the rest zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Info(pub u64);

impl Info {
    /// `capabilities` beyond [`CAPABILITIES_MAX`] are refused by the kernel.
    pub const fn new(label: u32, capabilities: u8) -> Self {
        Self(label as u64 | (capabilities as u64) << 32)
    }

    /// What the sender calls this message.
    pub const fn label(self) -> u32 {
        self.0 as u32
    }

    /// How many capabilities travel with it.
    pub const fn capabilities(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Whether the reserved bits are zero and the count is in range.
    pub const fn is_valid(self) -> bool {
        self.0 >> 32 <= CAPABILITIES_MAX as u64
    }
}

/// Who sent a message: process id in the high half, thread id in the low. Zero is the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Sender(pub u64);

impl Sender {
    /// Stamp of a thread.
    pub const fn new(process: u32, thread: u32) -> Self {
        Self((process as u64) << 32 | thread as u64)
    }

    /// Id of the process.
    pub const fn process(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Id of the thread.
    pub const fn thread(self) -> u32 {
        self.0 as u32
    }
}

/// A message as a value; the register form is the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Label and number of capabilities.
    pub info: Info,
    /// The words.
    pub words: [u64; WORDS],
    /// Capabilities; the first `info.capabilities()` count.
    pub capabilities: [Handle; CAPABILITIES_MAX],
}

impl Message {
    /// A message without capabilities.
    pub const fn new(label: u32, words: [u64; WORDS]) -> Self {
        Self { info: Info::new(label, 0), words, capabilities: [Handle::NONE; CAPABILITIES_MAX] }
    }
}
