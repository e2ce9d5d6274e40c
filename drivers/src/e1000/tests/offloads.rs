//! Checksums and segments: what the model sends is compared byte for byte with what the stack would
//! have made itself.

use super::*;
use crate::e1000::model::is_right;
use crate::net::{ChecksumField, Checksums, Offload};

const KINDS: [Transport; 3] = [Transport::Tcp4, Transport::Udp4, Transport::Tcp6];

fn sum(mut words: u32) -> [u8; 2] {
    while words > 0xffff {
        words = (words & 0xffff) + (words >> 16);
    }
    (words as u16).to_be_bytes()
}

/// `bytes`, a whole packet, with its checksum left to the device. Cut into segments, the length is
/// not in the seed.
fn left_to_device(nic: &Nic, kind: Transport, bytes: &[u8], segment_bytes: u16) -> Frame {
    let mut frame = frame(nic, bytes);
    let ends = if kind == Transport::Tcp6 { 22..54 } else { 26..34 };
    let ends =
        frame.bytes()[ends].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let number = if kind == Transport::Udp4 { 17 } else { 6 };
    let length = if segment_bytes == 0 { (bytes.len() - kind.start()) as u32 } else { 0 };
    let seed = sum(ends.sum::<u32>() + number + length);
    frame.bytes_mut()[kind.field()..kind.field() + 2].copy_from_slice(&seed);
    frame.offload = Offload {
        checksum: Some(ChecksumField { start: kind.start() as u16, field: kind.field() as u16 }),
        segment_bytes,
        header_bytes: kind.headers() as u16,
    };
    frame
}

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn checksums_are_inserted_and_contexts_sent_only_when_they_change() {
    drive(CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
        let nic = rig.nic();
        let mut expected = Vec::new();
        for kind in KINDS {
            for bytes in [0, 1, 2, 99, 1000] {
                let packet = ip_frame([2, 0, 0, 0, 0, 1], kind, &payload(bytes));
                assert!(is_right(&packet));
                let frame = left_to_device(&nic, kind, &packet, 0);
                assert!(nic.try_transmit(frame).is_ok());
                // Between them, one that wants nothing.
                assert!(nic.try_transmit(super::frame(&nic, &packet)).is_ok());
                let mut padded = packet;
                padded.resize(padded.len().max(60), 0);
                expected.extend([padded.clone(), padded]);
            }
        }
        nic.kick();
        rig.wait(1, || rig.device.act(|model, _| model.sent.len() == expected.len())).await;
        assert_eq!(rig.sent(), expected);
        assert_eq!(rig.device.act(|model, _| (model.contexts, model.odd)), (3, 0));
    });
}

/// The segments that a packet is cut into, made one by one.
fn segments(kind: Transport, whole: &[u8], segment_bytes: usize) -> Vec<Vec<u8>> {
    let pieces = whole[kind.headers()..].chunks(segment_bytes);
    let last = pieces.len() - 1;
    let mut sequence = 0xffff_ff00u32;
    let cut = pieces.enumerate().map(|(number, piece)| {
        let mut frame = ip_frame(whole[..6].try_into().expect("six bytes"), kind, piece);
        // One's-complement arithmetic: what is subtracted before is added after.
        let start = kind.start();
        let old = [frame[start + 4..start + 8].to_vec(), frame[start + 12..start + 14].to_vec()];
        frame[start + 4..start + 8].copy_from_slice(&sequence.to_be_bytes());
        if number != last {
            frame[start + 13] &= !0b1001;
        }
        let new = [frame[start + 4..start + 8].to_vec(), frame[start + 12..start + 14].to_vec()];
        fix(&mut frame, kind.field(), &old.concat(), &new.concat());
        if kind == Transport::Tcp4 {
            let old = frame[18..20].to_vec();
            let id = 0xfffeu16.wrapping_add(number as u16).to_be_bytes();
            frame[18..20].copy_from_slice(&id);
            fix(&mut frame, 24, &old, &id);
        }
        sequence = sequence.wrapping_add(piece.len() as u32);
        assert!(is_right(&frame));
        frame.resize(frame.len().max(60), 0);
        frame
    });
    cut.collect()
}

/// Corrects the checksum at `field` for bytes that were `old` and are `new` (RFC 1624).
fn fix(frame: &mut [u8], field: usize, old: &[u8], new: &[u8]) {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair[1]);
    let mut total = !word(&frame[field..]) & 0xffff;
    total += old.chunks(2).map(|pair| !word(pair) & 0xffff).sum::<u32>();
    total += new.chunks(2).map(word).sum::<u32>();
    let [high, low] = sum(total);
    frame[field..field + 2].copy_from_slice(&[!high, !low]);
}

#[test]
fn long_packets_are_cut_into_segments() {
    for id in [EXPRESS, PLAIN] {
        let (output, end, memory) =
            drive_as(id, CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
                let nic = rig.nic();
                for kind in [Transport::Tcp4, Transport::Tcp6] {
                    for bytes in [1, 536, 1400, 1401, 4000, 10_000, 65_536 - kind.headers()] {
                        for segment_bytes in [536, 1400, 1440] {
                            cut(rig, &nic, kind, bytes, segment_bytes).await;
                        }
                    }
                }
                nic.port().statistics().resets
            });
        assert_eq!((output, end, memory), (Some(0), Ok(()), MemoryReport::default()));
    }
}

async fn cut(rig: &Rig, nic: &Nic, kind: Transport, bytes: usize, segment_bytes: usize) {
    let whole = ip_frame([2, 0, 0, 0, 0, 1], kind, &payload(bytes));
    let mut frame = left_to_device(nic, kind, &whole, segment_bytes as u16);
    loop {
        match nic.try_transmit(frame) {
            Ok(()) => break,
            Err(Refused::Full(back)) => frame = back,
            Err(other) => panic!("{other:?}"),
        }
        nic.room().await;
    }
    nic.kick();
    let expected = segments(kind, &whole, segment_bytes);
    rig.wait(1, || rig.device.act(|model, _| model.sent.len() >= expected.len())).await;
    let sent = rig.sent();
    assert_eq!(sent.len(), expected.len());
    for (number, (sent, expected)) in sent.iter().zip(&expected).enumerate() {
        assert_eq!(sent, expected, "{kind:?}, {bytes} bytes, segment {number}");
    }
}

#[test]
fn what_the_device_cannot_do_is_refused() {
    drive(CompletionMode::Poll, Model::new(Way::Table), async |rig| {
        let nic = rig.nic();
        let packet = ip_frame([2, 0, 0, 0, 0, 1], Transport::Tcp4, &payload(3000));
        let sum = |start, field| Some(ChecksumField { start, field });
        let good = Offload { checksum: sum(34, 50), segment_bytes: 1400, header_bytes: 54 };
        let wrong = [
            Offload { checksum: None, ..good },
            Offload { checksum: sum(34, 53), ..good },
            Offload { checksum: sum(34, 33), ..good },
            Offload { checksum: sum(300, 316), ..good },
            Offload { checksum: sum(2, 50), ..good },
            Offload { checksum: sum(18, 50), ..good },
            Offload { header_bytes: 3054, ..good },
            Offload { header_bytes: 300, ..good },
            Offload { header_bytes: 40, ..good },
            Offload { segment_bytes: 1461, ..good },
            Offload { segment_bytes: 9000, ..good },
            Offload { segment_bytes: 0, ..good },
        ];
        for offload in wrong {
            let mut frame = frame(&nic, &packet);
            frame.offload = offload;
            let Err(Refused::Unfit(_)) = nic.try_transmit(frame) else { panic!("{offload:?}") };
        }
        // Neither of IPv4 nor of IPv6.
        let mut frame = frame(&nic, &packet);
        frame.bytes_mut()[12] = 0x88;
        frame.offload = good;
        let Err(Refused::Unfit(_)) = nic.try_transmit(frame) else { panic!("it was taken") };
        nic.kick();
        assert!(rig.sent().is_empty());
    });
}

#[test]
fn an_82544_cuts_only_ipv4() {
    let model = Model::new(Way::Message);
    let (output, end, memory) = drive_as(0x1008, CompletionMode::Poll, model, async |rig| {
        let nic = rig.nic();
        cut(rig, &nic, Transport::Tcp4, 9000, 1400).await;
        let packet = ip_frame([2, 0, 0, 0, 0, 1], Transport::Tcp6, &payload(9000));
        let frame = left_to_device(&nic, Transport::Tcp6, &packet, 1400);
        assert!(matches!(nic.try_transmit(frame), Err(Refused::Unfit(_))));
    });
    assert_eq!((output, end, memory), (Some(()), Ok(()), MemoryReport::default()));
}

#[test]
fn what_was_checked_is_said_and_what_is_wrong_is_dropped() {
    drive(CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
        let nic = rig.nic();
        for kind in KINDS {
            let packet = ip_frame(MAC, kind, &payload(200));
            rig.arrive(&packet);
            let soon = Virtual::now().after(SECOND);
            let frame = timeout::<Virtual, _>(soon, nic.receive()).await.expect("it arrives");
            assert_eq!((frame.bytes(), frame.checksums), (&packet[..], Checksums::Right));
            let mut damaged = packet.clone();
            damaged[kind.headers() + 3] ^= 1;
            rig.arrive(&damaged);
        }
        let mut damaged = ip_frame(MAC, Transport::Tcp4, &payload(200));
        damaged[22] ^= 1;
        rig.arrive(&damaged);
        // Nothing the device knows.
        rig.arrive(&numbered(1, 100));
        let frame = nic.receive().await;
        assert_eq!((frame.bytes(), frame.checksums), (&numbered(1, 100)[..], Checksums::Unchecked));
        assert_eq!(nic.port().statistics().receive_errors, 4);
    });
}
