//! Memory objects: pages that several processes map and devices use in place.
//!
//! The pages live as long as anybody needs them: each mapping and each device that is using some
//! holds its own part. The object, which capabilities name, is what new mappings are made from; as
//! long as it lives its pages are charged to whoever made it, and to all objects together. What
//! outlives it is bounded otherwise: mappings count in their process's share, and what devices hold
//! by the requests under way.

use super::limits::{self, RESERVE_FRAMES};
use super::space::Space;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hal::dma::{DmaDomain, SharedPages, SharedPagesBuilder};
use hal::memory::frames;
use protocols::abi::{Error, MEMORY_MAX, PAGE};

/// Pages made between two chances for other tasks.
const BATCH: usize = 64;

/// Pages of all objects.
static CHARGED: AtomicU64 = AtomicU64::new(0);

/// A memory object.
#[derive(Debug)]
pub struct MemoryObject {
    pages: SharedPages,
    _charge: Charge,
}

/// Pages that count until this is dropped.
#[derive(Debug)]
struct Charge {
    pages: u64,
    maker: Arc<AtomicU64>,
}

impl Charge {
    /// Charges them to the process of that space and to all objects together.
    fn new(pages: u64, space: &Space) -> Result<Self, Error> {
        let charge = Self { pages, maker: space.objects.clone() };
        let all = CHARGED.fetch_add(pages, Relaxed) + pages;
        charge.maker.fetch_add(pages, Relaxed);
        // On error the drop takes it off again.
        if all > limits::object_pages_max() {
            return Err(Error::OutOfMemory);
        }
        space.check_share(0)?;
        Ok(charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        CHARGED.fetch_sub(self.pages, Relaxed);
        self.maker.fetch_sub(self.pages, Relaxed);
    }
}

impl MemoryObject {
    /// [`protocols::abi::Syscall::MemoryCreate`], for the process of that space.
    pub async fn create(len: u64, space: &Space) -> Result<Self, Error> {
        let len = usize::try_from(len).map_err(|_| Error::InvalidArgument)?;
        if len == 0 || len > MEMORY_MAX || !len.is_multiple_of(PAGE) {
            return Err(Error::InvalidArgument);
        }
        limits::room_for_object()?;
        let charge = Charge::new((len / PAGE) as u64, space)?;
        let mut pages = SharedPagesBuilder::new(DmaDomain::machine());
        let mut missing = len / PAGE;
        loop {
            let now = missing.min(BATCH);
            if frames::free_in_pool() <= RESERVE_FRAMES + now as u64 {
                return Err(Error::OutOfMemory);
            }
            pages.grow(now).map_err(|_| Error::OutOfMemory)?;
            missing -= now;
            if missing == 0 {
                break;
            }
            executor::yield_now().await;
        }
        let pages = pages.finish().ok_or(Error::InvalidArgument)?;
        Ok(Self { pages, _charge: charge })
    }

    /// Its pages.
    pub fn pages(&self) -> &SharedPages {
        &self.pages
    }
}
