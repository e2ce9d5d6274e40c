//! Reads the real-time clock by its I/O ports, from ring 3: `run ports --ports 70+2`.
//!
//! Source: Motorola MC146818A, registers 0 (seconds), 2 (minutes), 4 (hours), 10 (update in progress
//! in bit 7).
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use bench::abi::{Error, Handle, Rights};
use bench::println;
use bench::runtime::{Env, calls};

bench::main!(main);

const SECONDS: u64 = 0;
const MINUTES: u64 = 2;
const HOURS: u64 = 4;
const STATUS: u64 = 10;
/// Looks before it is given up. An update takes 2 ms, once a second.
const LOOKS_MOST: u32 = 1_000_000;

async fn main(env: Env) -> Result<(), Error> {
    let Some((_, tag)) = env.ports().find(|(range, _)| *range == "70+2") else {
        println!("ports: give me the clock's, by `--ports 70+2`");
        return Err(Error::NotPermitted);
    };
    let clock = env.handle(tag).ok_or(Error::BadHandle)?;
    let register = |number| {
        calls::port_write(clock, 0, 1, number)?;
        calls::port_read(clock, 1, 1)
    };
    let mut looks = 0;
    while register(STATUS)? & 0x80 != 0 {
        looks += 1;
        if looks == LOOKS_MOST {
            return Err(Error::TimedOut);
        }
    }
    let [hours, minutes, seconds] = [register(HOURS)?, register(MINUTES)?, register(SECONDS)?];
    // Firmware keeps them as decimal digits, so they show as what they are in hexadecimal.
    println!("ports: the clock says {hours:02x}:{minutes:02x}:{seconds:02x}");
    refusals(clock)
}

/// What is not to be had.
fn refusals(clock: Handle) -> Result<(), Error> {
    let reader = calls::duplicate(clock, Rights::RECEIVE)?;
    let refused = [
        calls::port_read(clock, 2, 1).err() == Some(Error::InvalidArgument),
        calls::port_read(clock, 1, 2).err() == Some(Error::InvalidArgument),
        calls::port_read(clock, u64::MAX, 1).err() == Some(Error::InvalidArgument),
        calls::port_read(clock, 0, 8).err() == Some(Error::InvalidArgument),
        calls::port_write(reader, 0, 1, 0).err() == Some(Error::NotPermitted),
    ];
    println!("ports: {} of {} refused", refused.iter().filter(|is| **is).count(), refused.len());
    if refused == [true; 5] { Ok(()) } else { Err(Error::NotPermitted) }
}
