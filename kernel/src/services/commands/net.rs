//! The shell's `net`: what interfaces there are, and how they notice arrivals.

use crate::services::console;
use crate::services::net::{self, NetError, Overview};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use drivers::completion::{CompletionMode, UnknownMode};
use drivers::net::LinkState;
use kernel_text::grid::Grid;
use kernel_text::quantity::Bytes;
use thiserror_no_std::Error;

/// Why `net` could not do it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The network does not answer.
    #[error("{0}")]
    Net(#[from] NetError),
    /// Nothing is called so.
    #[error("no interface `{0}`; `net` lists them")]
    NoInterface(String),
    /// It is none of the modes.
    #[error("`{0}` is {1}")]
    Mode(String, UnknownMode),
}

/// `net`.
pub async fn list() -> Result<(), Failure> {
    let all = net::on(|net| async move { (net.overview(), net.buffer_bytes()) }).await;
    let (all, buffer_bytes) = all.map_err(NetError::from)?;
    if all.is_empty() {
        console::say("no network device; `pci` lists what there is");
        return Ok(());
    }
    let mut grid = Grid::new(&["<interface", "<device", "<address", "<link", "<mode", "sockets"]);
    for one in &all {
        grid.row(Vec::from([
            one.name.clone(),
            one.kind.to_string(),
            one.mac.to_string(),
            link(one.link),
            one.mode.to_string(),
            one.sockets.to_string(),
        ]));
    }
    console::say_all(grid.lines());
    all.iter().for_each(details);
    console::say(format_args!("buffers of all sockets: {}", Bytes(buffer_bytes as u64)));
    Ok(())
}

fn link(link: LinkState) -> String {
    match link {
        LinkState::Down => "down".to_string(),
        LinkState::Up { megabits: 0 } => "up".to_string(),
        LinkState::Up { megabits } => format!("up, {megabits} Mbit/s"),
    }
}

fn details(one: &Overview) {
    let name = &one.name;
    let list = |list: &[String]| if list.is_empty() { "none".to_string() } else { list.join(", ") };
    let (addresses, gateways) = (list(&one.addresses), list(&one.gateways));
    console::say(format_args!("{name}: addresses {addresses}"));
    let servers = list(&one.name_servers);
    console::say(format_args!("{name}: gateways {gateways}; name servers {servers}"));
    let counts = &one.statistics;
    console::say(format_args!(
        "{name}: received {} frames, {}; missed {}, damaged {}, {} by checksum",
        counts.received_frames,
        Bytes(counts.received_bytes),
        counts.missed,
        counts.receive_errors,
        one.damaged,
    ));
    console::say(format_args!(
        "{name}: sent {} frames, {}; failed {}, lost {}; {} interrupts, {} resets",
        counts.transmitted_frames,
        Bytes(counts.transmitted_bytes),
        counts.transmit_errors,
        one.lost,
        one.interrupts,
        counts.resets,
    ));
}

/// `net NAME MODE`.
pub async fn set_mode(name: &str, mode: &str) -> Result<(), Failure> {
    let parsed: CompletionMode =
        mode.parse().map_err(|error| Failure::Mode(mode.to_string(), error))?;
    let asked = name.to_string();
    let found = net::on(move |net| async move { net.set_mode(&asked, parsed) }).await;
    if found.map_err(NetError::from)? {
        Ok(())
    } else {
        Err(Failure::NoInterface(name.to_string()))
    }
}
