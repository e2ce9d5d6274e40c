//! Memory objects: pages that several processes map and devices use in place.
//!
//! The pages live as long as anybody needs them: each mapping and each device that is using some
//! holds its own part. The object, which capabilities name, is what new mappings are made from; as
//! long as it lives its pages are charged to whoever made it, and to all objects together. What
//! outlives it is bounded otherwise: mappings count in their process's share, and what devices hold
//! by the requests under way.

use super::image::Image;
use super::limits;
use super::pages;
use super::space::Space;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hal::dma::{DmaDomain, SharedPages};
use protocols::abi::{Error, MEMORY_MAX, PAGE};

/// Pages of all objects.
static CHARGED: AtomicU64 = AtomicU64::new(0);

/// A memory object.
#[derive(Debug)]
pub enum MemoryObject {
    /// Pages, charged to who made them.
    Pages(SharedPages, #[allow(dead_code, reason = "kept to be dropped")] Charge),
    /// A boot module.
    Program(Arc<Image>),
}

/// Pages that count until this is dropped: of a memory object, or of what the kernel keeps for a
/// process elsewhere.
#[derive(Debug)]
pub struct Charge {
    pages: u64,
    maker: Arc<AtomicU64>,
}

impl Charge {
    /// Charges them to the process of that space and to all objects together.
    pub fn new(pages: u64, space: &Space) -> Result<Self, Error> {
        let charge = Self { pages, maker: space.objects.clone() };
        let all = CHARGED.fetch_add(pages, Relaxed) + pages;
        charge.maker.fetch_add(pages, Relaxed);
        // On error the drop takes it off again.
        if all > limits::object_pages_max() {
            return Err(Error::OutOfMemory);
        }
        space.check_share()?;
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
        let pages = pages::anywhere(DmaDomain::machine(), len / PAGE).await?;
        Ok(Self::Pages(pages, charge))
    }

    /// A boot module's memory, of which programs are started.
    pub fn program(image: &Arc<Image>) -> Self {
        Self::Program(image.clone())
    }

    /// Bytes of it.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Pages(pages, _) => pages.bytes() as u64,
            Self::Program(image) => image.file.len() as u64,
        }
    }

    /// Its pages. Those of a program cannot be mapped or used in place: `NotSupported`.
    pub fn pages(&self) -> Result<&SharedPages, Error> {
        match self {
            Self::Pages(pages, _) => Ok(pages),
            Self::Program(_) => Err(Error::NotSupported),
        }
    }

    /// The program in it. Only boot modules are any so far: else `NotSupported`.
    pub fn image(&self) -> Result<&Image, Error> {
        match self {
            Self::Program(image) => Ok(image),
            Self::Pages(..) => Err(Error::NotSupported),
        }
    }
}
