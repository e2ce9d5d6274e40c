//! A disk as futures: the client of the block service.
//!
//! ```text
//!   read(lba, buffer) ──> slot, entry in the ring ──(reaper: publish a batch)──> service
//!        ^                                                                          │
//!        └── buffer comes back <── slot done <──(reaper: take completions)──────────┘
//! ```
//!
//! [`BlockDevice::open`] makes a memory object for the rings and the data, and starts a task that
//! shows the service what was submitted, once for all that was submitted in the same turn, and takes
//! what is done. It makes a system call only when one side sleeps. A [`Buffer`] is pages of that
//! memory: an operation takes it and gives it back. A future that is dropped leaves its buffer with
//! its slot until the completion comes.

mod buffer;
mod reaper;
mod slots;

use alloc::rc::Rc;
use core::cell::RefCell;

use executor::JoinHandle;
use executor::sync::{Notify, Semaphore};

use super::calls;
use super::capability::{Endpoint, Memory, Notification};
use super::executor::spawn;
use super::memory::SharedMapping;
use super::signal::Signal;
use crate::abi::message::{Info, Message};
use crate::abi::{ANY_CORE, Error, PAGE, Protection};
use crate::block_ring::{
    Client, DiskInfo, INFO, Layout, LayoutError, OPEN, Open, Operation, Request, Status,
};
use slots::Slots;

pub use buffer::Buffer;

/// How large a session is to be.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Operations in flight at once: a power of two, at most
    /// [`ENTRIES_MAX`](crate::block_ring::ENTRIES_MAX).
    pub entries: u32,
    /// Pages for buffers.
    pub pages: u32,
    /// The core the service is to use, or [`ANY_CORE`]: this thread's.
    pub core: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { entries: 64, pages: 64, core: ANY_CORE }
    }
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A call was refused.
    Refused(Error),
    /// There is no such ring.
    Layout(LayoutError),
    /// The other end does not talk like a block service.
    NoBlockService,
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::NoBlockService => f.write_str("the other end is no block service"),
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What an operation on a buffer gives back.
#[derive(Debug)]
pub struct Done {
    /// How it went.
    pub result: Result<(), Status>,
    /// The buffer. `None`: the device may still be using it.
    pub buffer: Option<Buffer>,
}

/// A disk, opened. For the tasks of one thread.
pub struct BlockDevice {
    session: Rc<Session>,
    /// Ends with this value.
    _reaper: JoinHandle<()>,
}

impl core::fmt::Debug for BlockDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BlockDevice").field("info", self.info()).finish_non_exhaustive()
    }
}

/// What the device, its reaper and its buffers share.
struct Session {
    info: DiskInfo,
    memory: SharedMapping,
    doorbell: Notification,
    signal: Signal,
    /// The service runs on this thread's core: looking again and again keeps it from running.
    same_core: bool,
    client: RefCell<Client>,
    slots: RefCell<Slots>,
    /// Which data pages are in buffers.
    taken: RefCell<alloc::vec::Vec<bool>>,
    /// A permit for each free slot.
    free: Semaphore,
    /// Wakes the reaper.
    work: Notify,
}

/// What the disk behind `endpoint` is.
pub fn describe(endpoint: &Endpoint) -> Result<DiskInfo, OpenError> {
    let reply = endpoint.call(&Message::new(INFO, [0; 6]))?;
    DiskInfo::from_words(reply.words).ok_or(OpenError::NoBlockService)
}

impl BlockDevice {
    /// Opens a session with the service behind `endpoint`.
    pub fn open(endpoint: &Endpoint, setup: Setup) -> Result<Self, OpenError> {
        let info = describe(endpoint)?;
        let bare = Layout::new(setup.entries, u32::MAX).map_err(OpenError::Layout)?;
        let pages = bare.first_data_page().saturating_add(setup.pages);
        let layout = Layout::new(setup.entries, pages).map_err(OpenError::Layout)?;
        let object = Memory::create(pages as usize * PAGE)?;
        let memory = SharedMapping::new(&object, 0, pages as usize * PAGE, Protection::WRITE)?;
        let signal = Signal::new()?;
        let open = Open { entries: setup.entries, bits: signal.bits(), core: setup.core };
        let mut message = open.to_message();
        let to_signal = signal.capability()?;
        message.capabilities[0] = object.into_handle();
        message.capabilities[1] = to_signal.into_handle();
        let reply = endpoint.call(&message).inspect_err(|_| {
            // If they did not travel they are still here.
            for handle in &message.capabilities[..2] {
                let _ = calls::drop_capability(*handle);
            }
        })?;
        if reply.info != Info::new(OPEN, 1) {
            return Err(OpenError::NoBlockService);
        }
        let (core, _) = calls::core()?;
        let session = Rc::new(Session {
            info,
            memory,
            doorbell: Notification::from_handle(reply.capabilities[0]),
            signal,
            same_core: u64::from(core) == reply.words[0],
            client: RefCell::new(Client::new(layout)),
            slots: RefCell::new(Slots::new(setup.entries as usize)),
            taken: RefCell::new(alloc::vec![false; setup.pages as usize]),
            free: Semaphore::new(setup.entries as usize),
            work: Notify::new(),
        });
        let reaper = spawn("block", reaper::reap(session.clone()));
        Ok(Self { session, _reaper: reaper })
    }

    /// What the disk is.
    pub fn info(&self) -> &DiskInfo {
        &self.session.info
    }

    /// A buffer of `pages` pages, with anything in it. `None`: so many are not free together.
    pub fn buffer(&self, pages: u32) -> Option<Buffer> {
        Buffer::take(&self.session, pages)
    }

    /// Reads as many blocks as fill `buffer`, from `lba` on.
    pub async fn read(&self, lba: u64, buffer: Buffer) -> Done {
        let (first_page, pages) = buffer.place();
        self.carry_out(Operation::Read { lba, first_page, pages }, buffer).await
    }

    /// Writes `buffer` to the blocks from `lba` on.
    pub async fn write(&self, lba: u64, buffer: Buffer) -> Done {
        let (first_page, pages) = buffer.place();
        self.carry_out(Operation::Write { lba, first_page, pages }, buffer).await
    }

    /// Makes every write that is done survive a loss of power.
    pub async fn flush(&self) -> Result<(), Status> {
        self.request(Operation::Flush, None).await.0
    }

    /// Makes blocks read as zeros.
    pub async fn zero(&self, lba: u64, blocks: u64) -> Result<(), Status> {
        self.request(Operation::Zero { lba, blocks }, None).await.0
    }

    /// Gives up what blocks hold.
    pub async fn discard(&self, lba: u64, blocks: u64) -> Result<(), Status> {
        self.request(Operation::Discard { lba, blocks }, None).await.0
    }

    async fn carry_out(&self, operation: Operation, buffer: Buffer) -> Done {
        if !buffer.is_of(&self.session) {
            return Done { result: Err(Status::BadPages), buffer: Some(buffer) };
        }
        let (result, buffer) = self.request(operation, Some(buffer)).await;
        Done { result, buffer }
    }

    async fn request(
        &self,
        operation: Operation,
        buffer: Option<Buffer>,
    ) -> (Result<(), Status>, Option<Buffer>) {
        let session = &self.session;
        match session.free.acquire(1).await {
            Ok(permit) => permit.forget(),
            Err(_closed) => return (Err(Status::Gone), buffer),
        }
        let pages = buffer.map(Buffer::into_pages);
        let (slot, tag) = session.slots.borrow_mut().begin(pages);
        let request = Request { operation, tag };
        // A slot is free, so the ring has room.
        if session.client.borrow_mut().submit(&session.memory, request).is_err() {
            session.slots.borrow_mut().complete(tag, Status::BadRequest);
        }
        session.work.notify();
        slots::Pending::new(session, slot).await
    }
}
