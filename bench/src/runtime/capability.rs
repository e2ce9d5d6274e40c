//! Owned capabilities, one type for each kind of object. Dropping one gives it up.

use super::calls;
use crate::abi::message::{Message, Sender};
use crate::abi::metric::Metric;
use crate::abi::syslog::Record;
use crate::abi::{Error, FOREVER, Handle, Held, Rights, TRANSFER_MAX, Takes};
use alloc::vec;
use alloc::vec::Vec;

macro_rules! capability {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        pub struct $name(Handle);

        impl $name {
            /// Takes ownership of a handle, from a message or from [`super::Env`]. Not checked: a
            /// handle of another kind makes every call on it fail.
            pub const fn from_handle(handle: Handle) -> Self {
                Self(handle)
            }

            /// The handle, still owned by this value.
            pub const fn handle(&self) -> Handle {
                self.0
            }

            /// Gives up ownership: the caller moves the capability or drops it.
            #[must_use = "the capability stays in this process until moved or dropped"]
            pub const fn into_handle(self) -> Handle {
                let handle = self.0;
                core::mem::forget(self);
                handle
            }

            /// A second capability to the same object with a subset of the rights, derived from
            /// this one.
            pub fn duplicate(&self, rights: Rights) -> Result<Self, Error> {
                calls::duplicate(self.0, rights).map(Self)
            }

            /// Takes away everything derived from this capability, wherever it has gone. This one
            /// stays. On return no core can use any of it.
            pub fn revoke(&self) -> Result<(), Error> {
                calls::revoke(self.0)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // A stale handle has nothing left to give up.
                let _ = calls::drop_capability(self.0);
            }
        }

        impl From<$name> for Handle {
            fn from(capability: $name) -> Self {
                capability.into_handle()
            }
        }
    };
}

capability! {
    /// Rendezvous for messages.
    Endpoint
}
capability! {
    /// A word of bits to signal and wait for.
    Notification
}
capability! {
    /// A process: wait for it, kill it.
    Process
}
capability! {
    /// A thread of this process: join it.
    Thread
}
capability! {
    /// Text output for people.
    Console
}
capability! {
    /// The kernel log.
    Log
}
capability! {
    /// A program that can be spawned (see [`super::process::Command`]).
    Image
}
capability! {
    /// Where metrics go.
    Report
}

capability! {
    /// A memory object: pages that several processes map and devices use in place.
    Memory
}

impl Memory {
    /// A new one of `len` bytes (a multiple of `PAGE`), zeroed, with all rights.
    pub fn create(len: usize) -> Result<Self, Error> {
        calls::memory_create(len as u64).map(Self)
    }

    /// Its length in bytes.
    pub fn size(&self) -> Result<u64, Error> {
        calls::memory_size(self.0)
    }
}

impl Endpoint {
    /// A new one, at home on this core, with all rights.
    pub fn create() -> Result<Self, Error> {
        calls::endpoint_create().map(Self)
    }

    /// The same, saying what messages to it may bring.
    pub fn create_taking(takes: Takes) -> Result<Self, Error> {
        calls::endpoint_create_taking(takes).map(Self)
    }

    /// Sends `message` and waits for the reply. Capabilities in it move on delivery.
    pub fn call(&self, message: &Message) -> Result<Message, Error> {
        calls::call(self.0, message)
    }

    /// Sends `message` and waits until it is received.
    pub fn send(&self, message: &Message) -> Result<(), Error> {
        calls::send(self.0, message)
    }

    /// Waits for a message.
    pub fn receive(&self) -> Result<(Sender, Message), Error> {
        calls::receive(self.0)
    }

    /// Answers the caller received last, then waits for the next message.
    pub fn reply_receive(&self, message: &Message) -> Result<(Sender, Message), Error> {
        calls::reply_receive(self.0, message)
    }
}

impl Notification {
    /// A new one with all rights.
    pub fn create() -> Result<Self, Error> {
        calls::notification_create().map(Self)
    }

    /// Ors `bits` (not zero) into the word and wakes its waiter.
    pub fn signal(&self, bits: u64) -> Result<(), Error> {
        calls::notification_signal(self.0, bits)
    }

    /// Waits until the word is not zero, takes and clears it.
    pub fn wait(&self) -> Result<u64, Error> {
        calls::notification_wait(self.0, FOREVER)
    }

    /// The same, until the clock reaches `deadline_ns` at most.
    pub fn wait_until(&self, deadline_ns: u64) -> Result<u64, Error> {
        calls::notification_wait(self.0, deadline_ns)
    }
}

impl Report {
    /// Hands one metric to the kernel.
    pub fn submit(&self, metric: &Metric) -> Result<(), Error> {
        calls::report(self.0, &metric.encode())
    }
}

/// Records of a core's SysLog, and what was lost before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysLogPiece {
    /// Number of the first of `records`, or of the next there will be.
    pub first: u64,
    /// One after the other. `None`: of a kind that this version does not know.
    pub records: Vec<Option<Record>>,
}

impl Log {
    /// Up to `most` records of a core's SysLog from number `from` on, as many as one call gives.
    /// What was overwritten is left out: `first` is greater than `from` then. Needs the right to
    /// receive.
    pub fn read_syslog(&self, core: u32, from: u64, most: usize) -> Result<SysLogPiece, Error> {
        let mut bytes = vec![[0; Record::BYTES]; most.min(TRANSFER_MAX / Record::BYTES)];
        let (copied, first) = calls::syslog_read(self.0, core, from, &mut bytes)?;
        bytes.truncate(copied);
        Ok(SysLogPiece { first, records: bytes.iter().map(Record::from_bytes).collect() })
    }

    /// Waits until the CommitLog is durable up to now; the number of the last such commit.
    pub fn sync_commits(&self, deadline_ns: u64) -> Result<u64, Error> {
        calls::commit_sync(self.0, deadline_ns)
    }
}

/// All that this process holds (of the kinds this version knows).
pub fn held() -> Result<Vec<Held>, Error> {
    let mut all = Vec::new();
    let mut from = 0;
    let mut entries = vec![[0; Held::BYTES]; TRANSFER_MAX / Held::BYTES];
    loop {
        let count = calls::list(&mut entries, from)?;
        let Some(last) = entries[..count.min(entries.len())].last() else { return Ok(all) };
        // The handle comes first; its low half is the slot.
        from = usize::from(u16::from_le_bytes([last[0], last[1]])) + 1;
        all.extend(entries[..count].iter().filter_map(Held::from_bytes));
    }
}
