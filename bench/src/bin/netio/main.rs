//! Uses the network: `run netio WHAT… --net`.
//!
//! - nothing: says what each interface is;
//! - `peer=ADDRESS`: whom the following are with;
//!   - `send=BYTES[:PORT]`: sends the pattern of `seed=N` (default 1) to its discard service (port
//!     9), and says its SHA-256;
//!   - `echo=BYTES[:PORT]`: the same to its echo service (port 7) over TCP, and checks what comes
//!     back; `udp-echo=COUNT[:PORT]`: so many datagrams, one after the other;
//!   - `bench`: reports `ring3.udp_tx_pps`, `ring3.udp_rx_pps`, `ring3.tcp_tx`, `ring3.tcp_rx` and
//!     `ring3.ping_rtt`, with the services the kernel measures with (ports 9 and 19); `ms=N` for
//!     each (default 500), `filter=PREFIX` for some of them;
//! - `listen=PORT`: an echo server over TCP and UDP, for ever, or for `ms=N`.
//!
//! `ring=BYTES` is the size of the rings (a power of two).
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod echo;
mod listen;
mod measure;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use bench::println;
use bench::runtime::net::{Network, Setup};
use bench::runtime::{Env, ExitCode};

bench::main!(main);

/// Milliseconds to wait for an address.
const READY_MS: u64 = 10_000;

/// What went wrong, for people.
type Why = String;

fn why(error: impl fmt::Display) -> Why {
    error.to_string()
}

/// What is to be done, and how.
struct Asked {
    setup: Setup,
    seed: u64,
    ms: Option<u64>,
}

async fn main(mut env: Env) -> ExitCode {
    let Some(endpoint) = env.take_network() else {
        println!("no network: run netio WHAT… --net");
        return ExitCode::FAILURE;
    };
    let done = match Network::new(endpoint) {
        Ok(network) => use_network(&env, &network).await,
        Err(error) => Err(why(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn use_network(env: &Env, network: &Network) -> Result<(), Why> {
    let number = |key| match env.value(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("{key}=N, not {text:?}")),
    };
    // At the machine's start its address is perhaps still to come.
    network.is_ready(READY_MS).await;
    let mut setup = Setup::default();
    if let Some(ring) = number("ring")? {
        let ring = u32::try_from(ring).map_err(why)?;
        setup = Setup { to_network: ring, from_network: ring };
    }
    let asked = Asked { setup, seed: number("seed")?.unwrap_or(1), ms: number("ms")? };
    if let Some(port) = number("listen")? {
        return listen::serve(network, &asked, u16::try_from(port).map_err(why)?).await;
    }
    let Some(peer) = env.value("peer") else {
        return show(network);
    };
    let peer = resolve(network, peer).await?;
    // `BYTES`, or `BYTES:PORT`.
    let work = |key, port: u16| match env.value(key) {
        None => Ok(None),
        Some(text) => {
            let (count, port) = text
                .split_once(':')
                .map_or((text, Some(port)), |(count, port)| (count, port.parse().ok()));
            let parsed = count.parse::<u64>().ok().zip(port);
            let (count, port) = parsed.ok_or_else(|| format!("{key}=N[:PORT], not {text:?}"))?;
            Ok::<_, Why>(Some((count, SocketAddr::new(peer, port))))
        }
    };
    if let Some((bytes, to)) = work("send", 9)? {
        echo::send(network, &asked, to, bytes).await?;
    }
    if let Some((bytes, to)) = work("echo", 7)? {
        echo::streamed(network, &asked, to, bytes).await?;
    }
    if let Some((count, to)) = work("udp-echo", 7)? {
        echo::datagrams(network, &asked, to, count).await?;
    }
    if env.has("bench") {
        measure::run(env, network, &asked, peer).await?;
    }
    Ok(())
}

async fn resolve(network: &Network, host: &str) -> Result<IpAddr, Why> {
    let found = network.resolve(host).await.map_err(|error| format!("{host}: {error}"))?;
    found.as_slice().first().copied().ok_or_else(|| format!("{host}: no address"))
}

/// Says what each interface is.
fn show(network: &Network) -> Result<(), Why> {
    let mut number = 0;
    while let Ok(info) = network.interface(number, 0) {
        println!("interface {number}: {:02x?}, {:?}, MTU {}", info.mac, info.link, info.mtu);
        let mut place = 0;
        while let Some((address, prefix)) = network.interface(number, place).map_err(why)?.address {
            println!("interface {number}: {address}/{prefix}");
            place += 1;
        }
        number += 1;
    }
    if number == 0 { Err("no interface".into()) } else { Ok(()) }
}
