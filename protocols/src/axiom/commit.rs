//! The commits: every change of authority that there is.

use alloc::vec::Vec;
use core::fmt::Display;

use super::chain::Hash;
use super::encoding::{Field, Malformed, Reader};
pub use super::name::Name;
use super::show::Show;
use crate::abi::{Handle, ObjectKind, Rights};

/// An object's number, never used again in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// A capability's number, never used again in its epoch. It keeps it when it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilityId(pub u64);

/// The number of the process that the kernel's own capabilities are in.
pub const KERNEL: u32 = 0;

/// What a process may use, and give to its children out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Pages of memory: mapped, or of memory objects it made.
    pub frames: u64,
    /// Threads.
    pub threads: u32,
    /// Capabilities it holds.
    pub handles: u32,
    /// Messages of its threads that wait to be received.
    pub messages: u32,
}

impl Budget {
    /// What is left of it after `other`; `None` if that is more, of anything.
    pub fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            frames: self.frames.checked_sub(other.frames)?,
            threads: self.threads.checked_sub(other.threads)?,
            handles: self.handles.checked_sub(other.handles)?,
            messages: self.messages.checked_sub(other.messages)?,
        })
    }

    /// Both together; `None` if that is no number.
    pub fn with(self, other: Self) -> Option<Self> {
        Some(Self {
            frames: self.frames.checked_add(other.frames)?,
            threads: self.threads.checked_add(other.threads)?,
            handles: self.handles.checked_add(other.handles)?,
            messages: self.messages.checked_add(other.messages)?,
        })
    }
}

macro_rules! commits {
    ($($(#[$about:meta])* $code:literal $kind:ident {
        $($(#[$field_about:meta])* $field:ident: $type:ty,)*
    })*) => {
        /// A change of authority.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Commit {
            $($(#[$about])* $kind { $($(#[$field_about])* $field: $type,)* },)*
        }

        impl Field for Commit {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$kind { $($field),* } => {
                        out.push($code);
                        $($field.put(out);)*
                    })*
                }
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                let begun = from.malformed();
                match from.take::<u8>()? {
                    $($code => Ok(Self::$kind { $($field: from.take()?),* }),)*
                    _ => Err(begun),
                }
            }
        }

        impl Commit {
            /// What kind it is.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => stringify!($kind),)*
                }
            }

            /// Shows its fields in their order, by name.
            pub fn fields(&self, show: &mut dyn FnMut(&'static str, &dyn Display)) {
                match self {
                    $(Self::$kind { $($field),* } => {
                        $(show(stringify!($field), &Show($field));)*
                    })*
                }
            }
        }
    };
}

commits! {
    /// The log begins.
    1 Genesis {
        /// Random: which log this is.
        log: [u8; 16],
    }
    /// The machine was started. Whatever the epoch before held is gone.
    2 Booted {
        /// Counts from one.
        epoch: u32,
        /// Hash of what was booted: the kernel's code and constants, its command line, its modules.
        measured: Hash,
        /// What there is to give away.
        budget: Budget,
    }
    /// A process, which holds nothing yet.
    3 ProcessCreated {
        /// Its number.
        process: u32,
        /// The object that capabilities to it name.
        object: ObjectId,
        /// Whose budget its own comes from.
        parent: u32,
        /// What it may use.
        budget: Budget,
        /// Its program.
        name: Name,
    }
    /// A process ended by its own will, or with its last thread. All that it held is gone.
    4 ProcessExited {
        /// Which.
        process: u32,
        /// Its word about it.
        code: i32,
    }
    /// A process did what the processor refuses.
    5 ProcessFaulted {
        /// Which.
        process: u32,
        /// The exception.
        vector: u8,
    }
    /// A process was ended by another, or by the kernel.
    6 ProcessKilled {
        /// Which.
        process: u32,
    }
    /// A thread.
    7 ThreadCreated {
        /// Its process.
        process: u32,
        /// Its number in it.
        thread: u32,
        /// The object that capabilities to it name.
        object: ObjectId,
    }
    /// A thread ended.
    8 ThreadEnded {
        /// Its process.
        process: u32,
        /// Its number in it.
        thread: u32,
        /// Its word about it.
        code: i32,
    }
    /// An object that is neither process nor thread, and the first capability to it, with all
    /// rights.
    9 ObjectCreated {
        /// Its number.
        object: ObjectId,
        /// What it is.
        kind: ObjectKind,
        /// Memory: pages. Device: segment, bus, device and function as PCI writes them in 32 bits.
        /// Port range: first port, and in the upper half how many.
        detail: u64,
        /// The capability.
        capability: CapabilityId,
        /// Who holds it.
        process: u32,
        /// Where.
        handle: Handle,
    }
    /// The kernel ended an object: every capability to it is gone.
    10 ObjectDestroyed {
        /// Which.
        object: ObjectId,
    }
    /// A first capability to a living process or thread.
    11 Inserted {
        /// The capability.
        capability: CapabilityId,
        /// What it names.
        object: ObjectId,
        /// What it allows.
        rights: Rights,
        /// Who holds it: the process itself, or its parent.
        process: u32,
        /// Where.
        handle: Handle,
    }
    /// A capability out of another one, to the same object, with no more rights.
    12 Derived {
        /// The new one.
        capability: CapabilityId,
        /// What it is derived from, which is revoked with whatever that was derived from.
        from: CapabilityId,
        /// What it allows.
        rights: Rights,
        /// Who holds it. Another than holds the old one only if that may be transferred.
        process: u32,
        /// Where.
        handle: Handle,
    }
    /// A capability moved to another process.
    13 Granted {
        /// Which.
        capability: CapabilityId,
        /// Who holds it now.
        process: u32,
        /// Where.
        handle: Handle,
    }
    /// All that was derived from a capability is gone, and what was derived from that, with the
    /// memory mapped through it. The capability itself stays.
    14 Revoked {
        /// From which.
        capability: CapabilityId,
    }
    /// A capability was given up. What was derived from it, or mapped through it, now comes from
    /// what it was derived from.
    15 Removed {
        /// Which.
        capability: CapabilityId,
    }
    /// Pages of a memory object, or registers of a device, were mapped.
    16 Shared {
        /// Through which capability.
        capability: CapabilityId,
        /// Where: a multiple of a page.
        address: u64,
        /// How many.
        pages: u64,
        /// Reading is [`Rights::RECEIVE`], writing [`Rights::SEND`].
        rights: Rights,
    }
    /// Whatever of memory objects and devices a process had mapped there, it no longer has.
    17 Unshared {
        /// Which process.
        process: u32,
        /// From where.
        address: u64,
        /// How many pages.
        pages: u64,
    }
    /// The state here has this hash. Changes nothing; a log may begin with the state of a
    /// checkpoint instead of with its first commit.
    18 Checkpoint {
        /// [`super::State::hash`].
        state: Hash,
    }
}
