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
//!   │          ├─ net        sockets: the client of the network service
//!   │          ├─ device     a PCI function that was lent, for the drivers of the kernel
//!   │          └─ calls      one function a system call
//!   └─ heap                      │
//!                            syscall   the instruction itself
//! ```
//!
//! `unsafe` lives in `entry`, `syscall`, `calls`, `heap`, `memory`, `thread`, `clock`, `executor`
//! (one promise), `block::buffer` and `net::socket`, nowhere else.

pub mod block;
pub mod calls;
pub mod capability;
pub mod clock;
pub mod console;
#[cfg(target_os = "none")]
pub mod device;
mod entry;
mod env;
pub mod executor;
mod heap;
pub mod memory;
pub mod net;
pub mod process;
pub mod signal;
pub mod syscall;
pub mod thread;

pub use entry::{ExitCode, Termination, start};
pub use env::Env;
