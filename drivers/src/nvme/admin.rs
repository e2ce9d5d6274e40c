//! What is done once, over the admin queue: finding out what the controller is, creating the I/O
//! queue, looking at its namespaces.

use alloc::sync::Arc;
use alloc::vec::Vec;

use executor::Platform;
use hal::dma::{Direction, DmaBuf, Loan};
use protocols::nvme::{
    Command, Controller as Identity, IDENTIFY_BYTES, Namespace as Identified, Page, namespace_ids,
};

use super::queue::{Ended, Loans};
use super::{Controller, Namespace, NvmeError};

/// The I/O queue pair's number.
const IO_QUEUE: u16 = 1;
/// Namespaces looked at.
const NAMESPACES_MOST: usize = 16;

/// Finds the controller's namespaces and makes them ready for use.
pub(super) async fn bring_up<P: Platform>(
    controller: &Arc<Controller>,
) -> Result<Vec<Namespace<P>>, NvmeError> {
    let name = &controller.name;
    let page = identify::<P>(controller, "identify", Command::identify_controller).await?;
    let identity = Identity::new_checked(&page)?;
    log::info!("{name}: {} {}", identity.model(), identity.serial());
    create_io_queue::<P>(controller).await?;
    let mut namespaces = Vec::new();
    let listed = identify::<P>(controller, "a list of namespaces", Command::identify_active).await;
    let ids: Vec<u32> = match listed {
        Ok(list) => namespace_ids(&list).take(NAMESPACES_MOST).collect(),
        // Controllers of version 1.0 number them from 1 on.
        Err(NvmeError::Refused(_)) => (1..=identity.namespaces).take(NAMESPACES_MOST).collect(),
        Err(error) => return Err(error),
    };
    for id in ids {
        let about = |page| Command::identify_namespace(id, page);
        match identify::<P>(controller, "identify for a namespace", about).await {
            Ok(page) => match Identified::new_checked(&page) {
                Ok(what) => {
                    let (blocks, size) = (what.blocks, what.block_bytes);
                    log::info!("{name}: namespace {id}: {blocks} blocks of {size} bytes");
                    namespaces.push(Namespace::new(controller.clone(), id, &what, &identity));
                }
                Err(error) => log::warn!("{name}: namespace {id} is not used: {error}"),
            },
            Err(error @ NvmeError::Refused(_)) => {
                log::warn!("{name}: namespace {id} is not used: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(namespaces)
}

async fn create_io_queue<P: Platform>(controller: &Controller) -> Result<(), NvmeError> {
    let io = &controller.io;
    let completions = Page(io.completion_address().0);
    let submissions = Page(io.submission_address().0);
    for (what, command) in [
        ("the number of queues", Command::set_queue_count(1)),
        (
            "an I/O completion queue",
            Command::create_completion_queue(IO_QUEUE, io.entries(), completions),
        ),
        (
            "an I/O submission queue",
            Command::create_submission_queue(IO_QUEUE, io.entries(), submissions),
        ),
    ] {
        carry_out::<P>(controller, what, command, (None, None)).await?;
    }
    Ok(())
}

/// The answer to an identify command.
async fn identify<P: Platform>(
    controller: &Controller,
    what: &'static str,
    command: impl FnOnce(Page) -> Command,
) -> Result<DmaBuf, NvmeError> {
    let loan = controller.dma.buffer(IDENTIFY_BYTES)?.lend(Direction::FromDevice);
    let command = command(Page(loan.address().0));
    let page = carry_out::<P>(controller, what, command, (Some(Loan::Buf(loan)), None)).await?;
    page.ok_or(NvmeError::Overdue(what))
}

async fn carry_out<P: Platform>(
    controller: &Controller,
    what: &'static str,
    command: Command,
    loan: Loans,
) -> Result<Option<DmaBuf>, NvmeError> {
    let finished = controller.admin.carry_out::<P>(command, loan).await;
    match finished.result {
        Ended::Done(status) if status.is_success() => {
            Ok(finished.returned.and_then(|(data, _)| data?.into_buf()))
        }
        Ended::Done(status) => {
            log::warn!("{}: {what} refused: {status}", controller.name);
            Err(NvmeError::Refused(what))
        }
        Ended::TimedOut => Err(NvmeError::Overdue(what)),
        Ended::Reset | Ended::Gone => Err(NvmeError::Gone),
    }
}
