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
//! An interrupt raised while nobody waits is not lost: the next `wait` returns at once. Several
//! make one wake with a count. Level-triggered lines are masked by the handler and rearmed by the
//! next `wait`, when the driver has silenced the device.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::machine;
use crate::pci::RouteError;

/// Why there is no interrupt to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror_no_std::Error)]
pub enum InterruptError {
    /// All device vectors of that core are taken.
    #[error("core {0} has no free interrupt vector: use another core")]
    NoVector(u16),
    /// All latches are taken.
    #[error("too many device interrupts in use")]
    NoLatch,
    /// That core is not up.
    #[error("core {0} is not running: use another core")]
    NoSuchCore(u16),
    /// No I/O APIC has that line, or it is wired to NMI.
    #[error("interrupt line {0} does not exist or is not a device's")]
    NoSuchLine(u32),
    /// Somebody else has the line, and wants it another way.
    #[error("interrupt line {0} is taken by somebody who does not share it")]
    LineTaken(u32),
    /// The function uses none of the four pins.
    #[error("it has no legacy interrupt either")]
    NoPin,
    /// Nobody knows where the pin leads.
    #[error("{0}")]
    NoRoute(#[from] RouteError),
    /// The core's APIC id does not fit into a message (that takes interrupt remapping).
    #[error("core {0} cannot be reached by device interrupts: use one with a lower APIC id")]
    Unreachable(u16),
}

/// What a device is told to write to interrupt a core (Intel SDM vol. 3A, 12.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// Where to.
    pub address: u64,
    /// What.
    pub data: u32,
}

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

    /// Takes what was raised, or has `context` woken when something is. One task at a time.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<NonZeroU32> {
        if let Some(count) = self.take() {
            return Poll::Ready(count);
        }
        self.waker.register(context.waker());
        // Raised between the look and the registration.
        self.take().map_or(Poll::Pending, Poll::Ready)
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
    /// The last one was its device's own. Shared lines want to know: see
    /// [`Interrupt::was_mine`].
    fn claim(&self) {}
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
    /// Unmasks nothing by itself: a masked interrupt is waited for until someone unmasks it.
    /// Dropping the future loses nothing.
    pub async fn wait(&mut self) -> NonZeroU32 {
        let this = &*self;
        let mut rearmed = false;
        poll_fn(move |context| {
            let look = this.latch.poll_take(context);
            if look.is_pending() && !rearmed && this.armed == Armed::Unmasked {
                this.control.rearm();
                rearmed = true;
                // A level may have been delivered by that.
                return this.latch.poll_take(context);
            }
            look
        })
        .await
    }

    /// Says that the device had asked for the last interrupt. On a line that is shared, interrupts
    /// that nobody says this of for a long time are taken for a fault of the line, which is then
    /// looked at now and then only. Elsewhere it means nothing, and costs little.
    pub fn was_mine(&self) {
        self.control.claim();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ticks;
    use crate::mmio::Width;
    use crate::sim::{Bus, DeviceModel, FaultPlan, InterruptFate, Level, SimMachine, Stuck};
    use core::pin::pin;
    use core::task::Waker;
    use std::sync::Arc;
    use std::thread;

    struct Silent;

    impl DeviceModel for Silent {
        fn read(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width) -> u64 {
            0
        }
        fn write(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width, _value: u64) {}
        fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
            bus.raise(token as u32);
        }
    }

    #[test]
    fn several_make_one_wake_with_a_count() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        assert_eq!(interrupt.take(), None);
        device.raise(0);
        device.raise(0);
        assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(2));
        assert_eq!(machine.run(interrupt.wait()), Err(Stuck { at: Ticks(0) }));
    }

    #[test]
    fn one_that_comes_while_waiting_wakes() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(3);
        interrupt.unmask();
        device.act(|_, bus| bus.call_after(Ticks(500), 3));
        assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(1));
        assert_eq!(machine.clock().now(), Ticks(500));
    }

    #[test]
    fn masked_edges_stay_pending_and_a_dropped_wait_loses_nothing() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        device.raise(0);
        assert_eq!(interrupt.take(), None, "it begins masked");
        {
            let mut wait = pin!(interrupt.wait());
            let mut context = Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        interrupt.unmask();
        assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(1));
        interrupt.mask();
        assert!(device.is_masked(0));
    }

    #[test]
    fn a_level_is_delivered_again_until_silenced() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        device.act(|_, bus| bus.set_level(0, Level::Asserted));
        for _ in 0..3 {
            assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(1));
        }
        device.act(|_, bus| bus.set_level(0, Level::Deasserted));
        assert!(machine.run(interrupt.wait()).is_err());
        assert_eq!(device.delivered(0), 3);
    }

    #[test]
    fn faults_lose_repeat_and_delay() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        let mut fates = [
            InterruptFate::Lose,
            InterruptFate::Repeat(3),
            InterruptFate::Delay(Ticks(70)),
            InterruptFate::Deliver,
        ]
        .into_iter();
        device.set_faults(
            FaultPlan::new().on_interrupt(move |_| fates.next().unwrap_or(InterruptFate::Deliver)),
        );
        device.raise(0);
        assert_eq!(interrupt.take(), None);
        device.raise(0);
        assert_eq!(interrupt.take().map(NonZeroU32::get), Some(3));
        device.raise(0);
        assert_eq!(interrupt.take(), None);
        assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(1));
        assert_eq!(machine.clock().now(), Ticks(70));
    }

    #[test]
    fn dropping_it_masks_the_line() {
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        assert!(!device.is_masked(0));
        drop(interrupt);
        assert!(device.is_masked(0));
        device.raise(0);
        assert_eq!(device.delivered(0), 0);
    }

    /// A handler on another core: nothing is lost between the look and the registration.
    #[test]
    fn raised_from_another_thread() {
        const TIMES: u32 = 10_000;
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let machine = SimMachine::new();
        let device = machine.add("device", Silent);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    device.raise(0);
                }
            });
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            let mut context = Context::from_waker(&waker);
            let mut seen = 0;
            while seen < TIMES {
                let mut wait = pin!(interrupt.wait());
                loop {
                    match wait.as_mut().poll(&mut context) {
                        Poll::Ready(count) => break seen += count.get(),
                        Poll::Pending => thread::park(),
                    }
                }
            }
            assert_eq!(seen, TIMES);
        });
    }
}
