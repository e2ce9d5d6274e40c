//! Says hello with what it was given: the first program to run on a new kernel.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::{format, vec::Vec};

use bench::abi::Error;
use bench::println;
use bench::runtime::{Env, calls};

bench::main!(main);

async fn main(env: Env) -> Result<(), Error> {
    let (core, cores) = calls::core()?;
    println!("hello from core {core} of {cores}; a second has {} ticks", env.tsc_hz);
    println!("arguments: {:?}", env.args());
    for entry in env.handles() {
        let (kind, rights) = calls::inspect(entry.handle())?;
        println!("handle {:#x}, tag {:#x}: {kind:?} {rights:?}", entry.handle, entry.tag);
    }
    let squares: Vec<_> = (1..=10u64).map(|n| n * n).collect();
    println!("{}", format!("the heap holds {squares:?}"));
    let (since_boot, booted) = calls::clock()?;
    println!("{since_boot} ns after boot, which was at {booted} UTC");
    Ok(())
}
