//! How much DMA memory there is in use, kept ready, and lost.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::machine;

static LEAKED: AtomicUsize = AtomicUsize::new(0);
/// Pages that are shared.
pub(super) static SHARED_PAGES: AtomicUsize = AtomicUsize::new(0);

/// Bytes leaked because a device may still reach them, since start.
pub fn leaked_bytes() -> usize {
    LEAKED.load(Ordering::Relaxed)
}

/// How DMA memory is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes handed out and not given back, in whole pages: buffers, rings, shared pages, and what
    /// was leaked.
    pub in_use: usize,
    /// Of these, shared pages.
    pub shared: usize,
    /// Bytes that cores keep for their next buffers.
    pub pooled: usize,
    /// Bytes leaked because a device may still reach them, since start.
    pub leaked: usize,
}

/// How DMA memory is used now. Other cores go on meanwhile.
pub fn statistics() -> Statistics {
    let (in_use, pooled) = machine::dma_bytes();
    let shared = SHARED_PAGES.load(Ordering::Relaxed) * super::PAGE;
    Statistics { in_use, shared, pooled, leaked: leaked_bytes() }
}

/// Gives the memory that this core keeps for its next buffers back to everybody. Each core does so
/// by itself where memory has become scarce or it finds none; this is for whoever wants it now.
pub fn drain() {
    machine::drain_dma();
}

/// Counts and reports memory that is lost because a device may still use it. The memory itself needs
/// no code to be leaked: nothing frees it.
#[cold]
pub(super) fn leaked(bytes: usize) {
    LEAKED.fetch_add(bytes, Ordering::Relaxed);
    log::warn!("hal: {bytes} bytes of DMA memory leaked: a device may still use them");
}
