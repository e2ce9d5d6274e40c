//! Pages made for ring 3, as long as enough is left for everybody else.

use super::limits::RESERVE_FRAMES;
use hal::dma::{DmaDomain, SharedPages, SharedPagesBuilder};
use hal::memory::frames;
use protocols::abi::Error;

/// Pages made between two chances for other tasks.
const BATCH: usize = 64;

/// One behind the other.
pub fn in_a_row(domain: &DmaDomain, count: usize) -> Result<SharedPages, Error> {
    check(count)?;
    domain.shared_run(count).map_err(|_| Error::OutOfMemory)
}

/// Anywhere.
pub async fn anywhere(domain: DmaDomain, count: usize) -> Result<SharedPages, Error> {
    let mut pages = SharedPagesBuilder::new(domain);
    let mut missing = count;
    while missing > 0 {
        let now = missing.min(BATCH);
        check(now)?;
        pages.grow(now).map_err(|_| Error::OutOfMemory)?;
        missing -= now;
        if missing > 0 {
            executor::yield_now().await;
        }
    }
    pages.finish().ok_or(Error::InvalidArgument)
}

fn check(count: usize) -> Result<(), Error> {
    let enough = frames::free_in_pool() > RESERVE_FRAMES + count as u64;
    if enough { Ok(()) } else { Err(Error::OutOfMemory) }
}
