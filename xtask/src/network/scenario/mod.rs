//! What is done on a stage. Each scenario is a function; what they have in common is here.
//!
//! | scenario | what it is about |
//! |---|---|
//! | [`short`] | the same few things on every device, in every completion mode |
//! | [`full`] | everything a network is used for, in quantity |
//! | [`bad_weather`] | frames lost, doubled, damaged, late, out of order |
//! | [`hostile`] | floods, half-open connections, readers who do not read |

mod full;
mod hostile;
mod short;
mod weather;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

pub use full::full;
pub use hostile::hostile;
pub use short::{short, two_cards, user};
pub use weather::bad_weather;

use super::cards;
use super::curl;
use super::namespace;
use super::stage::{SOON, Stage};

/// How long a machine may take from its start until it has an address.
const BOOTING: Duration = Duration::from_secs(90);
const MIB: u64 = 1 << 20;

/// Waits until every card has its address, and HTTP is served.
fn configured(stage: &mut Stage, how: &str) -> Result<()> {
    for number in 0..stage.cards {
        let (guest, host) = (namespace::guest(number), namespace::host(number));
        let line = match how {
            "DHCP" => format!("net{number}: {guest}/24 by DHCP, gateway {host}"),
            _ => format!("net{number}: {guest}/24 by {how}"),
        };
        stage.session.restart_search();
        stage.session.wait_for(&line, BOOTING)?;
    }
    stage.session.restart_search();
    stage.session.wait_for("net: HTTP status page on port 80", BOOTING)
}

/// The status page, as a person and as a program gets it.
fn status_page(stage: &mut Stage) -> Result<()> {
    let page = curl::fetch(&format!("{}/", stage.guest_url))?;
    if !page.contains("<html") || !page.contains("Pollux") {
        bail!("`/` is no page of Pollux: {}", page.chars().take(200).collect::<String>());
    }
    let status = curl::fetch(&format!("{}/status.json", stage.guest_url))?;
    serde_json::from_str::<serde_json::Value>(&status).context("status.json is not JSON")?;
    Ok(())
}

/// The guest pings `host`; every echo request is answered.
fn guest_pings(stage: &mut Stage, host: &str, count: u32) -> Result<()> {
    let wanted = format!("{count} packets transmitted, {count} received");
    stage.session.expect(&format!("ping {host} {count}"), &wanted, SOON).map(drop)
}

/// The host pings the guest with requests of several sizes, over IPv4 one of them in fragments.
fn host_pings(guest: &str) -> Result<()> {
    // The round trip is not told of requests without room for a time.
    let sizes: &[u32] = if guest.contains(':') { &[16, 56, 1452] } else { &[16, 56, 1472, 4000] };
    for bytes in sizes {
        curl::ping(guest, 5, *bytes, Duration::from_millis(10))?;
    }
    Ok(())
}

/// The guest fetches a file of `bytes` bytes; in the middle of it the cable is pulled out and put
/// in again.
fn pulled_out(stage: &mut Stage, bytes: u64, limit: Duration) -> Result<()> {
    let sent = stage.server.sent();
    stage.session.forget();
    stage.begin_fetch(5, bytes)?;
    let deadline = Instant::now() + limit;
    while stage.server.sent() - sent < bytes / 5 {
        ensure!(Instant::now() < deadline, "the file does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
    for (up, says) in [(false, "net0: link down"), (true, "net0: link up")] {
        let arguments = json!({ "name": cards::netdev(0), "up": up });
        stage.session.monitor()?.execute("set_link", &arguments)?;
        stage.session.wait_for(says, SOON)?;
    }
    stage.end_fetch(5, bytes, limit).context("with the cable pulled out in the middle")
}
