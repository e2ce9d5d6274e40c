//! An interrupt of a lent function: from the handler's latch to a program's notification.
//!
//! ```text
//!   device ─> handler ─> latch ─> this task ─> bits in the notification ─> the program
//!                                    └── a line: waits for `Rearm`, and is silent till then
//! ```

use crate::authority::Capability;
use crate::ipc::Notification;
use crate::platform::Pollux;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::task::{Context, Poll};
use executor::Priority;
use executor::sync::Notify;
use hal::interrupt::Interrupt;
use hal::pci::InterruptKind;
use protocols::abi::device::InterruptAction;

/// The interrupt, and what it rings.
pub struct Wire {
    /// `None`: the loan is over.
    interrupt: spin::Mutex<Option<Interrupt>>,
    bell: spin::Mutex<Option<Bell>>,
    /// It came by a line, and the program has not said that the device is silent.
    is_due: AtomicBool,
    kind: InterruptKind,
    changed: Notify,
}

/// Bits of a notification.
pub struct Bell {
    /// What allows to set them.
    pub capability: Capability,
    /// What it names.
    pub notification: Arc<Notification>,
    /// What is set in it.
    pub bits: u64,
}

impl Wire {
    /// Begins to wait for `interrupt`, which is masked.
    pub fn begin(interrupt: Interrupt, kind: InterruptKind) -> Arc<Self> {
        let wire = Arc::new(Self {
            interrupt: spin::Mutex::new(Some(interrupt)),
            bell: spin::Mutex::new(None),
            is_due: AtomicBool::new(false),
            kind,
            changed: Notify::new(),
        });
        let served = wire.clone();
        let task = async move {
            while poll_fn(|context| served.poll(context)).await.is_some() {
                served.signal();
                // A program that is slow to look hears of many at once, and others have their turn.
                executor::yield_now().await;
            }
        };
        executor::spawn::<Pollux, _>("interrupt", Priority::High, task).detach();
        wire
    }

    /// Waits for the next interrupt; `None`: there is none any more.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<()>> {
        while self.changed.poll_wait(context).is_ready() {}
        let mut interrupt = self.interrupt.lock();
        let Some(interrupt) = interrupt.as_mut() else { return Poll::Ready(None) };
        if self.is_due.load(Relaxed) {
            return Poll::Pending;
        }
        // Dropping the wait loses nothing, and its waker stays.
        let came = pin!(interrupt.wait()).poll(context);
        came.map(|_count| {
            self.is_due.store(self.kind == InterruptKind::Line, Relaxed);
            Some(())
        })
    }

    /// From now on it rings that bell.
    pub fn ring(&self, bell: Bell) {
        let before = self.bell.lock().replace(bell);
        // Given up out of the lock.
        drop(before);
    }

    fn signal(&self) {
        if let Some(bell) = self.bell.lock().as_ref().filter(|bell| bell.capability.is_live()) {
            bell.notification.signal(bell.bits);
        }
    }

    /// Does to it what the program wants.
    pub fn act(&self, action: InterruptAction) {
        if let Some(interrupt) = self.interrupt.lock().as_mut() {
            match action {
                InterruptAction::Mask => interrupt.mask(),
                InterruptAction::Unmask => interrupt.unmask(),
                InterruptAction::Claim => interrupt.was_mine(),
                InterruptAction::Rearm => self.is_due.store(false, Relaxed),
            }
        }
        self.changed.notify();
    }

    /// Masks it and gives its vector back.
    pub fn end(&self) {
        drop(self.interrupt.lock().take());
        let bell = self.bell.lock().take();
        drop(bell);
        self.changed.notify();
    }
}
