//! Millions of made-up inputs for every parser: none panics, and none gives what it promises not to
//! give.

extern crate std;

use super::*;
use std::vec;

/// How many inputs each parser gets.
const INPUTS: u32 = 1_000_000;

/// Marsaglia's xorshift64: the same inputs every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Changes a few bytes, most of them where the structure says something.
    fn scribble(&mut self, bytes: &mut [u8], important: usize) {
        for _ in 0..8 {
            let choice = self.next();
            let within = if choice & 1 == 0 { important.min(bytes.len()) } else { bytes.len() };
            let at = (choice >> 8) as usize % within;
            bytes[at] = match choice >> 1 & 0b11 {
                0 => 0,
                1 => 0xff,
                _ => (choice >> 56) as u8,
            };
        }
    }
}

#[test]
fn identify() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut page = vec![0u8; IDENTIFY_BYTES];
    for _ in 0..INPUTS {
        random.scribble(&mut page, 640);
        let short = random.next() as usize % 8192;
        let bytes = page.get(..short).unwrap_or(&page);
        for bytes in [&page[..], bytes] {
            if let Ok(controller) = Controller::new_checked(bytes) {
                assert_ne!(controller.max_transfer_bytes, Some(0));
                assert!(controller.serial().len() <= 20 && controller.model().len() <= 40);
                assert!(controller.firmware().is_ascii() && controller.event_requests_most > 0);
            }
            if let Ok(namespace) = Namespace::new_checked(bytes) {
                assert!(namespace.block_bytes.is_power_of_two() && namespace.blocks > 0);
            }
            assert!(namespace_ids(bytes).take(16).all(|id| id != 0));
        }
    }
}

#[test]
fn completions_and_events() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..4 * INPUTS {
        let (low, high) = (random.next(), random.next());
        let entry = Completion::read([low, high]);
        assert_eq!(Completion::read(entry.words()), entry);
        assert_eq!(entry.status.words() == Some("success"), entry.status.is_success());
        let event = AsyncEvent::read(low as u32);
        assert_eq!(event.known_page().is_some(), matches!(event.log_page, 1 | 2 | 4));
        assert!((1..=65_536).contains(&granted_queues(high as u32)));
        let _ = wants_ring(low as u32, (low >> 32) as u32, high as u32);
    }
}

#[test]
fn log_pages() {
    let mut random = Random(0xda94_2042_e4dd_58b5);
    let mut page = vec![0u8; 1024];
    for _ in 0..INPUTS {
        random.scribble(&mut page, 200);
        let bytes = &page[..random.next() as usize % page.len()];
        if let Ok(health) = Health::new_checked(bytes) {
            assert!(health.warnings.words().count() <= 6);
            assert!(health.celsius().is_none_or(|degrees| degrees > -273));
        }
        assert!(error_entries(bytes).all(|entry| entry.number != 0));
        let _ = Changed::read(bytes).contains(1);
    }
}
