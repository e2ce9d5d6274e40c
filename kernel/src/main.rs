//! Pollux, the kernel: joins hal, executor and drivers.
//!
//! | room | what lives there |
//! |---|---|
//! | [`start`] | the order of boot, from the loader's jump to the executors |
//! | [`platform`] | the cores as the executor sees them |
//! | [`process`] | processes, threads, capabilities, programs |
//! | [`gateway`] | the one way in for system calls |
//! | [`ipc`] | endpoints, notifications, messages between cores |
//! | [`logs`] | SysLog |
//! | [`devices`] | drivers, disks, partitions |
//! | [`services`] | console, benchmark, shell |
//! | [`watch`] | cores that watch each other |
//! | [`checks`] | tests that need a machine |
//! | [`panic`] | the epitaph |
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod authority;
#[cfg(target_os = "none")]
mod checks;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
mod gateway;
#[cfg(target_os = "none")]
mod ipc;
#[cfg(target_os = "none")]
mod logs;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod platform;
#[cfg(target_os = "none")]
mod process;
#[cfg(target_os = "none")]
mod services;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod watch;

/// Off the metal there is nothing to run.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "This is a kernel: `cargo xtask run` boots it, `cargo build --target x86_64-unknown-none` builds it."
    );
    std::process::exit(2);
}
