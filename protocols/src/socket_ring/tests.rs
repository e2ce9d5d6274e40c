//! The rings against a model, against a peer that writes anything, and between two that sleep.
extern crate std;
use super::*;
use crate::shared::{self, Bytes, Words};
use core::net::{IpAddr, SocketAddr};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{thread, vec, vec::Vec};

const CAPACITY: u32 = CAPACITY_MIN;

struct Shared(Vec<AtomicU64>);

impl Shared {
    fn new(layout: Layout) -> Self {
        Self((0..layout.bytes() / 8).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Words for Shared {
    fn load(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }
    fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Release);
        }
    }
    fn swap(&self, index: usize, value: u64) -> u64 {
        self.0.get(index).map_or(0, |word| word.swap(value, Ordering::SeqCst))
    }
}

impl Bytes for Shared {
    fn read(&self, at: usize, into: &mut [u8]) {
        // Nothing the rings do is out of bounds, whatever the peer says.
        assert!(at + into.len() <= self.0.len() * 8);
        shared::read(&self.0, at, into);
    }
    fn write(&self, at: usize, from: &[u8]) {
        assert!(at + from.len() <= self.0.len() * 8);
        shared::write(&self.0, at, from);
    }
}

fn layout() -> Layout {
    Layout::new(CAPACITY, CAPACITY).unwrap()
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// A word that is often near something.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..20_000, any::<u64>(), Just(u64::MAX), (0u32..64).prop_map(|bit| 1 << bit)]
}

proptest! {
    #[test]
    fn messages_come_back(
        shifts in (12u32..23, 12u32..23),
        bits in 1u64..,
        peer in endpoint(),
        port in 1u16..,
        numbers in any::<(u16, u16, u32)>(),
        prefix in 0u8..=128,
        mac: [u8; 6],
    ) {
        let layout = Layout::new(1 << shifts.0, 1 << shifts.1).unwrap();
        let connect = Connect { layout, bits, peer };
        prop_assert_eq!(Connect::from_words(connect.to_message().words), Some(connect));
        let listen = Listen { port, backlog: numbers.0 };
        prop_assert_eq!(Listen::from_words(listen.to_message().words), Some(listen));
        let accept = Accept { layout, bits };
        prop_assert_eq!(Accept::from_words(accept.to_message().words), Some(accept));
        let bind = Bind { layout, bits, port: numbers.0 };
        prop_assert_eq!(Bind::from_words(bind.to_message().words), Some(bind));
        let resolve = Resolve { bits, length: 1 + numbers.0 % NAME_MAX as u16 };
        prop_assert_eq!(Resolve::from_words(resolve.to_message().words), Some(resolve));
        let ping = Ping {
            bits,
            host: peer.ip(),
            sequence: numbers.0,
            payload_bytes: numbers.1 % (PAYLOAD_MAX + 1),
            limit_ms: numbers.2,
        };
        prop_assert_eq!(Ping::from_words(ping.to_message().words), Some(ping));
        for address in [None, Some((peer.ip(), prefix))] {
            for link in [Link::Up, Link::Down] {
                let (interfaces, mtu) = (numbers.0, numbers.1);
                let info = InterfaceInfo { interfaces, link, mac, mtu, address };
                prop_assert_eq!(InterfaceInfo::from_words(info.to_words()), Some(info));
            }
        }
    }

    /// Any words are a message that reads back as they were, or none.
    #[test]
    fn any_words_are_read(words: [u64; 6], few in prop::array::uniform6(word())) {
        for words in [words, few, few.map(|word| word & 0xff)] {
            if let Some(connect) = Connect::from_words(words) {
                prop_assert_eq!(connect.to_message().words, words);
            }
            if let Some(listen) = Listen::from_words(words) {
                prop_assert_eq!(listen.to_message().words, words);
            }
            if let Some(accept) = Accept::from_words(words) {
                prop_assert_eq!(accept.to_message().words, words);
            }
            if let Some(bind) = Bind::from_words(words) {
                prop_assert_eq!(bind.to_message().words, words);
            }
            if let Some(resolve) = Resolve::from_words(words) {
                prop_assert_eq!(resolve.to_message().words, words);
            }
            if let Some(ping) = Ping::from_words(words) {
                prop_assert_eq!(ping.to_message().words, words);
            }
            let _ = InterfaceInfo::from_words(words);
        }
    }

    #[test]
    fn endings_come_back(word: u64) {
        for ending in SocketError::ALL.map(Ending::Failed).into_iter().chain([Ending::Done]) {
            prop_assert_eq!(Ending::from_word(ending.to_word()), Some(ending));
        }
        prop_assert_eq!(Ending::from_word(0), None);
        let _ = (Ending::from_word(word), State::from_word(word));
    }

    /// Header, rings and object do not overlap.
    #[test]
    fn a_layout_fits(to_network: u32, from_network: u32, shifts in (0u32..32, 0u32..32)) {
        let _ = Layout::new(to_network, from_network);
        let Ok(layout) = Layout::new(1 << shifts.0, 1 << shifts.1) else { return Ok(()) };
        let (outward, inward) = (layout.outward(), layout.inward());
        prop_assert_eq!(outward.at + outward.capacity as usize, inward.at);
        prop_assert_eq!(inward.at + inward.capacity as usize, layout.bytes());
        prop_assert!(layout.within(layout.bytes()).is_ok());
        prop_assert_eq!(layout.within(layout.bytes() - 1), Err(LayoutError::TooSmall));
    }

    /// Bytes arrive as they were sent, in whatever pieces, around the ring's end again and again.
    #[test]
    fn bytes_arrive(steps in prop::collection::vec((0usize..6, 0usize..5000), 1..200)) {
        let (words, layout) = (Shared::new(layout()), layout());
        let (mut client, mut server) = (Client::new(layout), Server::new(layout));
        let (mut sent, mut arrived, mut shown) = (0_u64, 0_u64, 0_u64);
        for (what, size) in steps {
            match what {
                0 | 1 => {
                    let bytes: Vec<u8> = (0..size).map(|at| (sent + at as u64) as u8).collect();
                    let room = client.output.room(&words).unwrap();
                    let count = client.output.write(&words, &bytes).unwrap();
                    prop_assert_eq!(count, size.min(room));
                    sent += count as u64;
                }
                2 => {
                    let _ = client.output.publish(&words);
                    shown = sent;
                }
                3 | 4 => {
                    let mut into = vec![0; size];
                    let available = server.output.available(&words).unwrap();
                    prop_assert_eq!(available as u64, shown - arrived);
                    let count = server.output.read(&words, &mut into).unwrap();
                    prop_assert_eq!(count, size.min(available));
                    let right = |(at, byte): (usize, &u8)| *byte == (arrived + at as u64) as u8;
                    prop_assert!(into[..count].iter().enumerate().all(right));
                    arrived += count as u64;
                }
                _ => {
                    let _ = server.output.publish(&words);
                }
            }
            prop_assert!(client.output.unread() <= CAPACITY as usize);
        }
    }

    /// Datagrams arrive whole, with their addresses, in order.
    #[test]
    fn datagrams_arrive(
        steps in prop::collection::vec((any::<bool>(), endpoint(), 0usize..2500, 0usize..2500), 1..100),
    ) {
        let (words, layout) = (Shared::new(layout()), layout());
        let (mut client, mut server) = (Client::new(layout), Server::new(layout));
        let mut under_way = VecDeque::new();
        for (number, (sends, peer, size, holds)) in steps.into_iter().enumerate() {
            if sends {
                let bytes = vec![number as u8; size];
                let large = server.input.has_room_for_datagram(&words).unwrap();
                match server.input.write_datagram(&words, peer, &bytes) {
                    Ok(()) => under_way.push_back((peer, bytes)),
                    Err(DatagramError::Full) => prop_assert!(!large),
                    Err(error) => {
                        prop_assert_eq!(error, DatagramError::TooLong);
                        prop_assert!(size > datagram_max(CAPACITY as usize));
                    }
                }
                let _ = server.input.publish(&words);
                continue;
            }
            let Some(datagram) = client.input.datagram(&words).unwrap() else {
                prop_assert!(under_way.is_empty());
                continue;
            };
            let (peer, bytes) = under_way.pop_front().unwrap();
            prop_assert_eq!((datagram.peer, datagram.len()), (peer, bytes.len()));
            let mut into = vec![0xee; holds];
            client.input.take_datagram(&words, datagram, &mut into);
            let count = holds.min(bytes.len());
            prop_assert_eq!(&into[..count], &bytes[..count]);
            let _ = client.input.publish(&words);
        }
    }

    /// A peer that writes anything anywhere gets neither side to reach outside of the rings, to
    /// move more than they hold, or to panic: what makes no sense is `Corrupt`.
    #[test]
    fn any_memory_is_survived(
        writes in prop::collection::vec((0usize..1600, word()), 1..300),
        sizes in prop::collection::vec(0usize..6000, 1..20),
    ) {
        let (words, layout) = (Shared::new(layout()), layout());
        let mut both = (Client::new(layout), Server::new(layout));
        let mut buffer = vec![0; 6000];
        for (step, (index, value)) in writes.into_iter().enumerate() {
            // Mostly where it matters.
            words.store(if index % 2 == 0 { index % 136 / 8 * 8 } else { index }, value);
            let size = sizes[step % sizes.len()];
            let (client, server) = &mut both;
            let ends = [
                use_reader(&words, &mut server.output, &mut buffer[..size]),
                use_reader(&words, &mut client.input, &mut buffer[..size]),
                use_writer(&words, &mut server.input, &buffer[..size]),
                use_writer(&words, &mut client.output, &buffer[..size]),
            ];
            let _ = (server.is_finished(&words), client.state(&words), client.local(&words));
            let _ = (client.input_end(&words), client.output_end(&words), client.peer(&words));
            let _ = (Query.addresses(&words), Query.round_trip_ns(&words));
            if ends.contains(&Err(Corrupt)) {
                both = (Client::new(layout), Server::new(layout));
            }
        }
    }

    #[test]
    fn names_and_answers(name in "[a-z.]{1,253}", ips in prop::collection::vec(ip(), 0..12), ns: u64) {
        let words = Shared::new(layout());
        Query.set_name(&words, &name).unwrap();
        let mut bytes = vec![0; name.len()];
        QueryServer.name(&words, &mut bytes);
        prop_assert_eq!(bytes, name.as_bytes());
        prop_assert!(!Query.is_over(&words));
        prop_assert_eq!(Query.addresses(&words), Err(SocketError::Gone));
        Query.fall_asleep(&words);
        let addresses = Addresses::new(ips.iter().copied());
        prop_assert_eq!(addresses.as_slice(), &ips[..ips.len().min(ADDRESSES_MAX)]);
        prop_assert_eq!(QueryServer.found(&words, &addresses), Wake::Ring);
        prop_assert!(Query.is_over(&words));
        prop_assert_eq!(Query.addresses(&words), Ok(addresses));
        prop_assert_eq!(QueryServer.echoed(&words, ns), Wake::No);
        prop_assert_eq!(Query.round_trip_ns(&words), Ok(ns));
        let _ = QueryServer.failed(&words, SocketError::TimedOut);
        prop_assert_eq!(Query.round_trip_ns(&words), Err(SocketError::TimedOut));
    }
}

fn use_reader(words: &Shared, reader: &mut Reader, into: &mut [u8]) -> Result<(), Corrupt> {
    let available = reader.available(words)?;
    assert!(available <= reader.capacity());
    if into.len().is_multiple_of(2) {
        assert!(reader.read(words, into)? <= available);
    } else if let Some(datagram) = reader.datagram(words)? {
        assert!(datagram.len() + DATAGRAM_HEADER <= available);
        reader.take_datagram(words, datagram, into);
    }
    let (_, count) = reader.next(words)?;
    reader.advance(count / 2);
    let _ = reader.publish(words);
    Ok(())
}

fn use_writer(words: &Shared, writer: &mut Writer, bytes: &[u8]) -> Result<(), Corrupt> {
    let room = writer.room(words)?;
    assert!(room + writer.unread() == writer.capacity());
    if bytes.len().is_multiple_of(2) {
        assert!(writer.write(words, bytes)? <= bytes.len().min(writer.capacity()));
    } else {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let written = writer.write_datagram(words, peer, bytes);
        if let Err(DatagramError::Corrupt(corrupt)) = written {
            return Err(corrupt);
        }
    }
    let (_, count) = writer.next(words)?;
    writer.advance(count / 2);
    let _ = writer.publish(words);
    Ok(())
}

/// A side that waits until it is rung.
struct Bell(AtomicU64);

impl Bell {
    fn ring(&self, wake: Wake) {
        if wake == Wake::Ring {
            self.0.store(1, Ordering::Release);
        }
    }
    fn wait(&self) {
        while self.0.swap(0, Ordering::AcqRel) == 0 {
            thread::yield_now();
        }
    }
}

/// The service echoes what comes, each side asleep whenever it has nothing to do, through rings far
/// smaller than what goes through them: every byte comes back, then the end, and nobody sleeps for
/// ever.
#[test]
fn nobody_sleeps_for_ever() {
    const BYTES: u64 = if cfg!(miri) { 20_000 } else { 5_000_000 };
    let (layout, words) = (layout(), Shared::new(layout()));
    let [at_client, at_server] = &[Bell(AtomicU64::new(0)), Bell(AtomicU64::new(0))];
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut server, mut buffer) = (Server::new(layout), vec![0; 1000]);
            loop {
                let finished = server.is_finished(&words);
                let room = server.input.room(&words).unwrap().min(buffer.len());
                let count = server.output.read(&words, &mut buffer[..room]).unwrap();
                assert_eq!(server.input.write(&words, &buffer[..count]).unwrap(), count);
                at_client.ring(server.output.publish(&words));
                at_client.ring(server.input.publish(&words));
                if count > 0 {
                    continue;
                }
                let drained = |server: &mut Server| server.output.available(&words).unwrap() == 0;
                if finished && drained(&mut server) {
                    break;
                }
                server.output.fall_asleep(&words);
                server.input.fall_asleep(&words);
                let due = server.is_finished(&words) || !drained(&mut server);
                if !due || server.input.room(&words).unwrap() == 0 {
                    at_server.wait();
                }
                server.output.wake_up(&words);
                server.input.wake_up(&words);
            }
            at_client.ring(server.end_input(&words, Ending::Done));
            at_client.ring(server.end(&words));
        });
        let (mut client, mut buffer) = (Client::new(layout), vec![0; 700]);
        let (mut sent, mut got) = (0, 0);
        loop {
            let ending = client.input_end(&words);
            let count = client.input.read(&words, &mut buffer).unwrap();
            let right = |(at, byte): (usize, &u8)| *byte == (got + at as u64) as u8;
            assert!(buffer[..count].iter().enumerate().all(right));
            got += count as u64;
            at_server.ring(client.input.publish(&words));
            if count == 0 && ending.is_some() {
                assert_eq!((ending, got), (Some(Ending::Done), BYTES));
                break;
            }
            let mut wrote = 0;
            if sent < BYTES {
                let some = (BYTES - sent).min(900);
                let bytes: Vec<u8> = (0..some).map(|at| (sent + at) as u8).collect();
                wrote = client.output.write(&words, &bytes).unwrap();
                sent += wrote as u64;
                at_server.ring(if sent == BYTES {
                    client.finish(&words)
                } else {
                    client.output.publish(&words)
                });
            }
            if count == 0 && wrote == 0 {
                client.input.fall_asleep(&words);
                client.output.fall_asleep(&words);
                let room = client.output.room(&words).unwrap();
                let due = client.input.available(&words).unwrap() > 0 || sent < BYTES && room > 0;
                if !due && client.input_end(&words).is_none() {
                    at_client.wait();
                }
                client.input.wake_up(&words);
                client.output.wake_up(&words);
            }
        }
    });
}
