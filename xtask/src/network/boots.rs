//! The table of network boots. Adding one is adding a line and, if need be, a scenario.

use anyhow::Result;

use super::cards::Model::{self, E1000, E1000e, Rtl8139};
use super::scenario;
use super::stage::Stage;

/// What is at the other end of the cables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// QEMU's own little network: works everywhere, lets little be tried.
    User,
    /// A tap device for each card in a private network.
    Tap,
    /// The same, where the first card's cable passes through a relay.
    Relay,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct NetBoot {
    /// Its name, for `--filter`.
    pub name: &'static str,
    /// Virtual CPUs.
    pub cores: u32,
    /// The cards, `net0` first.
    pub cards: &'static [Model],
    /// Cards that it does with as well, for `soak`.
    pub others: &'static [&'static [Model]],
    /// What they are connected to.
    pub wiring: Wiring,
    /// The kernel's command line.
    pub words: &'static str,
    /// What is done while it runs.
    pub play: fn(&mut Stage) -> Result<()>,
    /// Time limit in seconds.
    pub limit: u64,
}

impl NetBoot {
    /// The same with so many cores, and with the cards that `number` picks.
    pub fn varied(&self, cores: u32, number: usize) -> Self {
        Self { cores, cards: self.others[number % self.others.len()], ..*self }
    }
}

const ONE: &[&[Model]] = &[&[E1000e], &[E1000], &[Rtl8139]];
const TWO: &[&[Model]] = &[&[E1000, Rtl8139], &[E1000e, E1000], &[Rtl8139, E1000e]];

/// What most are like.
const PLAIN: NetBoot = NetBoot {
    name: "",
    cores: 4,
    cards: &[E1000e],
    others: ONE,
    wiring: Wiring::Tap,
    words: "exit=qemu",
    play: scenario::short,
    limit: 180,
};

const FULL: &str = "net.services=on net.syslog=192.0.2.1 exit=qemu";

/// All of them.
pub const BOOTS: &[NetBoot] = &[
    NetBoot { name: "net.user", wiring: Wiring::User, play: scenario::user, ..PLAIN },
    NetBoot { name: "net.e1000.1-core", cores: 1, cards: &[E1000], ..PLAIN },
    NetBoot { name: "net.e1000.4-cores", cards: &[E1000], ..PLAIN },
    NetBoot { name: "net.e1000e.1-core", cores: 1, ..PLAIN },
    NetBoot { name: "net.e1000e.4-cores", ..PLAIN },
    NetBoot { name: "net.rtl8139.1-core", cores: 1, cards: &[Rtl8139], ..PLAIN },
    NetBoot { name: "net.rtl8139.4-cores", cards: &[Rtl8139], ..PLAIN },
    NetBoot {
        name: "net.two-cards",
        cores: 2,
        cards: TWO[0],
        others: TWO,
        play: scenario::two_cards,
        ..PLAIN
    },
    NetBoot { name: "net.full", words: FULL, play: scenario::full, limit: 420, ..PLAIN },
    NetBoot {
        name: "net.bad-weather",
        cores: 2,
        // QEMU's 82574L would send what it should segment in fragments, all lost if one is.
        cards: &[E1000],
        others: &[&[E1000], &[Rtl8139]],
        wiring: Wiring::Relay,
        words: "net.ip=192.0.2.10/24,192.0.2.1 net.dns=192.0.2.1 net.services=on exit=qemu",
        play: scenario::bad_weather,
        limit: 300,
    },
    NetBoot {
        name: "net.hostile",
        cores: 2,
        wiring: Wiring::Relay,
        words: "net.services=on exit=qemu",
        play: scenario::hostile,
        limit: 420,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_cards_are_among_the_others() {
        for (number, boot) in BOOTS.iter().enumerate() {
            assert!(BOOTS[..number].iter().all(|other| other.name != boot.name), "{}", boot.name);
            assert!(boot.name.starts_with("net."));
            assert!(boot.others.contains(&boot.cards), "{}", boot.name);
            assert!(boot.others.iter().all(|cards| cards.len() == boot.cards.len()));
        }
    }

    #[test]
    fn variations_have_other_cards() {
        let two = BOOTS.iter().find(|boot| boot.name == "net.two-cards").unwrap();
        let varied = two.varied(3, 5);
        assert_eq!((varied.cores, varied.cards), (3, TWO[2]));
    }
}
