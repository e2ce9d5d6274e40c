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
//! | [`disks`] | storage devices, for as long as somebody needs them |
//! | [`services`] | console, benchmark, shell |
//! | [`watch`] | cores that watch each other |
//! | [`checks`] | tests that need a machine |
//! | [`panic`] | the epitaph |
#![no_std]
#![no_main]

extern crate alloc;

mod checks;
mod clock;
mod disks;
mod gateway;
mod ipc;
mod logs;
mod panic;
mod platform;
mod process;
mod services;
mod start;
mod watch;
