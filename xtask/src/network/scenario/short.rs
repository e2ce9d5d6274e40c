//! The same few things everywhere: an address, pings, files, many small requests.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{BOOTING, MIB, configured, guest_pings, host_pings, pulled_out, status_page};
use crate::network::curl::{self, Connections};
use crate::network::namespace;
use crate::network::stage::{SOON, Stage};

const CURLS: Duration = Duration::from_secs(60);

/// On QEMU's user networking: an address, the page, a file each way.
pub fn user(stage: &mut Stage) -> Result<()> {
    stage.session.wait_for("net0: 10.0.2.15/24 by DHCP, gateway 10.0.2.2", BOOTING)?;
    stage.session.restart_search();
    stage.session.wait_for("net: HTTP status page on port 80", BOOTING)?;
    status_page(stage)?;
    let url = format!("{}/status.json", stage.guest_url);
    curl::many(&url, 100, 4, Connections::Fresh, CURLS)?;
    stage.guest_fetches(1, MIB, SOON)?;
    stage.guest_uploads("/sink", MIB, SOON)
}

/// In each completion mode: ping both ways, a file each way, many small requests. In the end the
/// cable is pulled out in the middle of a file, and put in again.
pub fn short(stage: &mut Stage) -> Result<()> {
    configured(stage, "DHCP")?;
    status_page(stage)?;
    for mode in ["poll", "msix", "adaptive"] {
        stage.mode("net0", mode)?;
        brief(stage).with_context(|| format!("in mode {mode}"))?;
    }
    pulled_out(stage, 16 * MIB, CURLS)
}

fn brief(stage: &mut Stage) -> Result<()> {
    host_pings(&namespace::guest(0))?;
    let host = stage.host.clone();
    guest_pings(stage, &host, 2)?;
    stage.guest_fetches(2, MIB, SOON)?;
    stage.program_fetches(4, MIB, SOON)?;
    stage.guest_uploads("/sink", MIB, SOON)?;
    let url = format!("{}/status.json", stage.guest_url);
    curl::many(&url, 100, 8, Connections::Fresh, CURLS)?;
    curl::many(&url, 100, 2, Connections::Kept, CURLS)
}

/// Two cards at once, each on a network of its own, in different modes.
pub fn two_cards(stage: &mut Stage) -> Result<()> {
    configured(stage, "DHCP")?;
    for modes in [["poll", "msix"], ["msix", "poll"], ["adaptive", "adaptive"]] {
        for (number, mode) in modes.into_iter().enumerate() {
            stage.mode(&format!("net{number}"), mode)?;
        }
        let curls = std::thread::scope(|scope| {
            let curls: Vec<_> = (0..2)
                .map(|number| {
                    scope.spawn(move || {
                        let url = format!("http://{}/status.json", namespace::guest(number));
                        curl::many(&url, 200, 8, Connections::Fresh, CURLS)
                    })
                })
                .collect();
            // While those are under way: a file by each.
            for number in 0..2 {
                stage.guest_fetches_from(&namespace::host(number), 3, 4 * MIB, SOON)?;
            }
            curls.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
            })
        });
        curls.with_context(|| format!("in modes {modes:?}"))?;
        // What is lost of these is not sent again, so nothing else is under way.
        for number in 0..2 {
            host_pings(&namespace::guest(number))?;
            guest_pings(stage, &namespace::host(number), 2)?;
        }
    }
    Ok(())
}
