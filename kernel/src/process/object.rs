//! Kernel objects and the capabilities that name them.
//!
//! An object's memory lives as long as anyone in the kernel holds its `Arc`. An endpoint's *use*
//! ends with the last capability that can receive from it: it then turns its callers away. A kernel
//! service stops when the last capability that can send to it is gone. These are counted apart.

use super::image::Image;
use super::memory::MemoryObject;
use super::thread::Ending;
use super::{Process, reclaim};
use crate::ipc::{Endpoint, Notification};
use alloc::sync::Arc;
use protocols::abi::{Error, ObjectKind, Rights};

/// A type that capabilities can name.
pub trait Kernel: Send + Sync + 'static {
    /// Its kind.
    const KIND: ObjectKind;
}

/// Text output of a process: nothing to keep, the process's name is the prefix.
#[derive(Debug)]
pub struct ConsoleObject;

/// The kernel log as ring 3 writes it.
#[derive(Debug)]
pub struct LogObject;

/// The sink of metrics.
#[derive(Debug)]
pub struct ReportObject;

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
            fn kind(&self) -> ObjectKind {
                match self {
                    $(Self::$kind(_) => ObjectKind::$kind,)*
                }
            }

            fn into_raw(self) -> *mut () {
                match self {
                    $(Self::$kind(object) => Arc::into_raw(object).cast_mut().cast(),)*
                }
            }

            /// # Safety
            /// `raw` came from [`Object::into_raw`] of this kind and its count passes to the
            /// result.
            unsafe fn from_raw(kind: ObjectKind, raw: *mut ()) -> Self {
                match kind {
                    // SAFETY: the caller's promise.
                    $(ObjectKind::$kind => Self::$kind(unsafe { Arc::from_raw(raw.cast()) }),)*
                }
            }

            /// # Safety
            /// `raw` came from [`Object::into_raw`] of this kind and its holder keeps it alive
            /// during this call.
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
    Image: Image,
    Report: ReportObject,
    Memory: MemoryObject,
}

impl Object {
    fn capability_made(&self, rights: Rights) {
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
            _ => {}
        }
    }

    fn capability_gone(&self, rights: Rights) {
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
            _ => {}
        }
    }
}

/// An object and what may be done with it. Moved, never copied: [`Capability::new`] is where
/// another one is made.
#[derive(Debug)]
pub struct Capability {
    object: Option<Object>,
    rights: Rights,
}

impl Capability {
    /// A new capability to `object`.
    pub fn new(object: Object, rights: Rights) -> Self {
        object.capability_made(rights);
        Self { object: Some(object), rights }
    }

    /// What it allows.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// What it names, if it allows `needed`.
    pub fn object(&self, needed: Rights) -> Result<&Object, Error> {
        let object = self.object.as_ref().expect("only Drop and into_raw take it");
        if self.rights.contains(needed) { Ok(object) } else { Err(Error::NotPermitted) }
    }

    /// Takes it apart for a slot, which owns it from here.
    pub(super) fn into_raw(mut self) -> (ObjectKind, *mut ()) {
        let object = self.object.take().expect("only Drop and into_raw take it");
        (object.kind(), object.into_raw())
    }

    /// # Safety
    /// The parts are what [`Capability::into_raw`] gave, and pass to the result.
    pub(super) unsafe fn from_raw(kind: ObjectKind, raw: *mut (), rights: Rights) -> Self {
        // SAFETY: the caller's promise.
        Self { object: Some(unsafe { Object::from_raw(kind, raw) }), rights }
    }
}

impl Drop for Capability {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            object.capability_gone(self.rights);
            // A reader on another core may have found it a moment ago.
            reclaim::defer(object);
        }
    }
}
