//! The ring against a client that writes anything, and two sides that sleep whenever they can.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::vec::Vec;

struct Shared(Vec<AtomicU64>);

impl Shared {
    fn new(pages: u32) -> Self {
        Self((0..pages * 512).map(|_| AtomicU64::new(0)).collect())
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

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (any::<u64>(), any::<u32>(), any::<u32>())
            .prop_map(|(lba, first_page, pages)| Operation::Read { lba, first_page, pages }),
        (any::<u64>(), any::<u32>(), any::<u32>())
            .prop_map(|(lba, first_page, pages)| Operation::Write { lba, first_page, pages }),
        Just(Operation::Flush),
        (any::<u64>(), any::<u64>()).prop_map(|(lba, blocks)| Operation::Zero { lba, blocks }),
        (any::<u64>(), any::<u64>()).prop_map(|(lba, blocks)| Operation::Discard { lba, blocks }),
    ]
}

proptest! {
    #[test]
    fn requests_come_back(operation in operation(), tag: u64) {
        let request = Request { operation, tag };
        prop_assert_eq!(Request::from_words(request.to_words()), Ok(request));
    }

    /// Any words are a request that reads back as they were, or are refused under their tag.
    #[test]
    fn any_words_are_read(words: [u64; 4], small in 0u64..8) {
        for first in [words[0], small, small | words[0] & !0xffff_ffff] {
            let words = [first, words[1], words[2], words[3]];
            match Request::from_words(words) {
                Ok(request) => prop_assert_eq!(request.to_words(), words),
                Err(Refused(completion)) => prop_assert_eq!(completion.tag, words[3]),
            }
        }
    }

    #[test]
    fn messages_come_back(entries: u32, bits in 1u64.., core: u32, words: [u64; 6]) {
        let open = Open { entries, bits, core };
        prop_assert_eq!(Open::from_words(open.to_message().words), Some(open));
        if let Some(open) = Open::from_words(words) {
            prop_assert_eq!(open.to_message().words, words);
        }
        if let Some(info) = DiskInfo::from_words(words) {
            prop_assert_eq!(info.to_words()[..5].to_vec(), words[..5].to_vec());
        }
    }

    /// Everything lies inside the object, and nothing on anything else.
    #[test]
    fn a_layout_fits(shift in 0u32..9, pages in 0u32..64, number: u64) {
        let entries = 1 << shift;
        let Ok(layout) = Layout::new(entries, pages) else { return Ok(()) };
        let rings = layout.first_data_page() as usize * 512;
        prop_assert!(layout.submission(number) + 4 <= layout.completion(0));
        prop_assert!(layout.completion(number) + 2 <= rings);
        prop_assert!(!layout.holds_data(layout.first_data_page() - 1, 2));
        prop_assert!(!layout.holds_data(pages, 1) && !layout.holds_data(u32::MAX, 2));
        prop_assert!(!layout.holds_data(layout.first_data_page(), 0));
    }

    /// A client that writes anything anywhere gets the service to do nothing but take requests
    /// that are checked, as many as the ring has, or to give up.
    #[test]
    fn any_ring_is_survived(
        shift in 0u32..9,
        writes in prop::collection::vec((0usize..2000, prop_oneof![0u64..300, any::<u64>()]), 1..200),
        post_each in 1usize..5,
    ) {
        let layout = Layout::new(1 << shift, 16).unwrap();
        let (words, mut server) = (Shared::new(16), Server::new(layout));
        let mut in_flight = VecDeque::new();
        for (step, (index, value)) in writes.into_iter().enumerate() {
            // Mostly where it matters.
            words.store(if index % 2 == 0 { index % 64 / 8 * 8 } else { index }, value);
            loop {
                match server.next(&words) {
                    Ok(Next::Request(Request { operation, tag })) => {
                        if let Operation::Read { first_page, pages, .. }
                        | Operation::Write { first_page, pages, .. } = operation
                        {
                            prop_assert!(layout.holds_data(first_page, pages));
                        }
                        in_flight.push_back(Completion { tag, status: Status::Done });
                    }
                    Ok(Next::Refused(completion)) => in_flight.push_back(completion),
                    Ok(Next::Nothing) => break,
                    Err(Corrupt) => return Ok(()),
                }
                prop_assert!(in_flight.len() as u64 == server.in_flight());
                prop_assert!(in_flight.len() <= 1 << shift);
            }
            if step % post_each == 0 && let Some(completion) = in_flight.pop_front() {
                server.post(&words, completion);
                let _ = server.publish(&words);
            }
        }
    }
}

/// Two threads, each asleep whenever it has nothing to do: every request is completed once, in
/// spite of a ring far smaller than their number, and nobody sleeps for ever.
#[test]
fn nobody_sleeps_for_ever() {
    const REQUESTS: u64 = if cfg!(miri) { 200 } else { 50_000 };
    let layout = Layout::new(8, 2).unwrap();
    let words = Shared::new(2);
    let rung = [AtomicU64::new(0), AtomicU64::new(0)];
    let wait = |which: usize| {
        while rung[which].swap(0, Ordering::AcqRel) == 0 {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = Server::new(layout);
            let mut done = 0;
            while done < REQUESTS {
                match server.next(&words).unwrap() {
                    Next::Request(Request { tag, .. }) => {
                        done += 1;
                        server.post(&words, Completion { tag, status: Status::Done });
                    }
                    Next::Refused(completion) => panic!("{completion:?}"),
                    Next::Nothing => {
                        if server.publish(&words) == Wake::Ring {
                            rung[0].store(1, Ordering::Release);
                        }
                        server.fall_asleep(&words);
                        if !server.is_due(&words).unwrap() {
                            wait(1);
                        }
                        server.wake_up(&words);
                    }
                }
            }
            let _ = server.publish(&words);
            rung[0].store(1, Ordering::Release);
        });
        let mut client = Client::new(layout);
        let (mut tag, mut seen) = (0, 0);
        while seen < REQUESTS {
            let before = (tag, seen);
            while tag < REQUESTS
                && client.submit(&words, Request { operation: Operation::Flush, tag }).is_ok()
            {
                tag += 1;
            }
            if client.publish(&words) == Wake::Ring {
                rung[1].store(1, Ordering::Release);
            }
            while let Some(completion) = client.reap(&words).unwrap() {
                assert_eq!(completion.tag, seen);
                seen += 1;
            }
            if (tag, seen) == before {
                client.fall_asleep(&words);
                if !client.is_due(&words) {
                    wait(0);
                }
                client.wake_up(&words);
            }
        }
    });
}
