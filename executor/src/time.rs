//! Futures about time and turns: `sleep`, `timeout`, `yield_now`.

use core::{
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use crate::{Core, Instant, Platform, timer::TimerKey};

/// Resolves at a deadline. Sets its timer on the core that polls it first and stays there.
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep<P: Platform> {
    deadline: Instant,
    timer: Option<(&'static Core<P>, TimerKey)>,
    /// A timer is cancelled on its own core.
    not_send: PhantomData<*const ()>,
}

/// Sleeps until `deadline`.
pub fn sleep_until<P: Platform>(deadline: Instant) -> Sleep<P> {
    Sleep { deadline, timer: None, not_send: PhantomData }
}

/// Sleeps for `ticks` of the platform's clock from now on.
pub fn sleep<P: Platform>(ticks: u64) -> Sleep<P> {
    sleep_until(P::now().after(ticks))
}

impl<P: Platform> Future for Sleep<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if P::now() >= self.deadline {
            self.disarm();
            return Poll::Ready(());
        }
        if let Some((core, key)) = self.timer {
            let local = core.local();
            let mut timers = local.timers.borrow_mut();
            if let Some(waker) = timers.waker(key) {
                if !waker.will_wake(cx.waker()) {
                    let old = core::mem::replace(waker, cx.waker().clone());
                    drop(timers);
                    drop(old);
                }
                return Poll::Pending;
            }
        }
        let core = Core::<P>::current();
        let local = core.local();
        let waker = cx.waker().clone();
        let key = local.timers.borrow_mut().set(self.deadline, waker);
        core.note_earliest(local);
        self.timer = Some((core, key));
        Poll::Pending
    }
}

impl<P: Platform> Sleep<P> {
    fn disarm(&mut self) {
        if let Some((core, key)) = self.timer.take() {
            let local = core.local();
            let waker = local.timers.borrow_mut().cancel(key);
            core.note_earliest(local);
            drop(waker);
        }
    }
}

impl<P: Platform> Drop for Sleep<P> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl<P: Platform> Unpin for Sleep<P> {}

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl core::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for TimedOut {}

/// `future`'s output, unless `deadline` comes first; then `future` is dropped. If both are ready,
/// the output wins.
///
/// # Errors
///
/// [`TimedOut`].
pub async fn timeout<P: Platform, F: Future>(
    deadline: Instant,
    future: F,
) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    let mut sleep = sleep_until::<P>(deadline);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut sleep).poll(cx).map(|()| Err(TimedOut))
    })
    .await
}

/// See [`yield_now`].
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

/// Lets the core's other tasks run: resolves in its next turn.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
