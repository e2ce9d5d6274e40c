//! A session: one of the core's tasks that carries requests from a ring to a disk.
//!
//! ```text
//!           ┌──── found something: others have a turn ────┐
//!           v                                             │
//!      ┌─ look: requests, completions ────────────────────┘
//!      │    ^ nothing, a few turns: the same
//!      v    │
//!    say "asleep", look once more ──> wait: doorbell, a completion ──> look
//!                                            │ doorbell gone
//!                                            └──> end
//! ```
//!
//! A request becomes a future of the disk's, with the very pages of the client's memory. When the
//! session ends with some under way, their futures are dropped: the pages stay with the device until
//! it is done, and are nobody's afterwards.

use super::Place;
use crate::devices::Block;
use crate::ipc::Notification;
use crate::process::object::Capability;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::task::Poll;
use drivers::storage::{Erase, Lba, StorageDevice, StorageError, Transfer};
use executor::yield_now;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hal::dma::SharedPages;
use protocols::block_ring::{
    Completion, Corrupt, Next, Operation, Request, Server, Status, Wake, Words,
};

/// Requests and completions handled before other tasks have a turn.
const BATCH: usize = 64;
/// Most requests with the disk at a time: others have sessions too. The rest waits in the ring.
const IN_FLIGHT_MAX: u64 = 128;
/// Turns without anything before it sleeps.
const PATIENCE: u32 = 64;

/// What a session serves, and what it keeps alive meanwhile.
pub struct Session {
    pub(super) disk: Block,
    /// The process that opened it.
    pub(super) process: u32,
    pub(super) server: Server,
    pub(super) pages: SharedPages,
    /// What the client signals.
    pub(super) doorbell: Arc<Notification>,
    /// What signals the client.
    pub(super) to_signal: Arc<Notification>,
    pub(super) bits: u64,
    /// The client's memory and notification, charged to it until the end.
    pub(super) _held: [Capability; 2],
    pub(super) _place: Place,
}

/// The client's memory as the ring's words.
struct Ring<'a>(&'a SharedPages);

impl Words for Ring<'_> {
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

/// What ended a wait.
enum Woken {
    /// The client rang.
    Rung,
    /// A request is done.
    Done(Completion),
    /// Nobody can ring any more.
    Left,
}

impl Session {
    /// Serves it to its end.
    pub async fn serve(mut self) {
        if let Err(error) = self.run().await {
            log::warn!(
                "block: {}: session of process {}: {error}: ended",
                self.disk.name(),
                self.process
            );
        }
        if self.server.end(&Ring(&self.pages)) == Wake::Ring {
            self.to_signal.signal(self.bits);
        }
    }

    async fn run(&mut self) -> Result<(), Corrupt> {
        let Self { disk, server, pages, doorbell, .. } = self;
        let ring = Ring(pages);
        let mut in_flight = FuturesUnordered::new();
        let mut in_vain = 0;
        while doorbell.is_held() {
            let mut found = 0;
            while found < BATCH && server.in_flight() < IN_FLIGHT_MAX {
                match server.next(&ring)? {
                    Next::Request(request) => in_flight.push(carry_out(disk, pages, request)),
                    Next::Refused(completion) => server.post(&ring, completion),
                    Next::Nothing => break,
                }
                found += 1;
            }
            // This is also what starts those that were taken.
            let before = found;
            while found < before + BATCH
                && let Some(done) = take_done(&mut in_flight).await
            {
                server.post(&ring, done);
                found += 1;
            }
            if server.publish(&ring) == Wake::Ring {
                self.to_signal.signal(self.bits);
            }
            in_vain = if found > 0 { 0 } else { in_vain + 1 };
            if in_vain < PATIENCE {
                yield_now().await;
                continue;
            }
            server.fall_asleep(&ring);
            if server.in_flight() >= IN_FLIGHT_MAX || !server.is_due(&ring)? {
                match wait(doorbell, &mut in_flight).await {
                    Woken::Rung => {}
                    Woken::Done(done) => server.post(&ring, done),
                    Woken::Left => break,
                }
            }
            server.wake_up(&ring);
            in_vain = 0;
        }
        Ok(())
    }
}

/// A request that is done, if one is. Starts those that are new.
async fn take_done<F>(in_flight: &mut FuturesUnordered<F>) -> Option<Completion>
where
    F: Future<Output = Completion>,
{
    poll_fn(|context| match in_flight.poll_next_unpin(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Until the client rings, or something is done.
async fn wait<F>(doorbell: &Notification, in_flight: &mut FuturesUnordered<F>) -> Woken
where
    F: Future<Output = Completion>,
{
    poll_fn(|context| {
        if let Poll::Ready(bits) = doorbell.poll_while_held(context) {
            return Poll::Ready(bits.map_or(Woken::Left, |_| Woken::Rung));
        }
        match in_flight.poll_next_unpin(context) {
            Poll::Ready(Some(done)) => Poll::Ready(Woken::Done(done)),
            // With none under way it says so at once.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Has the disk do what a request says.
async fn carry_out(disk: &Block, pages: &SharedPages, request: Request) -> Completion {
    let result = match request.operation {
        Operation::Read { lba, first_page, pages: count } => {
            transfer(disk, Transfer::Read, lba, pages, first_page, count).await
        }
        Operation::Write { lba, first_page, pages: count } => {
            transfer(disk, Transfer::Write, lba, pages, first_page, count).await
        }
        Operation::Flush => disk.flush().await,
        Operation::Zero { lba, blocks } => disk.erase(Erase::Zero, Lba(lba), blocks).await,
        Operation::Discard { lba, blocks } => disk.erase(Erase::Discard, Lba(lba), blocks).await,
    };
    Completion { tag: request.tag, status: result.err().map_or(Status::Done, status) }
}

/// To or from `count` pages of the client's, lent to the device as they are.
async fn transfer(
    disk: &Block,
    what: Transfer,
    lba: u64,
    pages: &SharedPages,
    first: u32,
    count: u32,
) -> Result<(), StorageError> {
    let range = first as usize..first as usize + count as usize;
    let data = pages.part(range).ok_or(StorageError::BadLength)?;
    disk.transfer(what, Lba(lba), data.into()).await.result
}

const fn status(error: StorageError) -> Status {
    match error {
        StorageError::OutOfRange => Status::OutOfRange,
        StorageError::BadLength => Status::BadLength,
        StorageError::ReadOnly => Status::ReadOnly,
        StorageError::Media => Status::Media,
        StorageError::Unsupported => Status::Unsupported,
        StorageError::Device => Status::Device,
        StorageError::TimedOut => Status::TimedOut,
        StorageError::Reset => Status::Reset,
        StorageError::Gone => Status::Gone,
        StorageError::OutOfMemory => Status::OutOfMemory,
    }
}
