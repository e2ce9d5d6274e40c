//! What sessions of the kernel's services have in common: a program's memory, which both write to,
//! and the bells between it and the program.
//!
//! ```text
//!   open ──> check ──> memory ──> wait ──> check ──> memory …
//!              │                    │
//!              ├── Left: nobody rings any more ──> memory, while whole ──> end
//!              └── Revoked: what the session was opened with was taken away ──> end, at once
//! ```
//!
//! A revoke is complete when every core has passed a quiescent point ([`crate::process::reclaim`]),
//! and between two of its waits a session passes none. So one that has seen that its capabilities
//! are live may use the memory until it waits again, and no longer: every wait here looks again
//! before it comes back. After a revoke the memory is its owner's alone, but for transfers that a
//! device had begun before.

pub mod places;

use crate::authority::{self, Capability};
use crate::ipc::Notification;
use crate::ipc::service::Request;
use crate::process::object::Object;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use hal::dma::SharedPages;
use places::Place;
use protocols::abi::{Error, Rights};
use protocols::shared::{Bytes, Words};

/// A session, and what it keeps alive.
#[derive(Debug)]
pub struct Session {
    /// The process that opened it.
    pub process: u32,
    pages: SharedPages,
    /// What the client signals.
    doorbell: Arc<Notification>,
    /// What signals the client.
    to_signal: Arc<Notification>,
    bits: u64,
    /// The client's memory and notification, charged to it until the end.
    held: [Capability; 2],
    /// What the client's doorbell is derived from.
    _doorbell: Capability,
    /// Given back last: the slots of the others are counted by it.
    _place: Place,
}

/// Why a session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Nobody can ring it any more: the client has given it up, or is no more. Its memory is still
    /// the session's.
    Left,
    /// The memory or the notification was taken away: neither is to be touched.
    Revoked,
}

impl Session {
    /// Takes what a session needs out of the request that opens it, if `prepare` finds the memory
    /// fit. Beside the session, what its client rings it with.
    pub fn open<T>(
        request: &mut Request,
        bits: u64,
        prepare: impl FnOnce(&SharedPages) -> Result<(T, Place), Error>,
    ) -> Result<(Self, T, Capability), Error> {
        let brought = core::mem::take(&mut request.capabilities);
        let [memory, told] =
            <[Capability; 2]>::try_from(brought).map_err(|_| Error::InvalidArgument)?;
        let Object::Memory(object) = memory.object(Rights::SEND | Rights::RECEIVE)? else {
            return Err(Error::WrongKind);
        };
        let Object::Notification(to_signal) = told.object(Rights::SEND)? else {
            return Err(Error::WrongKind);
        };
        let (pages, to_signal) = (object.pages()?.clone(), to_signal.clone());
        let (prepared, place) = prepare(&pages)?;
        let doorbell = Arc::new(Notification::new());
        let root = Capability::create(Object::Notification(doorbell.clone()), 0)?;
        let to_ring = root.derive(Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER)?;
        let session = Self {
            process: request.sender.process(),
            pages,
            doorbell,
            to_signal,
            bits,
            held: [memory, told],
            _doorbell: root,
            _place: place,
        };
        Ok((session, prepared, to_ring))
    }

    /// The client's memory as rings see it. To be used between a look ([`check`](Self::check), or
    /// the end of a wait) and the next wait.
    pub fn memory(&self) -> Memory<'_> {
        Memory(&self.pages)
    }

    /// Its pages, for devices; as [`memory`](Self::memory).
    pub const fn pages(&self) -> &SharedPages {
        &self.pages
    }

    /// Rings the client.
    pub fn signal(&self) {
        self.to_signal.signal(self.bits);
    }

    /// Whether it is to go on.
    pub fn check(&self) -> Result<(), Gone> {
        self.check_held()?;
        if self.doorbell.is_held() { Ok(()) } else { Err(Gone::Left) }
    }

    /// Whether its memory is still its own.
    fn check_held(&self) -> Result<(), Gone> {
        if self.held.iter().all(Capability::is_live) {
            return Ok(());
        }
        // At the will of any program, so it is nothing to fill a log with.
        log::debug!("session of process {}: its capabilities were revoked: ended", self.process);
        Err(Gone::Revoked)
    }

    /// Waits until `poll` is ready or the client has rung (`None`), as long as the session is to go
    /// on. `poll` may use the memory.
    pub async fn wait<T>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<Option<T>, Gone> {
        self.while_held(|context| match self.doorbell.poll_while_held(context) {
            Poll::Ready(Some(_)) => Poll::Ready(Ok(None)),
            Poll::Ready(None) => Poll::Ready(Err(Gone::Left)),
            Poll::Pending => poll(context).map(|done| Ok(Some(done))),
        })
        .await?
    }

    /// Waits until `poll` is ready, whether the client is there or not, as long as the memory is the
    /// session's.
    pub async fn while_held<T>(
        &self,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Gone> {
        authority::kernel_bereft().poll_while(|| self.check_held(), poll).await
    }

    /// Carries `work` on as long as the client wants it.
    pub async fn while_wanted<F: Future>(&self, work: F) -> Result<F::Output, Gone> {
        let mut work = pin!(work);
        loop {
            // It has nothing to say before it is told.
            if let Some(done) = self.wait(|context| work.as_mut().poll(context)).await? {
                return Ok(done);
            }
        }
    }
}

/// A session's memory as words and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a>(&'a SharedPages);

impl Words for Memory<'_> {
    fn load(&self, index: usize) -> u64 {
        self.0.load(index)
    }

    fn store(&self, index: usize, value: u64) {
        self.0.store(index, value);
    }

    fn swap(&self, index: usize, value: u64) -> u64 {
        self.0.swap(index, value)
    }
}

impl Bytes for Memory<'_> {
    fn read(&self, at: usize, into: &mut [u8]) {
        self.0.read(at, into);
    }

    fn write(&self, at: usize, from: &[u8]) {
        self.0.write(at, from);
    }
}
