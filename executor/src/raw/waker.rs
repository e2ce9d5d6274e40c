//! The `RawWaker` over a task: on the owner core plain stores, elsewhere the inbox.
//!
//! A waker is a reference to its task. Cloning, waking and dropping ask `Platform::current` whether
//! this is the owner core, and then touch either the owner's cells or the shared word. None of them
//! locks, allocates or frees.

use core::{
    mem::ManuallyDrop,
    task::{RawWaker, RawWakerVTable, Waker},
};

use super::task::TaskRef;
use crate::platform::Platform;

trait Table {
    const TABLE: RawWakerVTable;
}

impl<P: Platform> Table for P {
    const TABLE: RawWakerVTable =
        RawWakerVTable::new(clone::<P>, wake::<P>, wake_by_ref::<P>, drop::<P>);
}

fn table<P: Platform>() -> &'static RawWakerVTable {
    const { &<P as Table>::TABLE }
}

/// A waker that borrows the caller's reference.
#[inline(always)]
pub(crate) fn borrowed<P: Platform>(task: TaskRef<P>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(task.as_ptr(), table::<P>());
    // SAFETY: the table's functions keep the contract of `RawWaker`; the pointer is a live task's.
    // Never dropped, so the borrowed reference is not given back.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

unsafe fn clone<P: Platform>(ptr: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the task alive.
    unsafe { TaskRef::<P>::from_ptr(ptr) }.acquire();
    RawWaker::new(ptr, table::<P>())
}

unsafe fn wake<P: Platform>(ptr: *const ()) {
    // SAFETY: this waker keeps the task alive until the release.
    let task = unsafe { TaskRef::<P>::from_ptr(ptr) };
    if task.is_home() {
        task.wake_home();
        task.release_home();
    } else {
        task.wake_away();
        task.release_away();
    }
}

unsafe fn wake_by_ref<P: Platform>(ptr: *const ()) {
    // SAFETY: the waker keeps the task alive.
    let task = unsafe { TaskRef::<P>::from_ptr(ptr) };
    if task.is_home() {
        task.wake_home();
    } else {
        task.wake_away();
    }
}

unsafe fn drop<P: Platform>(ptr: *const ()) {
    // SAFETY: this waker keeps the task alive until the release.
    unsafe { TaskRef::<P>::from_ptr(ptr) }.release();
}
