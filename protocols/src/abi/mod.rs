//! The system-call ABI, shared to the letter by the kernel and ring 3.
//!
//! # Calling convention
//!
//! `syscall`, with the number in `rax` and up to six arguments in `rdi rsi rdx r10 r8 r9`.
//! On return `rax` holds the result: zero or positive on success, a negated [`Error`] code
//! otherwise; `rdx` holds a second value where a call documents one. `rcx` and `r11` are
//! destroyed by the instruction itself. `rdi rsi r8 r9 r10` (and `rdx` where no second value is
//! documented) come back as zero, so the kernel leaks nothing through them. `rbx rbp rsp r12`-`r15`
//! and all FPU/SSE/AVX state are preserved, except by the message calls, which return a message
//! in registers (see [`message`]).
//!
//! Handles, exit codes, rights and core numbers are 32 bits: the upper half of their register is
//! ignored. Times are nanoseconds since boot; a deadline is absolute, [`FOREVER`] means none.
//! Lengths are bytes. Handles are per-process slots (see [`Handle`]); nothing has a global name.

pub mod device;
mod error;
mod handle;
mod held;
pub mod message;
pub mod metric;
mod number;
pub mod start;
pub mod syslog;

pub use error::{Error, decode, encode};
pub use handle::{Handle, ObjectKind, Rights};
pub use held::Held;
pub use number::{Syscall, Takes};

/// Version of this ABI; the kernel writes it to [`start::StartInfo::abi`] and a program refuses
/// another. Calls, kinds and tags that are only added leave it as it is; 2 has room for more
/// arguments and handles in [`start`]; 3 has limits in [`start::SpawnArgs`], and endpoints that say
/// what they take.
pub const ABI_VERSION: u32 = 3;

/// The deadline that never comes.
pub const FOREVER: u64 = u64::MAX;

/// Bytes in a page: the unit of [`Syscall::MemoryMap`] and friends.
pub const PAGE: usize = 4096;

/// First address a program may map or be linked at. Below lies a guard against null pointers.
pub const USER_START: u64 = 0x1_0000;

/// First address above user space. The last page below the canonical boundary is never mapped:
/// a `syscall` there would return to a non-canonical address.
pub const USER_END: u64 = 0x7fff_ffff_e000;

/// Most bytes one [`Syscall::ConsoleWrite`], [`Syscall::LogWrite`], [`Syscall::Random`],
/// [`Syscall::SysLogRead`] or [`Syscall::CapabilityList`] moves; longer requests are cut to this and
/// the count done is returned.
pub const TRANSFER_MAX: usize = 4096;

/// Most bytes of a memory object ([`Syscall::MemoryCreate`]).
pub const MEMORY_MAX: usize = 16 << 20;

/// `core` argument of [`Syscall::ThreadSpawn`] and [`start::SpawnArgs`]: the kernel chooses the
/// least loaded.
pub const ANY_CORE: u32 = u32::MAX;

bitflags::bitflags! {
    /// How a range of user memory may be used. Nothing at all, and writable and executable at once
    /// (W^X), are refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Protection: u32 {
        /// Loads.
        const READ = 1;
        /// Stores; implies [`Protection::READ`].
        const WRITE = 2;
        /// Instruction fetches; implies [`Protection::READ`].
        const EXECUTE = 4;
    }
}

/// Why a process ended, as [`Syscall::ProcessWait`] returns it in `rax` (kind) and `rdx` (detail).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called [`Syscall::ProcessExit`] (or its last thread ended) with this code.
    Exited(i32),
    /// It was ended through a process capability.
    Killed,
    /// The CPU refused something it did; the vector of the exception.
    Faulted(u8),
}

impl ExitStatus {
    /// Register form: `(kind, detail)`.
    pub const fn to_raw(self) -> (u64, u64) {
        match self {
            Self::Exited(code) => (0, code as u32 as u64),
            Self::Killed => (1, 0),
            Self::Faulted(vector) => (2, vector as u64),
        }
    }

    /// From register form; `None` for a kind this version doesn't know.
    pub const fn from_raw(kind: u64, detail: u64) -> Option<Self> {
        match kind {
            0 => Some(Self::Exited(detail as u32 as i32)),
            1 => Some(Self::Killed),
            2 => Some(Self::Faulted(detail as u8)),
            _ => None,
        }
    }
}
