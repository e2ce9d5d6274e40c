//! A thread's stays in ring 3, as a future: polled, it enters; it is ready when the thread needs
//! its task.

use super::thread::{Leave, State, Thread, ThreadRef};
use crate::gateway::log_response;
use crate::platform::{self, Here};
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use hal::x86_64::time::clock::{self, Span};
use hal::x86_64::time::timer;
use hal::x86_64::{cpu, exceptions::TrapFrame, interrupts, user};

/// How long a thread may stay in ring 3 before every other task of the core has had its turn.
pub static SLICE: Span = Span::of_us(2_000);

/// Runs a thread until it needs its task.
#[derive(Debug)]
pub struct Stay<'a>(pub &'a Arc<Thread>);

impl Future for Stay<'_> {
    type Output = Leave;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Leave> {
        let thread = self.0;
        thread.set_waker(context.waker());
        if let Some(leave) = thread.leave.take() {
            return Poll::Ready(leave);
        }
        if thread.state() != State::Ready {
            return Poll::Pending;
        }
        let left = enter(platform::here(), ThreadRef::of(thread));
        let itself = left == ThreadRef::of(thread);
        if !itself {
            // The stay went over to another thread, which has its own task.
            if left.leave.get().is_some() || left.state() == State::Ready {
                left.wake();
            }
        }
        if let Some(leave) = thread.leave.take() {
            return Poll::Ready(leave);
        }
        if itself && thread.state() == State::Ready {
            // Its slice is over, it yielded, or something else is ready: to the end of the run
            // queue.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// One stay. Returns the thread that left.
fn enter(here: &Here, thread: ThreadRef) -> ThreadRef {
    interrupts::disable();
    if !here.executor.publish_user() {
        interrupts::enable();
        return thread;
    }
    let end = clock::now() + SLICE.ticks();
    let next = here.executor.next_deadline().map_or(end, |deadline| deadline.0.min(end));
    here.stay_end.store(next, core::sync::atomic::Ordering::Relaxed);
    timer::arm(next);
    log_response(here, thread);
    thread.set_state(State::Running);
    // SAFETY: interrupts are off; the thread is ours (state Ready on its home core, its task
    // alive); its registers are from its last stay or were checked at its start; its process's
    // tables live as long as it.
    unsafe { user::enter(thread.user()) };
    here.executor.publish_running();
    let left = ThreadRef::current();
    interrupts::enable();
    left
}

/// After an interrupt from ring 3: does the stay go on?
pub fn interrupted(frame: &mut TrapFrame) {
    let here = platform::here();
    let end = here.stay_end.load(core::sync::atomic::Ordering::Relaxed);
    let over = clock::now() >= end;
    if over || here.executor.attention() {
        let thread = ThreadRef::current();
        thread.save_interrupted(frame);
        thread.set_state(State::Ready);
        crate::gateway::leave();
    }
    // If it was the timer, it came early, and nothing else might ever end the stay.
    timer::arm(end);
}

/// An exception in ring 3: the thread's task decides.
pub fn faulted(frame: &mut TrapFrame) {
    let thread = ThreadRef::current();
    thread.save_interrupted(frame);
    thread.set_state(State::Busy);
    let vector = frame.vector as u8;
    let address = if vector == 14 { cpu::fault_address() } else { 0 };
    thread.leave.set(Some(Leave::Fault { vector, error: frame.error_code, address }));
    crate::gateway::leave()
}
