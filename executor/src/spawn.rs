//! Making tasks, placing them, and joining them.

use alloc::vec::Vec;
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{Core, CoreId, Platform, Priority, TaskInfo, raw::join::RawJoin};

/// The task was cancelled before it had an output (or its output was taken before).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl core::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl core::error::Error for Cancelled {}

/// A task's output to come. Dropping the handle cancels the task; [`JoinHandle::detach`] lets it
/// run.
///
/// A cancelled task's future is dropped by its own core, soon, never inside the call that cancels.
/// The handle is for tasks: dropping it may drop the output, which an interrupt handler should not
/// do.
#[must_use = "dropping the handle cancels the task; use detach() to let it run"]
pub struct JoinHandle<T> {
    task: RawJoin<T>,
    on_drop: OnDrop,
}

enum OnDrop {
    Cancel,
    Detach,
}

impl<T> JoinHandle<T> {
    fn new(task: RawJoin<T>) -> Self {
        Self { task, on_drop: OnDrop::Cancel }
    }

    /// Lets the task run to its end; its output is dropped.
    pub fn detach(mut self) {
        self.on_drop = OnDrop::Detach;
    }

    /// Asks for the task's future to be dropped. The handle then yields `Err(Cancelled)`, or the
    /// output if that came first. No effect on a task that is done.
    pub fn cancel(&self) {
        self.task.cancel();
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let OnDrop::Cancel = self.on_drop {
            self.task.cancel();
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.poll(cx).map(|output| output.ok_or(Cancelled))
    }
}

impl<T> Unpin for JoinHandle<T> {}

/// Starts a task on this core. `name` is what statistics, stall reports and panics call it.
///
/// # Panics
///
/// In an interrupt handler or on a foreign thread.
pub fn spawn<P, F>(name: &'static str, priority: Priority, future: F) -> JoinHandle<F::Output>
where
    P: Platform,
    F: Future + 'static,
{
    let (join, _waker) = Core::<P>::current().adopt(name, priority, future);
    JoinHandle::new(join)
}

/// Starts a task on `core`: `make` is sent there and builds the future, which need not be `Send`.
/// The output comes back through the handle. A core that is not up yet starts the task when it
/// comes up.
///
/// # Panics
///
/// If there is no such core.
pub fn spawn_on<P, F, M>(
    core: CoreId,
    name: &'static str,
    priority: Priority,
    make: M,
) -> JoinHandle<F::Output>
where
    P: Platform,
    F: Future + 'static,
    F::Output: Send,
    M: FnOnce() -> F + Send + 'static,
{
    if P::current() == Some(core) {
        spawn::<P, _>(name, priority, make())
    } else {
        JoinHandle::new(P::cores()[usize::from(core.0)].send(name, priority, make))
    }
}

/// The core for a new task: of those that are up, the one with the least [`crate::Load::weight`];
/// this core if it is among the least. Tasks on their way count, so a burst spreads; the task that
/// asks does not, since it is likely to wait for those it starts.
#[must_use]
pub fn least_loaded<P: Platform>() -> CoreId {
    let here = P::current();
    P::cores()
        .iter()
        .filter(|core| core.is_online() || Some(core.id()) == here)
        .min_by_key(|core| {
            let mut load = core.load();
            let elsewhere = Some(core.id()) != here;
            if !elsewhere {
                load.ready = load.ready.saturating_sub(1);
            }
            (load.weight(), elsewhere)
        })
        .map_or(CoreId(0), Core::id)
}

/// Statistics of the tasks that live on `core`, asked over there.
///
/// # Errors
///
/// [`Cancelled`] if the core went away.
///
/// # Panics
///
/// If there is no such core.
pub async fn tasks_of<P: Platform>(core: CoreId) -> Result<Vec<TaskInfo>, Cancelled> {
    spawn_on::<P, _, _>(core, "tasks", Priority::High, || async { Core::<P>::current().tasks() })
        .await
}
