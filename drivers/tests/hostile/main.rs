//! TCP/IP as the kernel has it, against somebody on its link who sends anything: frames that were
//! right and had something changed, frames made to be half right, pieces that do not fit, answers to
//! questions nobody asked. It never panics, its memory stays bounded, and afterwards it serves those
//! who mean well.
//!
//! ```text
//!   peer ── frames ──┬──────────────────────────────> victim: sockets of every kind
//!                    └─> kept ──> changed, forged ──┘   │
//!                          ^ connections, questions     │
//!                          └──────── seen <─────────────┘
//! ```
//!
//! `HOSTILE_FRAMES` in the environment: how many, instead of two million. `HOSTILE_SEED`: others.

mod forge;
mod frame;
mod known;
mod log;
mod mutate;
mod numbers;
mod peer;
mod pieces;
mod seen;
mod victim;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

use smoltcp::time::{Duration, Instant};

use forge::{dhcp, forge};
use frame::{Frame, fixed};
use mutate::mutate;
use numbers::Numbers;
use peer::Peer;
use pieces::whole_in_pieces;
use seen::{Seen, is_well_formed};
use victim::Victim;
use wire::{Offloads, Rules};

/// Frames, unless told otherwise.
const FRAMES: u64 = 2_000_000;
/// Frames that others are made from.
const KEPT_MOST: usize = 512;
/// How much the process may grow while the attack goes on.
const GROWTH_MOST_BYTES: u64 = 16 << 20;

struct Attack {
    numbers: Numbers,
    now: Instant,
    victim: Victim,
    peer: Peer,
    seen: Seen,
    offloads: Offloads,
    kept: Vec<Frame>,
    /// The last frames that the victim was given: what to look at if it panics.
    last: Vec<Frame>,
    sent: u64,
}

/// Says what the victim was given last.
impl Drop for Attack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {} frames; the last ones were:", self.sent);
            for frame in &self.last {
                let text: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("{text}");
            }
        }
    }
}

impl Attack {
    fn new(seed: u64, offloads: Offloads) -> Self {
        Self {
            numbers: Numbers::new(seed),
            now: Instant::ZERO,
            victim: Victim::new(offloads, Rules::Kept),
            peer: Peer::new(),
            seen: Seen::default(),
            offloads,
            kept: Vec::new(),
            last: Vec::new(),
            sent: 0,
        }
    }

    /// What both send goes over the link.
    fn exchange(&mut self, is_peaceful: bool) {
        self.victim.turn(self.now);
        for frame in std::mem::take(&mut self.victim.wire.outgoing) {
            self.seen.look(&frame);
            if self.offloads == Offloads::None {
                assert!(is_well_formed(&frame), "the victim sends {frame:02x?}");
            }
            // One to be cut into segments, or without a checksum: as a device would send it.
            let frame = if self.offloads == Offloads::All { fixed(frame) } else { frame };
            if frame.len() <= 1514 && (is_peaceful || !self.numbers.one_in(10)) {
                self.peer.wire.incoming.push_back(frame);
            }
        }
        self.peer.turn(self.now);
        for frame in std::mem::take(&mut self.peer.wire.outgoing) {
            if self.kept.len() < KEPT_MOST {
                self.kept.push(frame.clone());
            } else if !is_peaceful {
                let place = self.numbers.below(KEPT_MOST);
                self.kept[place] = frame.clone();
            }
            if is_peaceful || !self.numbers.one_in(10) {
                self.deliver(frame);
            }
        }
    }

    fn deliver(&mut self, frame: Frame) {
        if self.last.len() == 64 {
            self.last.remove(0);
        }
        self.last.push(frame.clone());
        self.victim.receive(frame);
    }

    /// Some hostile frames, and what goes on meanwhile.
    fn step(&mut self) {
        let count = 1 + self.numbers.below(12);
        for _ in 0..count {
            let frame = self.hostile();
            self.sent += 1;
            self.deliver(frame);
        }
        if self.numbers.one_in(400) {
            for piece in whole_in_pieces(&mut self.numbers, &self.seen) {
                self.sent += 1;
                self.deliver(piece);
            }
        }
        if self.numbers.one_in(50)
            && let Some(transaction) = self.seen.dhcp
        {
            let answer = dhcp(&mut self.numbers, transaction, true);
            self.deliver(answer);
        }
        self.exchange(false);
        self.victim.use_sockets(&mut self.numbers);
        self.peer.use_sockets(&mut self.numbers);
        let ms = match self.numbers.below(1000) {
            0 => 100_000,
            1..5 => 3000,
            5..50 => 200,
            _ => self.numbers.below(4) as u64,
        };
        self.now += Duration::from_millis(ms);
        if self.numbers.one_in(100) {
            self.victim.settle();
        }
    }

    fn hostile(&mut self) -> Frame {
        if self.kept.is_empty() || self.numbers.one_in(2) {
            let mut frame = forge(&mut self.numbers, &self.seen);
            if self.numbers.one_in(4) {
                mutate(&mut self.numbers, &mut frame, &[]);
            }
            return frame;
        }
        let [one, other] = [(); 2].map(|()| self.numbers.below(self.kept.len()));
        let mut frame = self.kept[one].clone();
        // Now and then once more as it was: out of order, or twice.
        if !self.numbers.one_in(10) {
            mutate(&mut self.numbers, &mut frame, &self.kept[other]);
        }
        frame
    }

    /// Nobody is hostile any more: all is served again, and soon.
    fn recovers(&mut self) {
        self.victim.settle();
        // Beyond what neighbours are remembered and pieces are waited for.
        self.now += Duration::from_secs(200);
        let echoed = self.peer.echoed;
        for _ in 0..40_000 {
            self.exchange(true);
            self.victim.use_sockets(&mut self.numbers);
            self.peer.use_sockets(&mut self.numbers);
            self.now += Duration::from_millis(5);
            if self.peer.echoed > echoed + 100_000 && self.victim.is_connected() {
                return;
            }
        }
        panic!("{} bytes came back", self.peer.echoed - echoed);
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Holds the other tests up: memory is counted for the whole process, and a panic that is looked
/// for (`known`) reads all debug information, some 50 MB, if backtraces are on.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of memory that the process has. 0 where that cannot be known.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn attack(offloads: Offloads) {
    let _turn = alone();
    let frames = variable("HOSTILE_FRAMES").unwrap_or(FRAMES) / 2;
    let mut attack = Attack::new(variable("HOSTILE_SEED").unwrap_or(1), offloads);
    let mut after_start = None;
    while attack.sent < frames {
        attack.step();
        if attack.sent > frames / 4 && after_start.is_none() {
            after_start = Some(resident_bytes());
        }
    }
    let growth = resident_bytes().saturating_sub(after_start.unwrap_or(0));
    attack.recovers();
    let (sent, counts) = (attack.sent, attack.victim.counts);
    println!("{sent} hostile frames; {growth} bytes more; {counts:?}");
    // Else too little of the stack has been seen.
    assert!(counts.connections > sent / 5000 && counts.leases > sent / 20_000);
    assert!(counts.answers > sent / 20_000 && counts.datagrams > sent / 2000);
    assert!(growth < GROWTH_MOST_BYTES, "it grows: {growth} bytes");
}

#[test]
fn a_device_without_offloads() {
    log::write_all();
    attack(Offloads::None);
}

#[test]
fn a_device_that_checks_and_cuts() {
    attack(Offloads::All);
}
