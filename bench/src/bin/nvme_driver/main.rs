//! An NVMe controller, driven in ring 3 by the kernel's own driver, for reading only.
//!
//! `run nvme_driver --device nvme1` has the kernel's driver let go of the controller and lends it to
//! this program, which reads `blocks=N` blocks (256 unless told) of its first namespace with several
//! reads in flight: polled, then by MSI-X. With `seed=N` they have to hold the test pattern.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod drive;

use bench::println;
use bench::runtime::{Env, ExitCode};

bench::main!(main);

async fn main(env: Env) -> ExitCode {
    match driven(env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The driver's future is larger than the main thread's stack.
#[cfg(target_os = "none")]
fn driven(env: Env) -> Result<(), alloc::string::String> {
    use alloc::string::ToString;
    use bench::runtime::{executor, thread};

    let work = move || executor::block_on(drive::drive(env));
    let thread = thread::spawn_with_stack(bench::abi::ANY_CORE, 1 << 20, work);
    thread.and_then(thread::JoinHandle::join).map_err(|error| error.to_string())?
}

#[cfg(not(target_os = "none"))]
fn driven(_: Env) -> Result<(), bench::abi::Error> {
    Err(bench::abi::Error::NotSupported)
}
