//! A session: one of the core's tasks that carries requests from a ring to a disk.
//!
//! ```text
//!           ┌──── found something: others have a turn ────┐
//!           v                                             │
//!      ┌─ look: requests, completions ────────────────────┘
//!      │    ^ nothing, a few turns: the same
//!      v    │
//!    say "asleep", look once more ──> wait: doorbell, a completion ──> look
//!                                            │ doorbell gone: end
//!                                            └ memory revoked: end at once
//! ```
//!
//! A request becomes a future of the disk's, with the very pages of the client's memory. When the
//! session ends with some under way, their futures are dropped: the pages stay with the device until
//! it is done, and are nobody's afterwards. So it is when the memory is revoked: what the device has
//! begun it finishes, to or from the pages as they are, and nothing else is begun or written.

use crate::devices::Block;
use crate::services::session::{Gone, Session};
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll};
use drivers::storage::{Erase, Lba, StorageDevice, StorageError, Transfer};
use executor::yield_now;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hal::dma::SharedPages;
use protocols::block_ring::{Completion, Corrupt, Next, Operation, Request, Server, Status, Wake};

/// Requests and completions handled before other tasks have a turn.
const BATCH: usize = 64;
/// Most requests with the disk at a time: others have sessions too. The rest waits in the ring.
const IN_FLIGHT_MAX: u64 = 128;
/// Turns without anything before it sleeps.
const PATIENCE: u32 = 64;

/// A session with a disk.
pub struct Carrier {
    pub(super) disk: Block,
    pub(super) session: Session,
    pub(super) server: Server,
}

/// Why it ends.
enum Stop {
    Gone(Gone),
    Corrupt(Corrupt),
}

impl From<Gone> for Stop {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<Corrupt> for Stop {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl Carrier {
    /// Serves it to its end.
    pub async fn serve(mut self) {
        let Err(stop) = self.carry().await;
        match stop {
            // The memory is its owner's alone.
            Stop::Gone(Gone::Revoked) => return,
            Stop::Gone(Gone::Left) => {}
            Stop::Corrupt(error) => {
                let (disk, process) = (self.disk.name(), self.session.process);
                log::warn!("block: {disk}: session of process {process}: {error}: ended");
            }
        }
        if self.server.end(&self.session.memory()) == Wake::Ring {
            self.session.signal();
        }
    }

    async fn carry(&mut self) -> Result<Infallible, Stop> {
        let Self { disk, session, server } = self;
        let (memory, pages) = (session.memory(), session.pages());
        let mut in_flight = FuturesUnordered::new();
        let mut in_vain = 0;
        loop {
            session.check()?;
            let mut found = 0;
            while found < BATCH && server.in_flight() < IN_FLIGHT_MAX {
                match server.next(&memory)? {
                    Next::Request(request) => in_flight.push(carry_out(disk, pages, request)),
                    Next::Refused(completion) => server.post(&memory, completion),
                    Next::Nothing => break,
                }
                found += 1;
            }
            // This is also what starts those that were taken.
            let before = found;
            while found < before + BATCH
                && let Some(done) = take_done(&mut in_flight).await
            {
                server.post(&memory, done);
                found += 1;
            }
            if server.publish(&memory) == Wake::Ring {
                session.signal();
            }
            in_vain = if found > 0 { 0 } else { in_vain + 1 };
            if in_vain < PATIENCE {
                yield_now().await;
                continue;
            }
            server.fall_asleep(&memory);
            if server.in_flight() >= IN_FLIGHT_MAX || !server.is_due(&memory)? {
                let done = session.wait(|context| poll_done(context, &mut in_flight)).await?;
                if let Some(done) = done {
                    server.post(&memory, done);
                }
            }
            server.wake_up(&memory);
            in_vain = 0;
        }
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

/// Ready with the next request that is done.
fn poll_done<F>(context: &mut Context<'_>, in_flight: &mut FuturesUnordered<F>) -> Poll<Completion>
where
    F: Future<Output = Completion>,
{
    match in_flight.poll_next_unpin(context) {
        Poll::Ready(Some(done)) => Poll::Ready(done),
        // With none under way it says so at once.
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    }
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
