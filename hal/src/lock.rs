//! A spin lock that keeps interrupts off on this core for as long as it is held.
//!
//! For the few things which any context may need for a moment (a UART, the console, the frame
//! pool). Hold times are short and bounded; nothing is allocated, awaited or logged under it.
//! Interrupt handlers take no lock by the house's rules, but a panic or a fault may come at any
//! point: those use [`InterruptLock::try_lock_for`], which gives up instead of hanging.

use core::ops::{Deref, DerefMut};

use spin::{Mutex, MutexGuard};

/// A value behind a spin lock, interrupts off while it is held.
pub struct InterruptLock<T> {
    inner: Mutex<T>,
}

/// Access to the value; dropping it unlocks, then gives interrupts back as they were.
pub struct InterruptLockGuard<'a, T> {
    // Dropped in this order.
    value: MutexGuard<'a, T>,
    _interrupts: InterruptsOff,
}

impl<T> InterruptLock<T> {
    /// A lock, free.
    pub const fn new(value: T) -> Self {
        Self { inner: Mutex::new(value) }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> InterruptLockGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        InterruptLockGuard { value: self.inner.lock(), _interrupts: interrupts }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<InterruptLockGuard<'_, T>> {
        self.try_lock_for(1)
    }

    /// Looks `attempts` times whether the lock is free. For panics and NMIs, whose own core may
    /// hold it.
    pub fn try_lock_for(&self, attempts: u32) -> Option<InterruptLockGuard<'_, T>> {
        let interrupts = InterruptsOff::new();
        for _ in 0..attempts {
            if let Some(value) = self.inner.try_lock() {
                return Some(InterruptLockGuard { value, _interrupts: interrupts });
            }
            core::hint::spin_loop();
        }
        None
    }

    /// As [`try_lock_for`](Self::try_lock_for), and then takes the lock from whoever holds it.
    ///
    /// # Safety
    /// A holder that does not give the lock back in time never goes on: its core has stopped, or
    /// this core will not return to it. The value must be one that any interruption leaves usable.
    pub unsafe fn lock_by_force(&self, attempts: u32) -> InterruptLockGuard<'_, T> {
        if let Some(guard) = self.try_lock_for(attempts) {
            return guard;
        }
        // SAFETY: the caller vouches that the holder never uses its access again.
        unsafe { self.inner.force_unlock() };
        self.lock()
    }
}

impl<T> Deref for InterruptLockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for InterruptLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Interrupts are off on this core until this is dropped (if they were on before). Nests.
pub struct InterruptsOff {
    #[cfg(all(target_os = "none", target_arch = "x86_64"))]
    were_on: bool,
    /// Not to be sent to another core.
    _here: core::marker::PhantomData<*mut ()>,
}

impl InterruptsOff {
    /// Turns interrupts off on this core.
    #[inline]
    pub fn new() -> Self {
        #[cfg(all(target_os = "none", target_arch = "x86_64"))]
        let were_on = {
            let were_on = ::x86_64::instructions::interrupts::are_enabled();
            ::x86_64::instructions::interrupts::disable();
            were_on
        };
        Self {
            #[cfg(all(target_os = "none", target_arch = "x86_64"))]
            were_on,
            _here: core::marker::PhantomData,
        }
    }
}

impl Default for InterruptsOff {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InterruptsOff {
    #[inline]
    fn drop(&mut self) {
        #[cfg(all(target_os = "none", target_arch = "x86_64"))]
        if self.were_on {
            ::x86_64::instructions::interrupts::enable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_and_then_free() {
        let lock = InterruptLock::new(1);
        let mut held = lock.lock();
        *held += 1;
        assert!(lock.try_lock_for(10).is_none());
        drop(held);
        assert_eq!(*lock.try_lock().unwrap(), 2);
        core::mem::forget(lock.lock());
        // SAFETY: the guard is gone for good.
        assert_eq!(*unsafe { lock.lock_by_force(10) }, 2);
    }
}
