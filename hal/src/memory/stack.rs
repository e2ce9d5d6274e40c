//! Kernel stacks with an unmapped page at each end, and where all known stacks lie.
//!
//! The register of stacks is what a backtrace trusts, and what tells a fault handler that an
//! address is the guard page of a stack. It is read without a lock: panics read it.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{FRAME_SIZE, VirtAddr};
use crate::x86_64::paging::MapError;
use crate::x86_64::paging::windows::Mapping;

/// Most stacks that are known at once: four a core (its own, NMI, double fault, machine check).
const KNOWN: usize = 5 * crate::x86_64::MAX_CORES;

static STACKS: [Place; KNOWN] = [const { Place::new() }; KNOWN];

struct Place {
    start: AtomicU64,
    end: AtomicU64,
}

impl Place {
    const fn new() -> Self {
        Self { start: AtomicU64::new(0), end: AtomicU64::new(0) }
    }

    fn range(&self) -> Range<u64> {
        self.start.load(Ordering::Acquire)..self.end.load(Ordering::Relaxed)
    }
}

/// A stack for the kernel.
pub struct KernelStack {
    mapping: Mapping,
}

impl KernelStack {
    /// A stack of `pages` pages.
    pub fn new(pages: u64) -> Result<Self, MapError> {
        let mapping = Mapping::allocate(pages)?;
        register(mapping.start(), VirtAddr(mapping.start().0 + mapping.size()));
        Ok(Self { mapping })
    }

    /// One past its last byte, aligned to a page: what a stack pointer starts from.
    pub fn top(&self) -> VirtAddr {
        VirtAddr(self.mapping.start().0 + self.mapping.size())
    }

    /// Its lowest byte.
    pub fn bottom(&self) -> VirtAddr {
        self.mapping.start()
    }

    /// Keeps the stack for as long as the kernel runs.
    pub fn leak(self) -> VirtAddr {
        let top = self.top();
        core::mem::forget(self);
        top
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let start = self.bottom().0;
        for place in &STACKS {
            let _ = place.start.compare_exchange(start, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

/// Leaves the current stack for `stack`, for good, and goes on in `entry` there. Backtraces end in
/// `entry`.
///
/// # Safety
/// Nothing on the current stack is used again, and nothing is to be dropped there.
pub unsafe fn run_on(stack: KernelStack, entry: extern "C" fn() -> !) -> ! {
    let top = stack.leak();
    // SAFETY: the stack is mapped, its own from here on, and 16-byte aligned; the call leaves the
    // return address that the calling convention expects, and a frame pointer of zero ends the
    // chain.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {entry}",
            "ud2",
            top = in(reg) top.0,
            entry = in(reg) entry,
            options(noreturn)
        )
    }
}

/// Makes a stack known that is no [`KernelStack`]: a static one, or the loader's. If there is no
/// room, backtraces will not follow it.
pub fn register(start: VirtAddr, end: VirtAddr) {
    for place in &STACKS {
        if place.start.load(Ordering::Relaxed) == 0 {
            place.end.store(end.0, Ordering::Relaxed);
            if place.start.compare_exchange(0, start.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                // Another core may have claimed the place's end before this one won its start.
                place.end.store(end.0, Ordering::Release);
                return;
            }
        }
    }
}

/// The known stack that holds an address.
pub fn containing(address: VirtAddr) -> Option<Range<u64>> {
    STACKS.iter().map(Place::range).find(|range| range.start != 0 && range.contains(&address.0))
}

/// Whether an address lies in the guard page below a known stack: whoever used that stack
/// overflowed it.
pub fn is_guard_page(address: VirtAddr) -> bool {
    let page = FRAME_SIZE as u64;
    STACKS
        .iter()
        .map(Place::range)
        .any(|range| range.start != 0 && (range.start - page..range.start).contains(&address.0))
}
