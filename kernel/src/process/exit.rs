//! An event that happens once and that any number of tasks on any cores may wait for.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// The event; `T` is what it leaves behind.
#[derive(Debug)]
pub struct Event<T> {
    inner: spin::Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: Option<T>,
    waiting: Vec<Waker>,
}

impl<T: Copy> Event<T> {
    /// It hasn't happened.
    pub const fn new() -> Self {
        Self { inner: spin::Mutex::new(Inner { value: None, waiting: Vec::new() }) }
    }

    /// It happens now, unless it has. Not from interrupt handlers.
    pub fn set(&self, value: T) {
        let woken = {
            let mut inner = self.inner.lock();
            if inner.value.is_some() {
                return;
            }
            inner.value = Some(value);
            core::mem::take(&mut inner.waiting)
        };
        for waker in woken {
            waker.wake();
        }
    }

    /// What it left behind, if it has happened.
    pub fn get(&self) -> Option<T> {
        self.inner.lock().value
    }

    /// Waits for it.
    pub async fn wait(&self) -> T {
        poll_fn(|context| {
            let mut inner = self.inner.lock();
            if let Some(value) = inner.value {
                return Poll::Ready(value);
            }
            if !inner.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                inner.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl<T: Copy> Default for Event<T> {
    fn default() -> Self {
        Self::new()
    }
}
