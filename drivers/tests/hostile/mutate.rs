//! Frames that were right, with something changed: at random, and where it hurts.

use super::frame::{ETHERNET, Frame, IPV4, fix, fix_lengths, word};
use super::numbers::Numbers;

/// Changes a frame a little, or more. `other` is one that it may get a part of.
pub fn mutate(numbers: &mut Numbers, frame: &mut Frame, other: &[u8]) {
    for _ in 0..numbers.pick(&[1, 1, 1, 2, 3, 8]) {
        once(numbers, frame, other);
    }
    if numbers.one_in(2) {
        fix_lengths(frame);
    }
    if !numbers.one_in(5) {
        fix(frame);
    }
}

fn once(numbers: &mut Numbers, frame: &mut Frame, other: &[u8]) {
    if frame.is_empty() {
        frame.extend(numbers.bytes(20));
    }
    // The headers are at the front, and most of what matters.
    let front = frame.len().min(if numbers.one_in(3) { 1514 } else { 80 });
    let at = numbers.below(front);
    match numbers.below(12) {
        0 | 1 => frame[at] ^= 1 << numbers.below(8),
        2 => frame[at] = numbers.byte(),
        3 | 4 => put(frame, at, &(numbers.awkward() as u16).to_be_bytes()),
        5 => put(frame, at, &numbers.awkward().to_be_bytes()),
        6 => frame.truncate(at + 1),
        7 => {
            let more = numbers.pick(&[1, 4, 60, 1400]);
            let room = 1518usize.saturating_sub(frame.len());
            frame.extend(numbers.bytes(more.min(room)));
        }
        8 => {
            let count = numbers.below(9).min(frame.len() - at);
            frame.drain(at..at + count);
        }
        9 => {
            let count = numbers.below(9);
            frame.splice(at..at, numbers.bytes(count));
        }
        10 if !other.is_empty() => {
            let from = numbers.below(other.len());
            frame.truncate(at);
            frame.extend(&other[from..]);
        }
        _ => field(numbers, frame),
    }
    frame.truncate(1518);
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..].iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// Changes a field that says how long something is, what comes next, or where it goes.
fn field(numbers: &mut Numbers, frame: &mut [u8]) {
    let is_v4 = word(frame, 12) == IPV4;
    let header = match frame.get(ETHERNET) {
        Some(first) if is_v4 => usize::from(first & 0xf) * 4,
        _ => 40,
    };
    let transport = ETHERNET + header;
    let places: [usize; 10] = [
        ETHERNET,
        ETHERNET + if is_v4 { 2 } else { 4 },
        ETHERNET + 6,
        ETHERNET + if is_v4 { 9 } else { 7 },
        transport,
        transport + 4,
        transport + 8,
        transport + 12,
        transport + 13,
        transport + 20,
    ];
    let at = numbers.pick(&places);
    if at < frame.len() {
        let value = numbers.awkward();
        match numbers.below(3) {
            0 => put(frame, at, &[value as u8]),
            1 => put(frame, at, &(value as u16).to_be_bytes()),
            _ => put(frame, at, &value.to_be_bytes()),
        }
    }
}
