//! The per-core cooperative executor: everything that waits is a future, and everything that
//! happens is a wake.
//!
//! - [`Core`] is one executor: loop, parking, timers, numbers. A task stays on the core it was
//!   spawned on, so its future need not be `Send`.
//! - [`Platform`] is the home it lives in: a core of the kernel, a ring-3 process, a host test.
//! - [`spawn()`], [`spawn_on`], [`JoinHandle`], [`yield_now`], [`sleep`], [`timeout`] and [`sync`]
//!   are what a task's author needs.
//! - [`raw`] is the machine room: a task's life, its waker's two paths, the cross-core inbox, the
//!   parking protocol. All `unsafe` is there; its state diagrams too.
//!
//! Waking never locks, allocates or frees, and may be done from anywhere, interrupt handlers
//! included. On the task's own core it is a few plain stores; from elsewhere it is one push on the
//! core's inbox, and a kick if the core does not run.
//!
//! No hardware is known here. A task, on the host's virtual clock:
//!
//! ```
//! use executor::{Platform, Priority, host::{Virtual, block_on}, sleep, spawn, sync::mpsc};
//!
//! let got = block_on::<Virtual, _>(async {
//!     let (sender, mut receiver) = mpsc::channel(4);
//!     let task = spawn::<Virtual, _>("ticker", Priority::Normal, async move {
//!         for n in 0..3 {
//!             sleep::<Virtual>(Virtual::ticks_per_second()).await;
//!             sender.send(n).await.expect("the receiver is there");
//!         }
//!     });
//!     let mut got = Vec::new();
//!     while let Some(n) = receiver.receive().await {
//!         got.push(n);
//!     }
//!     task.await.expect("nobody cancels it");
//!     got
//! });
//! assert_eq!(got, [0, 1, 2]);
//! ```
#![no_std]

extern crate alloc;
#[cfg(any(feature = "host", loom))]
extern crate std;

pub mod raw;

#[cfg(not(loom))]
mod core;
#[cfg(all(feature = "host", not(loom)))]
pub mod host;
#[cfg(not(loom))]
mod platform;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
pub mod sync;
#[cfg(not(loom))]
mod time;
#[cfg(not(loom))]
pub mod timer;

#[cfg(not(loom))]
pub use self::{
    core::{Core, Running},
    platform::{CoreId, Instant, Platform, Priority, Stall},
    raw::presence::Presence,
    spawn::{Cancelled, JoinHandle, least_loaded, spawn, spawn_on, tasks_of},
    stats::{CoreStats, Load, TaskInfo, TaskState},
    time::{Sleep, TimedOut, YieldNow, sleep, sleep_until, timeout, yield_now},
};
