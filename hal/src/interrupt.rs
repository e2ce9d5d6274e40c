//! Interrupts as something to await.
//!
//! A handler touches nothing but an [`InterruptLatch`]: it counts and wakes, without a lock, an
//! allocation or a free. The driver's [`Interrupt`] waits on that latch by `core::task`, so no
//! executor is known here.
//!
//! ```text
//!   device ──> controller (IOAPIC, MSI, MSI-X) ──> handler: latch.raise()
//!                  ^ mask/unmask/rearm                  │ count += 1, wake
//!   driver ── Interrupt::wait() <───────────────────────┘ takes the count
//! ```
//!
//! An interrupt raised while nobody waits is not lost: the next `wait` returns at once. Several make
//! one wake with a count. Level-triggered lines are masked by the handler and rearmed by the next
//! `wait`, when the driver has silenced the device.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use futures_util::task::AtomicWaker;

use crate::machine;

/// What an interrupt handler sets and a driver awaits.
#[derive(Debug, Default)]
pub struct InterruptLatch {
    raised: AtomicU32,
    waker: AtomicWaker,
}

impl InterruptLatch {
    /// A latch nobody has raised.
    pub const fn new() -> Self {
        Self { raised: AtomicU32::new(0), waker: AtomicWaker::new() }
    }

    /// The interrupt arrived. Called by its handler; never locks, allocates or frees.
    #[inline]
    pub fn raise(&self) {
        self.raised.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Takes what was raised since the last time, if anything.
    #[inline]
    pub fn take(&self) -> Option<NonZeroU32> {
        // A look before the locked operation: polling drivers ask often and in vain.
        if self.raised.load(Ordering::Relaxed) == 0 {
            return None;
        }
        NonZeroU32::new(self.raised.swap(0, Ordering::Acquire))
    }
}

/// What an interrupt controller can do to one line or vector. Implemented where the controller is
/// driven; its drop gives the vector back.
pub trait InterruptControl: Send + Sync {
    /// No more interrupts until `unmask`. One under way may still arrive.
    fn mask(&self);
    /// Interrupts again. On a level-triggered line, at once if the device still asks for one.
    fn unmask(&self);
    /// The driver has dealt with the last one and waits for the next. Level-triggered lines unmask
    /// here what their handler masked; edge-triggered ones have nothing to do.
    fn rearm(&self) {}
}

/// One interrupt of a device, owned by its driver.
pub struct Interrupt {
    latch: machine::LatchRef,
    control: Box<dyn InterruptControl>,
    armed: Armed,
}

/// Whether the driver wants interrupts; the line may be masked for other reasons.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    Masked,
    Unmasked,
}

impl Interrupt {
    /// Joins a latch to the controller line that raises it. The line begins masked.
    // Handed out by the interrupt controllers of each machine only.
    #[allow(dead_code)]
    pub(crate) fn new(latch: machine::LatchRef, control: Box<dyn InterruptControl>) -> Self {
        control.mask();
        Self { latch, control, armed: Armed::Masked }
    }

    /// Waits until it has been raised since the last `wait` or `take`, and says how often.
    ///
    /// Unmasks nothing by itself: a masked interrupt is waited for until someone unmasks it. Dropping
    /// the future loses nothing.
    pub async fn wait(&mut self) -> NonZeroU32 {
        let this = &*self;
        let mut rearmed = false;
        poll_fn(move |context| {
            if let Some(count) = this.latch.take() {
                return Poll::Ready(count);
            }
            this.latch.waker.register(context.waker());
            if !rearmed && this.armed == Armed::Unmasked {
                this.control.rearm();
                rearmed = true;
            }
            // Raised between the look and the registration.
            match this.latch.take() {
                Some(count) => Poll::Ready(count),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what was raised since the last time without waiting: for polled operation.
    pub fn take(&mut self) -> Option<NonZeroU32> {
        self.latch.take()
    }

    /// Stops it at the controller. One under way may still be counted.
    pub fn mask(&mut self) {
        self.armed = Armed::Masked;
        self.control.mask();
    }

    /// Lets it through.
    pub fn unmask(&mut self) {
        self.armed = Armed::Unmasked;
        self.control.unmask();
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.control.mask();
        self.latch.waker.take();
        self.latch.take();
    }
}
