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

mod carrier;
mod grant;

pub use grant::{GrantError, grants};

use crate::authority::Capability;
use crate::devices::Block;
use crate::ipc::service::{Request, Service};
use crate::platform::{self, Pollux};
use crate::services::session::Session;
use crate::services::session::places::DISKS;
use carrier::Carrier;
use drivers::storage::{StorageDevice, Writable};
use executor::{CoreId, Priority};
use protocols::abi::{ANY_CORE, Error};
use protocols::block_ring::{Access, DiskInfo, INFO, Layout, OPEN, Open, Server};

/// A capability to `disk`, served on `core`.
pub fn grant(disk: Block, core: CoreId) -> Result<Capability, Error> {
    let service = Service::new(core)?;
    let capability = service.capability()?;
    let serve = move || serve(service, disk);
    executor::spawn_on::<Pollux, _, _>(core, "block", Priority::Normal, serve).detach();
    Ok(capability)
}

async fn serve(mut service: Service, disk: Block) {
    while let Some(request) = service.receive().await {
        match request.label {
            INFO => request.caller.reply(INFO, described(&disk).to_words()),
            OPEN => open(&disk, request),
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
fn open(disk: &Block, mut request: Request) {
    let prepared = prepare(disk, &mut request);
    let caller = request.caller;
    let (carrier, doorbell, core) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return caller.refuse(error),
    };
    let serve = move || carrier.serve();
    executor::spawn_on::<Pollux, _, _>(core, "block session", Priority::Normal, serve).detach();
    caller.reply_with(OPEN, [u64::from(core.0), 0, 0, 0, 0, 0], doorbell);
}

fn prepare(disk: &Block, request: &mut Request) -> Result<(Carrier, Capability, CoreId), Error> {
    let asked = Open::from_words(request.words).ok_or(Error::InvalidArgument)?;
    let core = match asked.core {
        ANY_CORE => request.core,
        core if (core as usize) < platform::core_count() => CoreId(core as u16),
        _ => return Err(Error::InvalidArgument),
    };
    let process = request.sender.process();
    let (session, layout, doorbell) = Session::open(request, asked.bits, |pages| {
        let pages = u32::try_from(pages.count()).map_err(|_| Error::InvalidArgument)?;
        let layout = Layout::new(asked.entries, pages).map_err(|_| Error::InvalidArgument)?;
        // What is under way lies in the client's own memory.
        Ok((layout, DISKS.take(process, 0, 0)?))
    })?;
    let carrier = Carrier { disk: disk.clone(), session, server: Server::new(layout) };
    Ok((carrier, doorbell, core))
}
