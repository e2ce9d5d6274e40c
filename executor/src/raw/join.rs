//! The other end of a task's output, without its platform's type.
//!
//! A [`RawJoin`] holds one reference to the task and the right to its output once COMPLETE is set.

use core::{
    marker::PhantomData,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::task::TaskRef;
use crate::platform::Platform;

struct Ops {
    poll: unsafe fn(*const (), &mut Context<'_>, *mut ()) -> bool,
    cancel: unsafe fn(*const ()),
    release: unsafe fn(*const (), *mut ()),
}

trait Table {
    const OPS: Ops;
}

impl<P: Platform> Table for P {
    const OPS: Ops = Ops { poll: poll::<P>, cancel: cancel::<P>, release: release::<P> };
}

/// A reference to a task whose output is a `T`.
pub(crate) struct RawJoin<T> {
    task: NonNull<()>,
    ops: &'static Ops,
    output: PhantomData<T>,
}

// SAFETY: the task's header may be used from everywhere through its shared word and atomic waker;
// the output moves to whoever polls or drops the handle, which `T: Send` allows.
unsafe impl<T: Send> Send for RawJoin<T> {}
// SAFETY: through a shared reference only `cancel` can be called, which any context may.
unsafe impl<T: Send> Sync for RawJoin<T> {}

impl<T> RawJoin<T> {
    /// # Safety
    ///
    /// The task's output is a `T`, and the caller passes on one reference. There is one `RawJoin`
    /// per task. Unless `T: Send`, this is the owner core.
    pub(crate) unsafe fn new<P: Platform>(task: TaskRef<P>) -> Self {
        // SAFETY: a task pointer is never null.
        let pointer = unsafe { NonNull::new_unchecked(task.as_ptr().cast_mut()) };
        Self { task: pointer, ops: const { &<P as Table>::OPS }, output: PhantomData }
    }

    /// The output, or `None` inside if there is none (cancelled, or taken before).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut output: Option<T> = None;
        // SAFETY: our reference keeps the task alive; the output is a `T`.
        let complete = unsafe { (self.ops.poll)(self.task.as_ptr(), cx, (&raw mut output).cast()) };
        if complete { Poll::Ready(output) } else { Poll::Pending }
    }

    pub(crate) fn cancel(&self) {
        // SAFETY: our reference keeps the task alive.
        unsafe { (self.ops.cancel)(self.task.as_ptr()) }
    }
}

impl<T> Drop for RawJoin<T> {
    fn drop(&mut self) {
        let mut output: Option<T> = None;
        // SAFETY: gives back our reference, last; an output nobody took moves here to be dropped.
        unsafe { (self.ops.release)(self.task.as_ptr(), (&raw mut output).cast()) }
    }
}

unsafe fn poll<P: Platform>(task: *const (), cx: &mut Context<'_>, into: *mut ()) -> bool {
    // SAFETY: live, by the caller.
    let task = unsafe { TaskRef::<P>::from_ptr(task) };
    let header = task.header();
    if !header.shared.is_complete() {
        header.joiner.register(cx.waker());
        if !header.shared.is_complete() {
            return false;
        }
    }
    // SAFETY: COMPLETE is set and RELEASED is not, so the output is the handle's.
    unsafe { (header.vtable.take)(task, into) };
    true
}

unsafe fn cancel<P: Platform>(task: *const ()) {
    // SAFETY: live, by the caller.
    unsafe { TaskRef::<P>::from_ptr(task) }.cancel();
}

unsafe fn release<P: Platform>(task: *const (), into: *mut ()) {
    // SAFETY: live until the release below.
    let task = unsafe { TaskRef::<P>::from_ptr(task) };
    let header = task.header();
    drop(header.joiner.take());
    if header.shared.handle_gone() {
        // SAFETY: COMPLETE came first, so the output is ours to drop.
        unsafe { (header.vtable.take)(task, into) };
    }
    task.release();
}
