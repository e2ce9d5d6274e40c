//! Kernel objects.
//!
//! Which capabilities there are is the authority's state ([`crate::authority`]); this is what they
//! name. An object's memory lives as long as anyone in the kernel holds its `Arc`. An endpoint's
//! *use* ends with the last capability that can receive from it: it then turns its callers away. A
//! kernel service stops when the last capability that can send to it is gone. These are counted
//! apart.

use super::Process;
use super::memory::MemoryObject;
use super::thread::Ending;
use crate::devices::lent::Lent;
use crate::ipc::{Endpoint, Notification};
use alloc::sync::Arc;
use hal::mmio::DeviceRegion;
use protocols::abi::{ObjectKind, Rights};

/// A type that capabilities can name.
pub trait Kernel: Send + Sync + 'static {
    /// Its kind.
    const KIND: ObjectKind;
}

/// Text output of a process: nothing to keep, the process's name is the prefix.
#[derive(Debug)]
pub struct ConsoleObject;

/// The kernel's logs as ring 3 writes and reads them.
#[derive(Debug)]
pub struct LogObject;

/// A range of I/O ports.
pub struct PortRange {
    /// The ports.
    pub region: DeviceRegion,
}

impl core::fmt::Debug for PortRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PortRange({} ports)", self.region.bytes())
    }
}

macro_rules! objects {
    ($($kind:ident: $type:ty),* $(,)?) => {
        $(impl Kernel for $type {
            const KIND: ObjectKind = ObjectKind::$kind;
        })*

        /// A counted reference to an object of any kind.
        #[derive(Clone, Debug)]
        pub enum Object {
            $(#[doc = concat!("See [`ObjectKind::", stringify!($kind), "`].")] $kind(Arc<$type>),)*
        }

        impl Object {
            /// What kind it is.
            pub fn kind(&self) -> ObjectKind {
                match self {
                    $(Self::$kind(_) => ObjectKind::$kind,)*
                }
            }

            /// What a slot keeps of it: not counted.
            pub fn as_ptr(&self) -> *mut () {
                match self {
                    $(Self::$kind(object) => Arc::as_ptr(object).cast_mut().cast(),)*
                }
            }

            /// # Safety
            /// `raw` came from [`Object::as_ptr`] of this kind and is alive during this call.
            pub(super) unsafe fn clone_raw(kind: ObjectKind, raw: *mut ()) -> Self {
                match kind {
                    $(ObjectKind::$kind => {
                        // SAFETY: alive during the call (caller); the count is taken before the Arc
                        // is made.
                        Self::$kind(unsafe {
                            Arc::increment_strong_count(raw.cast::<$type>().cast_const());
                            Arc::from_raw(raw.cast())
                        })
                    })*
                }
            }
        }
    };
}

objects! {
    Endpoint: Endpoint,
    Notification: Notification,
    Process: Process,
    Thread: Ending,
    Console: ConsoleObject,
    Log: LogObject,
    Memory: MemoryObject,
    Device: Lent,
    PortRange: PortRange,
}

impl Object {
    /// One more capability to it, which allows this.
    pub fn capability_made(&self, rights: Rights) {
        match self {
            Self::Endpoint(endpoint) => {
                if rights.contains(Rights::RECEIVE) {
                    endpoint.receive_right_made();
                }
                if rights.contains(Rights::SEND) {
                    endpoint.send_right_made();
                }
            }
            Self::Notification(notification) if rights.contains(Rights::SEND) => {
                notification.send_right_made();
            }
            Self::Device(lent) => lent.capability_made(),
            _ => {}
        }
    }

    /// One fewer.
    pub fn capability_gone(&self, rights: Rights) {
        match self {
            Self::Endpoint(endpoint) => {
                if rights.contains(Rights::RECEIVE) {
                    Endpoint::receive_right_gone(endpoint);
                }
                if rights.contains(Rights::SEND) {
                    endpoint.send_right_gone();
                }
            }
            Self::Notification(notification) if rights.contains(Rights::SEND) => {
                notification.send_right_gone();
            }
            Self::Device(lent) => lent.capability_gone(),
            _ => {}
        }
    }
}
