//! What tasks wait on.
//!
//! | primitive | between | signalled from |
//! |---|---|---|
//! | [`Notify`] | one waiting task and anybody | anywhere, interrupt handlers included |
//! | [`oneshot`] | two tasks, any cores | tasks |
//! | [`mpsc`] | many tasks and one, any cores, bounded | tasks |
//! | [`Semaphore`] | tasks on any cores, first come first served | tasks |
//! | [`local`] | tasks of one core: embassy-sync's mutex, channel, signal, watch… over our [`CoreLocal`] | tasks of that core |
//!
//! "Tasks" means: not from interrupt handlers, because these may allocate, free, or hold a short
//! spin lock, which the handler's own core might hold. Waking the tasks that wait does none of
//! this.

mod core_local;
pub mod mpsc;
mod notify;
pub mod oneshot;
mod semaphore;

pub use core_local::{CoreLocal, local};
pub use notify::Notify;
pub use semaphore::{Acquire, Closed, Permit, Semaphore};
