//! The block service: disks for ring 3, by capability.
//!
//! ```text
//!   grant(disk) ──> capability ──> program
//!                       │ Call INFO, OPEN                 ┌──────────────┐ transfer, flush, erase
//!                       └──> service task (one a grant) ──> session task ├──> Block
//!                                                         └──────┬───────┘
//!                                        ring and data in the program's memory object
//! ```
//!
//! Who holds the capability reaches that disk or partition, for reading or for writing, and nothing
//! else; it may be handed on like any other. The messages and the ring are
//! [`protocols::block_ring`]'s. A grant's task ends with its last capability, a session's with its
//! doorbell's.

mod grant;
mod session;

pub use grant::{GrantError, grants};

use crate::devices::Block;
use crate::ipc::Notification;
use crate::ipc::service::{Request, Service};
use crate::platform::{self, Pollux};
use crate::process::limits;
use crate::process::object::{Capability, Object};
use alloc::sync::Arc;
use alloc::vec::Vec;
use drivers::storage::{StorageDevice, Writable};
use executor::{CoreId, Priority};
use protocols::abi::{ANY_CORE, Error, Rights};
use protocols::block_ring::{Access, DiskInfo, INFO, Layout, OPEN, Open, Server};
use session::Session;

/// Most sessions of one grant.
const SESSIONS_MAX: usize = 32;
/// Most of these that one process opened.
const SESSIONS_OF_PROCESS: usize = 8;

/// A capability to `disk`, served on `core`.
pub fn grant(disk: Block, core: CoreId) -> Capability {
    let service = Service::new(core);
    let capability = service.capability();
    let serve = move || serve(service, disk);
    executor::spawn_on::<Pollux, _, _>(core, "block", Priority::Normal, serve).detach();
    capability
}

async fn serve(mut service: Service, disk: Block) {
    let places = Arc::new(Places::default());
    while let Some(request) = service.receive().await {
        match request.label {
            INFO => request.caller.reply(INFO, described(&disk).to_words()),
            OPEN => open(&disk, &places, request),
            _ => request.caller.refuse(Error::InvalidArgument),
        }
    }
}

fn described(disk: &Block) -> DiskInfo {
    let info = disk.info();
    let access = match info.writable {
        Writable::Yes => Access::ReadWrite,
        Writable::No => Access::ReadOnly,
    };
    DiskInfo {
        block_size: info.block_size,
        blocks: info.blocks,
        max_transfer_bytes: info.max_transfer_bytes,
        depth: info.depth,
        access,
    }
}

/// Opens a session and replies with its doorbell. What the request brought along is gone, whatever
/// becomes of it.
fn open(disk: &Block, places: &Arc<Places>, mut request: Request) {
    let prepared = prepare(disk, places, &mut request);
    let caller = request.caller;
    let (session, core) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return caller.refuse(error),
    };
    let rights = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
    let doorbell = Capability::new(Object::Notification(session.doorbell.clone()), rights);
    let serve = move || session.serve();
    executor::spawn_on::<Pollux, _, _>(core, "block session", Priority::Normal, serve).detach();
    caller.reply_with(OPEN, [u64::from(core.0), 0, 0, 0, 0, 0], doorbell);
}

fn prepare(
    disk: &Block,
    places: &Arc<Places>,
    request: &mut Request,
) -> Result<(Session, CoreId), Error> {
    let asked = Open::from_words(request.words).ok_or(Error::InvalidArgument)?;
    let core = match asked.core {
        ANY_CORE => request.core,
        core if (core as usize) < platform::core_count() => CoreId(core as u16),
        _ => return Err(Error::InvalidArgument),
    };
    let [memory, completions] =
        <[Capability; 2]>::try_from(core::mem::take(&mut request.capabilities))
            .map_err(|_| Error::InvalidArgument)?;
    let Object::Memory(object) = memory.object(Rights::SEND | Rights::RECEIVE)? else {
        return Err(Error::WrongKind);
    };
    let Object::Notification(to_signal) = completions.object(Rights::SEND)? else {
        return Err(Error::WrongKind);
    };
    let (pages, to_signal) = (object.pages().clone(), to_signal.clone());
    let layout = u32::try_from(pages.count()).map_err(|_| Error::InvalidArgument)?;
    let layout = Layout::new(asked.entries, layout).map_err(|_| Error::InvalidArgument)?;
    limits::room_for_object()?;
    let session = Session {
        disk: disk.clone(),
        process: request.sender.process(),
        server: Server::new(layout),
        pages,
        doorbell: Arc::new(Notification::new()),
        to_signal,
        bits: asked.bits,
        _held: [memory, completions],
        _place: Places::take(places, request.sender.process())?,
    };
    Ok((session, core))
}

/// Who has the sessions that there are: a process number for each.
#[derive(Debug, Default)]
struct Places(spin::Mutex<Vec<u32>>);

/// One of them, given back when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    process: u32,
}

impl Places {
    fn take(this: &Arc<Self>, process: u32) -> Result<Place, Error> {
        let mut taken = this.0.lock();
        let of_process = taken.iter().filter(|other| **other == process).count();
        if taken.len() >= SESSIONS_MAX || of_process >= SESSIONS_OF_PROCESS {
            return Err(Error::LimitReached);
        }
        taken.push(process);
        Ok(Place { places: this.clone(), process })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        if let Some(at) = taken.iter().position(|process| *process == self.process) {
            taken.swap_remove(at);
        }
    }
}
