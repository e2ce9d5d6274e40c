//! QEMU's `edu` device, driven in ring 3 by the kernel's own driver.
//!
//! `run edu_driver --device edu` has the kernel's driver let go of the device and lends it to this
//! program, which copies bytes to the device and back: polled, by interrupt, and adaptively, then
//! with copies that are dropped at any moment. `leave` among the arguments ends it in the middle of
//! a copy instead, for the kernel to bring the device to rest.
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
    match driven(env).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "none")]
use drive::drive as driven;

#[cfg(not(target_os = "none"))]
async fn driven(_: Env) -> Result<(), bench::abi::Error> {
    Err(bench::abi::Error::NotSupported)
}
