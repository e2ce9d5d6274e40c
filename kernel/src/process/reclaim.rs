//! Letting objects go only when no core can still be looking at them.
//!
//! A system call may use an object it found in a handle table without counting it. So an object that
//! leaves a table is kept until every core has come through its executor once more: a task that ran
//! there proves that whatever was under way is over.

use super::object::Object;
use crate::platform::{self, Pollux};
use alloc::vec::Vec;
use executor::sync::Notify;
use executor::{CoreId, Priority};

static WAITING: spin::Mutex<Vec<Object>> = spin::Mutex::new(Vec::new());
static ARRIVED: Notify = Notify::new();

/// Drops `object` once every core has passed a quiescent point. Not from interrupt handlers.
pub fn defer(object: Object) {
    WAITING.lock().push(object);
    ARRIVED.notify();
}

/// Starts the task that does it.
pub fn start() {
    executor::spawn::<Pollux, _>("reclaim", Priority::Low, async {
        loop {
            ARRIVED.wait().await;
            let batch = core::mem::take(&mut *WAITING.lock());
            quiesce().await;
            drop(batch);
            // What a thread that was killed in the middle of an unmap left behind.
            hal::x86_64::paging::reap_quarantine();
        }
    })
    .detach();
}

/// Returns once every core has run a task since.
pub async fn quiesce() {
    on_each_core(u64::MAX, || ()).await;
}

/// Runs `work` in a task on every core of `mask` (bit n: core n) and waits for all of them.
pub async fn on_each_core(mask: u64, work: impl Fn() + Copy + Send + 'static) {
    let here = platform::here().core;
    let mut asked = Vec::new();
    for core in (0..platform::core_count() as u16).map(CoreId) {
        if core == here || mask & 1 << core.0 == 0 {
            continue;
        }
        let task = move || async move { work() };
        asked.push(executor::spawn_on::<Pollux, _, _>(core, "each core", Priority::High, task));
    }
    if mask & 1 << here.0 != 0 {
        work();
    }
    for task in asked {
        // Nobody cancels these.
        let _ = task.await;
    }
}
