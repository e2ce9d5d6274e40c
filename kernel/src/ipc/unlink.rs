//! Taking a thread that dies out of whatever it is blocked in, wherever that is.

use super::endpoint::{abandon_caller, is_local};
use crate::platform::{self, Pollux};
use crate::process::thread::{State, Thread, ThreadRef};
use alloc::sync::Arc;
use executor::{CoreId, Priority};

/// Gets `thread` back to its home core, out of every queue and reply link. Called by its task,
/// after which nothing but counted references names the thread.
pub async fn unlink(thread: &Arc<Thread>) {
    loop {
        let owner = match thread.state() {
            State::Ready | State::Running | State::Busy => break,
            State::AwaitingReply => thread.replier_core.get(),
            State::Receiving | State::Calling | State::Sending => {
                // SAFETY: while the thread is in one of these states its endpoint is kept alive: a
                // local one's end would first turn the thread away, for a remote one its task holds
                // a count.
                unsafe { (*thread.endpoint.get()).home }
            }
        };
        if owner == platform::here().core {
            let _ = release(ThreadRef::of(thread), owner);
        } else {
            let thread = thread.clone();
            let ask = move || async move { release(ThreadRef::of(&thread), owner) };
            // Not released: its mail is still under way, or it has changed hands since we looked.
            let _ = executor::spawn_on::<Pollux, _, _>(owner, "unlink", Priority::High, ask).await;
        }
        executor::yield_now().await;
    }
    // Whoever waits for this thread's reply waits in vain.
    abandon_caller(thread);
}

/// On `core`: lets go of `thread` if this core owns it.
fn release(thread: ThreadRef, core: CoreId) -> bool {
    match thread.state() {
        State::AwaitingReply if thread.replier_core.get() == core => {
            if let Some(replier) = thread.replier.take() {
                replier.caller.set(None);
            }
        }
        State::Receiving | State::Calling | State::Sending if thread.queued.get() => {
            // SAFETY: queued, so the endpoint is alive (see `unlink`).
            let endpoint = unsafe { &*thread.endpoint.get() };
            if !is_local(endpoint) {
                return false;
            }
            endpoint.withdraw(thread);
        }
        _ => return false,
    }
    thread.make_ready();
    true
}
