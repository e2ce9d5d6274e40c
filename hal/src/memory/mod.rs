//! Memory: addresses, the map of what there is, frames, the heap and address spaces.
//!
//! Boot order: [`init`] (frames and heap, on the loader's tables) → per-core block →
//! [`enable_core_caches`] → our own page tables → [`frames::reclaim_loader_memory`].

mod address;
pub mod bitmap;
#[cfg(target_os = "none")]
pub mod direct_map;
#[cfg(target_os = "none")]
pub mod frames;
#[cfg(target_os = "none")]
pub mod heap;
pub mod map;
pub mod ranges;
pub mod regions;
pub mod size_class;
#[cfg(target_os = "none")]
pub mod stack;

pub use address::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr};

/// Sets up frames and heap from the loader's map. Called once, first thing after `boot::init`.
#[cfg(target_os = "none")]
pub fn init(info: &crate::boot::BootInfo) {
    direct_map::set_offset(info.direct_map_offset);
    frames::init(info, crate::x86_64::paging::physical_bits());
}

/// Lets each core keep free frames and small heap blocks for itself, from now on.
///
/// # Safety
/// The calling core's per-core block is installed, and every other core installs its own before it
/// allocates or frees anything.
#[cfg(target_os = "none")]
pub unsafe fn enable_core_caches() {
    PER_CORE.store(true, core::sync::atomic::Ordering::Relaxed);
}

#[cfg(target_os = "none")]
static PER_CORE: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// This core's number, once per-core blocks are in place.
#[cfg(target_os = "none")]
#[inline]
pub(crate) fn this_core() -> Option<u16> {
    PER_CORE
        .load(core::sync::atomic::Ordering::Relaxed)
        .then(|| crate::x86_64::percpu::this().core())
}
