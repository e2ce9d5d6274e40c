//! What is known to stop smoltcp: it does when the rules of `protocols::ingress` are broken, and does
//! not when they are kept. One that no longer does has been mended, and its rule may go.

use std::panic::{AssertUnwindSafe, catch_unwind};

use smoltcp::time::Instant;

use super::frame::{
    ALL_NODES, ARP, Frame, ICMPV6, PEER_IP, PEER_IP6, PEER_MAC, Segment, TCP, VICTIM_IP,
    VICTIM_IP6, VICTIM_MAC, ethernet, ipv4, ipv6, tcp,
};
use super::numbers::Numbers;
use super::seen::Seen;
use super::victim::Victim;
use super::wire::{Offloads, Rules};

/// A victim whose programs listen, and who knows the peer.
struct Scene {
    victim: Victim,
    seen: Seen,
    now: Instant,
}

impl Scene {
    fn new(rules: Rules) -> Self {
        let victim = Victim::new(Offloads::None, rules);
        let mut scene = Self { victim, seen: Seen::default(), now: Instant::from_millis(1) };
        let mut numbers = Numbers::new(1);
        (0..50).for_each(|_| scene.victim.use_sockets(&mut numbers));
        let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
        request.extend([&PEER_MAC[..], &PEER_IP, &VICTIM_MAC, &VICTIM_IP].concat());
        scene.send([ethernet(VICTIM_MAC, ARP, &request)]);
        scene
    }

    /// All of these before the victim answers one; later it has its time.
    fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        frames.into_iter().for_each(|frame| self.victim.receive(frame));
        for _ in 0..3 {
            self.victim.turn(self.now);
            self.now += smoltcp::time::Duration::from_millis(700);
            for frame in std::mem::take(&mut self.victim.wire.outgoing) {
                self.seen.look(&frame);
            }
        }
    }
}

fn segment(port: u16, sequence: u32, flags: u8, rest: (u32, &[u8], &[u8])) -> Frame {
    let (acknowledges, options, payload) = rest;
    let ports = (port, 7);
    let segment = Segment { ports, sequence, acknowledges, flags, window: 4096, options, payload };
    ipv4(PEER_IP, VICTIM_IP, TCP, &tcp(&segment))
}

/// Runs it with the rules broken and kept.
fn stops(attack: fn(&mut Scene)) {
    let _turn = super::alone();
    let run = |rules| catch_unwind(AssertUnwindSafe(|| attack(&mut Scene::new(rules))));
    assert!(run(Rules::Kept).is_ok());
    assert!(run(Rules::Broken).is_err(), "it has been mended");
}

#[test]
fn a_prefix_longer_than_an_address() {
    stops(|scene| {
        let mut message = vec![134, 0, 0, 0, 64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([3, 4, 129, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        message.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        scene.send([ipv6(PEER_IP6, ALL_NODES, ICMPV6, 255, &message)]);
    });
}

#[test]
fn a_prefix_of_groups() {
    stops(|scene| {
        let mut message = vec![134, 0, 0, 0, 64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend([3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        message.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        scene.send([ipv6(PEER_IP6, ALL_NODES, ICMPV6, 255, &message)]);
    });
}

#[test]
fn a_question_about_its_own_address_as_a_group() {
    stops(|scene| {
        let mut message = vec![130, 0, 0, 0, 0, 1, 0, 0];
        message.extend(VICTIM_IP6);
        message.extend([0; 4]);
        scene.send([ipv6(PEER_IP6, VICTIM_IP6, ICMPV6, 1, &message)]);
    });
}

/// The window is still that of the first connection when the second is reset from as far away as
/// sequence numbers go.
#[test]
fn two_beginnings_and_two_resets() {
    stops(|scene| {
        let none: (u32, &[u8], &[u8]) = (0, &[], &[]);
        let (first, second) = (1_000_000u32, 1_010_000u32);
        scene.send([segment(1000, first, 0x02, none)]);
        scene.send([
            segment(1000, first + 1, 0x04, none),
            segment(1000, second, 0x02, none),
            segment(1000, second + 1 + (1 << 31), 0x04, none),
        ]);
    });
}

/// The window of a SYN is not scaled, and taken as if it were.
#[test]
fn data_beyond_the_receive_buffer() {
    stops(|scene| {
        let scaled: (u32, &[u8], &[u8]) = (0, &[3, 3, 7, 1], &[]);
        // Small buffers first: one of each size listens.
        for port in 1000..1004 {
            scene.send([segment(port, 0, 0x02, scaled)]);
        }
        for flow in scene.seen.flows.clone() {
            let acknowledges = flow.acknowledges;
            scene.send([segment(flow.ports.0, 300_000, 0x18, (acknowledges, &[], &[7; 100]))]);
        }
    });
}

/// An end behind a full window, and a segment as far away from it as sequence numbers go, before the
/// end was acknowledged.
#[test]
fn an_end_beyond_the_window() {
    stops(|scene| {
        scene.send([segment(1000, 0, 0x02, (0, &[], &[]))]);
        let flow = scene.seen.flows.iter().find(|flow| flow.ports == (1000, 7));
        let acknowledges = flow.expect("it answers").acknowledges;
        let with =
            |sequence, flags, payload| segment(1000, sequence, flags, (acknowledges, &[], payload));
        // 4096 bytes and the end, then far away.
        scene.send([
            with(1, 0x10, &[7; 1400]),
            with(1401, 0x10, &[7; 1400]),
            with(2801, 0x11, &[7; 1296]),
            with(4098 + (1 << 31), 0x10, &[]),
        ]);
    });
}

/// All that was sent, and the end, is acknowledged with a window of nothing: the timer that asks for
/// a window runs on.
#[test]
fn a_window_asked_for_when_nothing_is_to_be_sent() {
    stops(|scene| {
        let mut numbers = Numbers::new(1);
        let closed: (u32, &[u8], &[u8]) = (0, &[], &[]);
        scene.send([page(0, 0x02, 0, closed.2)]);
        let answered = |scene: &Scene| {
            let flow = scene.seen.flows.iter().find(|flow| flow.ports == (1000, 80));
            flow.expect("it answers").acknowledges
        };
        let begun = answered(scene);
        // Something is asked, and answered while there is no window for it.
        scene.send([page(1, 0x10, begun, b"page?")]);
        (0..50).for_each(|_| scene.victim.use_sockets(&mut numbers));
        scene.send([page(6, 0x10, begun, &[])]);
        // All 2048 bytes of it and its end arrived, though.
        scene.send([page(6, 0x10, begun + 2049, &[])]);
        for _ in 0..10 {
            scene.send([]);
        }
    });
}

/// A segment for the page, with a window of nothing.
fn page(sequence: u32, flags: u8, acknowledges: u32, payload: &[u8]) -> Frame {
    let (ports, options) = ((1000, 80), &[][..]);
    let segment = Segment { ports, sequence, acknowledges, flags, window: 0, options, payload };
    ipv4(PEER_IP, VICTIM_IP, TCP, &tcp(&segment))
}

/// The victim wants a connection, and cannot send yet, since it does not know its way; then the other
/// side begins one.
#[test]
fn a_connection_opened_from_both_sides() {
    stops(|scene| {
        // Whatever ports its programs have.
        for port in 50_000..50_100 {
            let segment = Segment {
                ports: (7000, port),
                sequence: 1,
                acknowledges: 0,
                flags: 0x02,
                window: 4096,
                options: &[],
                payload: &[],
            };
            let segment = tcp(&segment);
            scene.send([
                ipv4(PEER_IP, VICTIM_IP, TCP, &segment),
                ipv6(PEER_IP6, VICTIM_IP6, TCP, 64, &segment),
            ]);
        }
    });
}
