//! What a ring-3 program stands on.
//!
//! ```text
//! entry ──▶ main!(main)        async fn main(env: Env) -> ExitCode
//!   │          │
//!   │          ├─ env        arguments and the capabilities it starts with
//!   │          ├─ capability owned handles: dropping one gives the capability up
//!   │          ├─ process, thread, memory, console, clock
//!   │          ├─ executor   the kernel's executor crate, one per thread that wants it
//!   │          ├─ signal     notifications as something a task waits for
//!   │          ├─ block      disks: the client of the block service
//!   │          └─ calls      one function a system call
//!   └─ heap                      │
//!                            syscall   the instruction itself
//! ```
//!
//! `unsafe` lives in `entry`, `syscall`, `calls`, `heap`, `memory`, `thread`, `clock`, `executor`
//! (one promise) and `block::buffer`, nowhere else.

pub mod block;
pub mod calls;
pub mod capability;
pub mod clock;
pub mod console;
mod entry;
mod env;
pub mod executor;
mod heap;
pub mod memory;
pub mod process;
pub mod signal;
pub mod syscall;
pub mod thread;

pub use entry::{ExitCode, Termination, start};
pub use env::Env;
