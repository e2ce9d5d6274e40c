//! The promise of [`CoreLocal`] to embassy-sync.

use embassy_sync::blocking_mutex::raw::RawMutex;

use crate::{platform::Platform, sync::CoreLocal};

// SAFETY: `enter` lets in only the context of the one core that owns the lock, and only if it is
// not inside already; so closures under one lock never overlap, and all run in one context. If `f`
// panics it stays locked for good.
unsafe impl<P: Platform> RawMutex for CoreLocal<P> {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self::unlocked();

    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.enter();
        let result = f();
        self.leave();
        result
    }
}
