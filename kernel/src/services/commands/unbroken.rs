//! Work on volumes that is not dropped half-way: it is a task of its own, told to stop instead, and
//! then brings to rest what it began. One at a time.
//!
//! ```text
//!   shell: awaits ──Ctrl-C──> dropped: the flag is set
//!   task:  ─── work, looks at the flag now and then ───> undoes, syncs, ends
//! ```

use crate::platform::Pollux;
use alloc::sync::Arc;
use core::future::Future;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use executor::Priority;
use executor::sync::{Semaphore, oneshot};

static TURN: Semaphore = Semaphore::new(1);

/// Whether whoever wanted the work has gone.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to come to an end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Relaxed)
    }
}

struct AskOnDrop(Arc<AtomicBool>);

impl Drop for AskOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Has `work` done to its end, and gives what it gives. `None`: its task was lost.
pub async fn unbroken<T, F>(work: impl FnOnce(Stop) -> F + 'static) -> Option<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let stop = Stop(asked.clone());
    let (sender, receiver) = oneshot::channel();
    let task = async move {
        let _turn = TURN.acquire(1).await;
        let done = work(stop).await;
        // Whoever waited may have gone.
        drop(sender.send(done));
    };
    executor::spawn::<Pollux, _>("files", Priority::Normal, task).detach();
    let _ask = AskOnDrop(asked);
    receiver.await.ok()
}

/// Waits until what is under way has come to its end.
pub async fn at_rest() {
    drop(TURN.acquire(1).await);
}
