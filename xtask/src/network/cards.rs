//! Network cards of a machine and what is at the other end of their cables, as arguments for QEMU.
//!
//! ```text
//!   User    card ── QEMU's own little network (10.0.2.0/24), one port forwarded from 127.0.0.1
//!   Alone   card ── the same, where nothing leads out of; a peer at 10.0.2.100
//!   Tap     card ── tap device of the private network
//!   Relay   card ── stream ── relay (ours) ── stream ── hub ── tap device
//! ```

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::drives::slot;

/// The models there are drivers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// 82540EM: INTx.
    E1000,
    /// 82574L: MSI-X.
    E1000e,
    /// Realtek's.
    Rtl8139,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::E1000e, Self::E1000, Self::Rtl8139];

    /// As QEMU and the figures call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Rtl8139 => "rtl8139",
        }
    }
}

/// The other end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cable {
    /// QEMU's user networking: `(port of 127.0.0.1, port of the guest)`.
    User(Vec<(u16, u16)>),
    /// QEMU's user networking without a way to anybody else. At 10.0.2.100 are echo (TCP port 7),
    /// discard (9) and a source without end (19).
    Alone,
    /// This tap device. What passes is what a wire would carry: nobody leaves checksums or
    /// segments for somebody else to make.
    Tap(String),
    /// The same, where frames may carry offloads through to the host's kernel.
    FastTap(String),
    /// Two sockets of a relay, the card's and the tap device's.
    Relay {
        /// Where the card connects to.
        near: PathBuf,
        /// Where the tap device's end connects to.
        far: PathBuf,
        /// The tap device.
        tap: String,
    },
}

/// One card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it is.
    pub model: Model,
    /// What it is connected to.
    pub cable: Cable,
}

impl Model {
    /// What `--net` means by `name`; `None`: no card.
    pub fn by_name(name: &str) -> Result<Option<Self>> {
        let all = [Self::E1000, Self::E1000e, Self::Rtl8139];
        match all.into_iter().find(|model| model.name() == name) {
            None if name != "none" => bail!("`{name}` is none of e1000, e1000e, rtl8139, none"),
            found => Ok(found),
        }
    }
}

/// Reads `HOST:GUEST`, two ports.
pub fn forward(text: &str) -> Result<(u16, u16)> {
    let ports = text
        .split_once(':')
        .and_then(|(host, guest)| Some((host.parse::<u16>().ok()?, guest.parse::<u16>().ok()?)));
    let given = ports.filter(|(host, guest)| *host != 0 && *guest != 0);
    given.with_context(|| format!("`{text}` is not HOST:GUEST, two ports"))
}

/// The port of the machine's status page.
const PAGE: u16 = 80;
/// The first port of 127.0.0.1 that is tried for it.
const PAGE_HERE: u16 = 8080;

/// The card that a person's machine has, with `forwards` and the status page's port forwarded.
pub fn for_person(model: Model, forwards: &[(u16, u16)]) -> (Card, Option<u16>) {
    let mut forwards = forwards.to_vec();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let told = forwards.iter().find(|(_, guest)| *guest == PAGE).map(|(host, _)| *host);
    let page = told.or_else(|| (PAGE_HERE..PAGE_HERE + 100).find(is_free));
    if told.is_none()
        && let Some(port) = page
    {
        forwards.push((port, PAGE));
    }
    (Card { model, cable: Cable::User(forwards) }, page)
}

impl Card {
    /// What every machine has that asks for nothing else.
    pub fn usual() -> Self {
        Self { model: Model::E1000e, cable: Cable::Alone }
    }
}

/// What the peer of a card that is [`Cable::Alone`] does at its ports.
const PEER: [(u16, &str); 3] = [(7, "cat"), (9, "dd of=/dev/null"), (19, "cat /dev/zero")];

/// The id of the `-netdev` of card `number` (from 0), for the monitor's `set_link` and captures.
pub fn netdev(number: usize) -> String {
    format!("net{number}")
}

/// The Ethernet address of card `number`.
pub fn address(number: usize) -> String {
    format!("52:54:00:12:34:{:02x}", 0x56 + number)
}

/// Arguments for all `cards`; the kernel's names follow their order.
pub fn arguments(cards: &[Card]) -> Vec<String> {
    let mut words = Vec::new();
    for (number, card) in cards.iter().enumerate() {
        let id = netdev(number);
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        match &card.cable {
            Cable::User(forwards) => {
                let mut text = format!("user,id={id}");
                for (host, guest) in forwards {
                    text.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
                }
                add("-netdev", text);
            }
            Cable::Alone => {
                let mut text = format!("user,id={id},restrict=on");
                for (port, command) in PEER {
                    text.push_str(&format!(",guestfwd=tcp:10.0.2.100:{port}-cmd:{command}"));
                }
                add("-netdev", text);
            }
            Cable::Tap(tap) => add("-netdev", of_tap(tap, &id, ",vnet_hdr=off")),
            Cable::FastTap(tap) => add("-netdev", of_tap(tap, &id, "")),
            Cable::Relay { near, far, tap } => {
                add("-netdev", of_stream(near, &id));
                let (far_id, tap_id) = (format!("far{number}"), format!("tap{number}"));
                add("-netdev", of_stream(far, &far_id));
                add("-netdev", of_tap(tap, &tap_id, ",vnet_hdr=off"));
                for end in [far_id, tap_id] {
                    let hub = format!("hubport,id=hub-{end},hubid={number},netdev={end}");
                    add("-netdev", hub);
                }
            }
        }
        let model = card.model.name();
        let (mac, slot) = (address(number), slot::NETWORKS[number % slot::NETWORKS.len()]);
        add("-device", format!("{model},netdev={id},mac={mac},romfile=,addr={slot}"));
    }
    words
}

fn of_tap(tap: &str, id: &str, more: &str) -> String {
    format!("tap,id={id},ifname={tap},script=no,downscript=no{more}")
}

fn of_stream(path: &Path, id: &str) -> String {
    let path = path.to_string_lossy().replace(',', ",,");
    format!("stream,id={id},server=off,addr.type=unix,addr.path={path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        assert_eq!(Model::by_name("rtl8139").ok(), Some(Some(Model::Rtl8139)));
        assert_eq!(Model::by_name("none").ok(), Some(None));
        assert!(Model::by_name("ne2000").is_err());
        assert_eq!(forward("2222:22").ok(), Some((2222, 22)));
        assert!(["", "1", "1:", "0:1", "1:65536"].into_iter().all(|text| forward(text).is_err()));
    }

    #[test]
    fn the_page_is_forwarded_once() {
        let (card, page) = for_person(Model::E1000, &[(9090, 80), (7777, 7)]);
        assert_eq!(page, Some(9090));
        assert_eq!(card.cable, Cable::User(vec![(9090, 80), (7777, 7)]));
    }

    #[test]
    fn cards_come_in_order_with_their_cables() {
        let relay =
            Cable::Relay { near: "/n,1".into(), far: "/f".into(), tap: "pollux1".to_owned() };
        let cards = [
            Card { model: Model::E1000, cable: Cable::User(vec![(8080, 80)]) },
            Card { model: Model::Rtl8139, cable: relay },
        ];
        let line = arguments(&cards).join(" ");
        for part in [
            "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80",
            "e1000,netdev=net0,mac=52:54:00:12:34:56,romfile=,addr=0x4",
            "stream,id=net1,server=off,addr.type=unix,addr.path=/n,,1",
            "tap,id=tap1,ifname=pollux1,script=no,downscript=no,vnet_hdr=off",
            "hubport,id=hub-tap1,hubid=1,netdev=tap1",
            "rtl8139,netdev=net1,mac=52:54:00:12:34:57",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
