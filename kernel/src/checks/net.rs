//! Network devices that have somebody at the other end who answers echo requests: a gateway, as QEMU's
//! own little network has one.

use super::Finding;
use crate::clock::frequency;
use crate::devices;
use crate::platform::Pollux;
use crate::services::net::{self, Net};
use alloc::format;
use core::net::IpAddr;
use drivers::completion::CompletionMode;
use executor::Instant;
use hal::x86_64::time::clock::now;

checks! { "net", 60:
    gateways_answer_in_every_mode,
    gateways_answer_while_modes_change,
}

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

/// Echo requests in each mode.
const REQUESTS: u16 = 50;
/// Milliseconds for a reply.
const REPLY_MS: u64 = 2_000;
/// Seconds for an address to be had.
const LEASE_S: u64 = 10;

async fn gateways_answer_in_every_mode() -> Finding {
    on_network(async |net| pings(net, REQUESTS).await).await
}

async fn gateways_answer_while_modes_change() -> Finding {
    on_network(async |net| pings(net, 1).await).await
}

/// Does `work` on the network core, if there is a device.
async fn on_network<F>(work: F) -> Finding
where
    F: AsyncFnOnce(&Net) -> Finding + Send + 'static,
{
    devices::settled().await;
    if devices::nics().is_empty() {
        log::info!("no network device: none is tried");
        return Ok(());
    }
    let done = net::on(|net| async move { work(&net).await }).await;
    done.map_err(|error| format!("{error}"))?
}

/// Sends `in_a_row` echo requests in each mode to the gateway of each interface that gets one, and
/// changes modes until [`REQUESTS`] were answered in each.
async fn pings(net: &Net, in_a_row: u16) -> Finding {
    let deadline = Instant(now() + frequency() * LEASE_S);
    let has_gateways =
        || net.overview().iter().all(|one| one.gateways.iter().any(|gateway| is_v4(gateway)));
    while !has_gateways() && now() < deadline.0 {
        executor::sleep::<Pollux>(frequency() / 10).await;
    }
    for interface in net.overview() {
        let Some(gateway) = interface.gateways.iter().find(|one| is_v4(one)) else {
            log::info!("{}: no gateway after {LEASE_S} s: not tried", interface.name);
            continue;
        };
        let gateway: IpAddr = gateway.parse().map_err(|error| format!("{gateway}: {error}"))?;
        for number in 0..REQUESTS * MODES.len() as u16 {
            let mode = MODES[usize::from(number / in_a_row) % MODES.len()];
            net.set_mode(&interface.name, mode);
            let answered = net.ping(gateway.into(), number, 56, REPLY_MS).await;
            answered.map_err(|error| format!("{}, {mode}: {error}", interface.name))?;
        }
        net.set_mode(&interface.name, interface.mode);
    }
    Ok(())
}

fn is_v4(address: &str) -> bool {
    matches!(address.parse(), Ok(IpAddr::V4(_)))
}
