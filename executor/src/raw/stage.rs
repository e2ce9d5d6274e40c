//! Where a task's future lives, and then its output: the part of a task that knows their types.
//!
//! ```text
//!   Future ── Ready ──► Output ── the handle takes it, or clear ──► Empty
//!      └───── clear (cancelled) ───────────────────────────────────► Empty
//! ```
//!
//! Before COMPLETE the stage is the owner core's. After it, it is the join handle's; once that is
//! gone, of whoever saw both COMPLETE and RELEASED ([`super::state`]).

use alloc::boxed::Box;
use core::{
    cell::UnsafeCell,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::task::{Header, TaskRef};
use crate::platform::Platform;

/// What depends on the future's type. All: on the owner core, on a live task.
pub(crate) struct Vtable<P: Platform> {
    /// Polls the future. True: it is gone and its output in place.
    pub(super) poll: unsafe fn(TaskRef<P>, &mut Context<'_>) -> bool,
    /// Drops the future (or an output nobody took).
    pub(super) clear: unsafe fn(TaskRef<P>),
    /// Moves the output into an `Option<Output>`. Run by whoever may touch the output.
    pub(super) take: unsafe fn(TaskRef<P>, *mut ()),
    /// Frees the memory.
    pub(super) free: unsafe fn(TaskRef<P>),
}

/// The functions for one type of future.
pub(super) fn vtable<P: Platform, F: Future + 'static>() -> &'static Vtable<P> {
    const { &Vtable { poll: poll::<P, F>, clear: clear::<P, F>, take: take::<P, F>, free: free::<P, F> } }
}

enum Stage<F: Future> {
    Future(F),
    Output(F::Output),
    Empty,
}

#[repr(C)]
struct TaskCell<P: Platform, F: Future> {
    header: Header<P>,
    stage: UnsafeCell<Stage<F>>,
}

/// Puts a task into memory of its own. The pointer carries the right to all of it.
pub(super) fn allocate<P: Platform, F: Future>(header: Header<P>, future: F) -> NonNull<Header<P>> {
    let cell = Box::new(TaskCell { header, stage: UnsafeCell::new(Stage::Future(future)) });
    NonNull::from(Box::leak(cell)).cast()
}

/// The stage of a task's cell.
///
/// # Safety
///
/// The task was made with this `F`.
unsafe fn stage<P: Platform, F: Future>(task: TaskRef<P>) -> *mut Stage<F> {
    let cell: *mut TaskCell<P, F> = task.node().as_ptr().cast();
    // SAFETY: the header is the first field (`repr(C)`), and the pointer carries the right to the
    // whole allocation since `new`.
    unsafe { UnsafeCell::raw_get(&raw const (*cell).stage) }
}

unsafe fn poll<P: Platform, F: Future>(task: TaskRef<P>, cx: &mut Context<'_>) -> bool {
    // SAFETY: the vtable was made with this `F`; the owner core alone reaches the stage before
    // COMPLETE, and not twice at once (POLLING).
    let stage = unsafe { &mut *stage::<P, F>(task) };
    let Stage::Future(future) = stage else { return true };
    // SAFETY: the future lives in the heap until it is dropped in place, below or in `clear`.
    match unsafe { Pin::new_unchecked(future) }.poll(cx) {
        Poll::Pending => false,
        Poll::Ready(output) => {
            *stage = Stage::Output(output);
            true
        }
    }
}

unsafe fn clear<P: Platform, F: Future>(task: TaskRef<P>) {
    // SAFETY: as in `poll`; after COMPLETE and RELEASED, the caller alone has the output.
    unsafe { *stage::<P, F>(task) = Stage::Empty }
}

unsafe fn take<P: Platform, F: Future>(task: TaskRef<P>, into: *mut ()) {
    // SAFETY: the caller has the right to the output (COMPLETE seen, handle alive) and passes a
    // live `Option<F::Output>`.
    unsafe {
        let stage = stage::<P, F>(task);
        // A future never moves: only an output is taken out.
        if let Stage::Output(_) = &*stage
            && let Stage::Output(output) = stage.replace(Stage::Empty)
        {
            *into.cast::<Option<F::Output>>() = Some(output);
        }
    }
}

unsafe fn free<P: Platform, F: Future>(task: TaskRef<P>) {
    let cell: *mut TaskCell<P, F> = task.node().as_ptr().cast();
    // SAFETY: it came from a `Box` of this type, and the caller holds the last pointer.
    drop(unsafe { Box::from_raw(cell) });
}
