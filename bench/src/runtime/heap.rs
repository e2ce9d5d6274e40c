//! The heap: talc over memory mapped in steps as it is needed, and never given back.
//!
//! A thread that finds the heap locked yields its core: the holder may be a thread of the same
//! core that the timer took away.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;

use spin::RelaxStrategy;
use spin::mutex::SpinMutex;
use talc::base::Talc;
use talc::base::binning::{Binning, DefaultBinning};
use talc::source::Source;

use super::calls;
use super::memory;
use crate::abi::{PAGE, Protection};

/// Least bytes asked of the kernel at a time.
const STEP: usize = 256 * 1024;

/// Gives the core away while the heap is locked.
struct YieldCore;

impl RelaxStrategy for YieldCore {
    fn relax() {
        let _ = calls::yield_now();
    }
}

/// Maps more memory when the heap runs out.
#[derive(Debug)]
struct MappedMemory;

// SAFETY: `acquire` claims memory the kernel mapped for this alone, and allocates nothing.
unsafe impl Source for MappedMemory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        // Room for the allocation at its alignment, talc's own words and its first-heap tables.
        let wanted = layout.size().checked_add(layout.align()).ok_or(())?;
        let wanted = wanted.checked_add(PAGE + talc::min_first_heap_size::<B>()).ok_or(())?;
        let len = wanted.max(STEP).checked_next_multiple_of(PAGE).ok_or(())?;
        let base = memory::map(0, len, Protection::WRITE).map_err(|_| ())?;
        // SAFETY: the range was mapped just now, read-write, and nobody else knows it.
        unsafe { talc.claim(base, len) }.map(|_| ()).ok_or(())
    }
}

/// The program's heap.
struct Heap(SpinMutex<Talc<MappedMemory, DefaultBinning>, YieldCore>);

#[cfg_attr(target_os = "none", global_allocator)]
#[cfg_attr(not(target_os = "none"), allow(dead_code))]
static HEAP: Heap = Heap(SpinMutex::new(Talc::new(MappedMemory)));

// SAFETY: talc returns fresh memory of the layout or nothing; the lock makes its use exclusive.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises a layout of more than zero bytes.
        unsafe { self.0.lock().allocate(layout) }.map_or(null_mut(), |block| block.as_ptr())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that `block` came from `alloc` with this layout.
        unsafe { self.0.lock().deallocate(block, layout) }
    }
}
