//! Asks a host whether it is there: `run ping HOST [count=N] [size=BYTES] [limit=MS] --net`.
//!
//! One line for each echo request, then how many were answered and how long that took. Ends with
//! failure if none was.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use bench::println;
use bench::runtime::executor::sleep;
use bench::runtime::net::{Network, NetworkError};
use bench::runtime::{Env, ExitCode};
use bench::socket_ring::PAYLOAD_MAX;

bench::main!(main);

/// Nanoseconds between two requests.
const PAUSE_NS: u64 = 200_000_000;

/// Milliseconds to wait for an address.
const READY_MS: u64 = 10_000;

/// Nanoseconds, as people read them.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000;
        write!(f, "{}.{:03} ms", us / 1000, us % 1000)
    }
}

async fn main(mut env: Env) -> ExitCode {
    let Some(endpoint) = env.take_network() else {
        println!("no network: run ping HOST --net");
        return ExitCode::FAILURE;
    };
    let Some(host) = env.args().get(1).copied().filter(|word| !word.contains('=')) else {
        println!("whom? run ping HOST [count=N] [size=BYTES] [limit=MS] --net");
        return ExitCode::FAILURE;
    };
    let network = match Network::new(endpoint) {
        Ok(network) => network,
        Err(error) => {
            println!("no network: {error}");
            return ExitCode::FAILURE;
        }
    };
    // At the machine's start its address is perhaps still to come.
    network.is_ready(READY_MS).await;
    match ping(&env, &network, host).await {
        Ok(0) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{host}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many were answered.
async fn ping(env: &Env, network: &Network, host: &str) -> Result<usize, NetworkError> {
    let number = |key, otherwise: u64| {
        env.value(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(otherwise)
    };
    let count = number("count", 4).clamp(1, 10_000) as u16;
    let size = number("size", 56).min(u64::from(PAYLOAD_MAX)) as u16;
    let limit_ms = number("limit", 2_000).clamp(1, 60_000) as u32;
    let addresses = network.resolve(host).await?;
    let Some(address) = addresses.as_slice().first().copied() else {
        return Err(bench::socket_ring::SocketError::NoSuchName.into());
    };
    println!("{host} is {address}: {size} bytes");
    let mut times = Vec::new();
    for sequence in 1..=count {
        match network.ping(address, sequence, size, limit_ms).await {
            Ok(ns) => {
                println!("{address}: {sequence}: {}", Time(ns));
                times.push(ns);
            }
            Err(error) => println!("{address}: {sequence}: {error}"),
        }
        if sequence < count {
            sleep(PAUSE_NS).await;
        }
    }
    times.sort_unstable();
    let answered = times.len();
    match (times.first(), times.get(answered / 2), times.last()) {
        (Some(least), Some(median), Some(most)) => println!(
            "{answered} of {count} answered; least {}, median {}, most {}",
            Time(*least),
            Time(*median),
            Time(*most)
        ),
        _ => println!("none of {count} answered"),
    }
    Ok(answered)
}
