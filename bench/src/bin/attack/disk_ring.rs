//! Rings full of lies.

use bench::abi::{Error, PAGE, Rights};
use bench::block_ring::{Operation, Status, Words};
use bench::runtime::capability::{Endpoint, Memory};

use crate::checks::Checks;
use crate::disk::{ENTRIES, PAGES, Session};
use crate::random::Chance;

/// Requests that change what is on a disk, through a capability that only lets read it.
pub fn read_only(checks: &mut Checks, disk: &Endpoint) {
    let Some(mut session) = checks.works("open", Session::open(disk)) else { return };
    let read = |first_page| Operation::Read { lba: 0, first_page, pages: 8 };
    let done = session.ask(read(1));
    checks.holds(("read", done), done == Ok(Status::Done));
    for word in Session::word(9)..Session::word(17) {
        session.memory.store(word, 0xbad0_bad0_bad0_bad0);
    }
    for operation in [
        Operation::Write { lba: 0, first_page: 9, pages: 8 },
        Operation::Write { lba: u64::MAX, first_page: 9, pages: 1 },
        Operation::Zero { lba: 0, blocks: 64 },
        Operation::Discard { lba: 0, blocks: 64 },
        Operation::Zero { lba: 0, blocks: u64::MAX },
    ] {
        let answer = session.ask(operation);
        checks.holds((operation, answer), answer == Ok(Status::ReadOnly));
    }
    let done = session.ask(read(17));
    checks.holds(("read", done), done == Ok(Status::Done));
    let same = (0..8 * PAGE / 8).all(|word| {
        let (before, after) = (Session::word(1) + word, Session::word(17) + word);
        session.memory.load(before) == session.memory.load(after)
    });
    checks.holds("the disk is as it was", same);
}

/// A number that is often near something.
fn number(chance: &mut Chance, near: u64) -> u64 {
    match chance.below(6) {
        0 => chance.below(8),
        1 => near.wrapping_add(chance.below(4)).wrapping_sub(2),
        2 => chance.below(near.max(1)),
        3 => u64::MAX - chance.below(4),
        4 => 1 << chance.below(64),
        _ => chance.word(),
    }
}

/// Well-formed entries that ask for anything, and words that are no request: each is answered once,
/// by its tag, and writes nowhere but where it may.
pub fn forged_requests(checks: &mut Checks, disk: &Endpoint) {
    let Some(mut session) = checks.works("open", Session::open(disk)) else { return };
    let blocks = bench::runtime::block::describe(disk).map_or(0, |info| info.blocks);
    let mut chance = Chance::seeded(3);
    for round in 0..300_u64 {
        for entry in 0..u64::from(ENTRIES) {
            let tag = round << 32 | entry;
            let words = [
                chance.below(8) | number(&mut chance, u64::from(PAGES)) << 32,
                number(&mut chance, blocks),
                number(&mut chance, u64::from(PAGES)),
                tag,
            ];
            let full = session.client.submit_words(&session.memory, words);
            checks.holds("the ring has room", full.is_ok());
        }
        session.publish();
        let mut seen = 0_u64;
        for _ in 0..ENTRIES {
            match session.completion() {
                Ok(completion) if completion.tag >> 32 == round => {
                    seen |= 1 << (completion.tag & 63);
                }
                other => {
                    checks.holds(("completion", round, other), false);
                    return;
                }
            }
        }
        checks.holds(("each once", round, seen), seen == u64::from(u32::MAX));
    }
}

/// Anything at all in the rings' page, counters included, again and again while the service works.
pub fn forged_rings(checks: &mut Checks, disk: &Endpoint) {
    let mut chance = Chance::seeded(5);
    for round in 0..40 {
        let session = match Session::open(disk) {
            Ok(session) => session,
            // Those before are perhaps still ending.
            Err(Error::LimitReached) => continue,
            Err(error) => {
                checks.holds(("open", round, error), false);
                return;
            }
        };
        for _ in 0..chance.below(200) {
            let word = match chance.below(3) {
                // The header's words, one in each line.
                0 => chance.below(8) as usize * 8,
                _ => chance.below(PAGE as u64 / 8) as usize,
            };
            let value = number(&mut chance, u64::from(ENTRIES));
            session.memory.store(word, value);
            if chance.below(3) == 0 {
                checks.works("ring", session.doorbell.signal(1 << chance.below(64)));
            }
            if chance.below(20) == 0 {
                checks.works("yield", bench::runtime::calls::yield_now());
            }
        }
    }
    // And after all that an honest one.
    for _ in 0..1000 {
        match Session::open(disk) {
            Err(Error::LimitReached) => {
                let _ = bench::runtime::calls::yield_now();
            }
            other => {
                let Some(mut session) = checks.works("open", other) else { return };
                let answer = session.ask(Operation::Read { lba: 0, first_page: 1, pages: 1 });
                checks.holds(("an honest session", answer), answer == Ok(Status::Done));
                return;
            }
        }
    }
    checks.holds("sessions end", false);
}

/// Two sessions over one object, which take each other's requests.
pub fn opened_twice(checks: &mut Checks, disk: &Endpoint) {
    let object = Memory::create(PAGES as usize * PAGE);
    let Some(object) = checks.works("create", object) else { return };
    let Some(second) = checks.works("duplicate", object.duplicate(Rights::all())) else { return };
    let pair = [Session::over(disk, object), Session::over(disk, second)];
    let [Ok(mut one), Ok(mut other)] = pair else {
        checks.holds("both open", false);
        return;
    };
    for tag in 0..200 {
        let operation = Operation::Read { lba: tag, first_page: 1 + (tag % 32) as u32, pages: 1 };
        one.submit(operation, tag);
        one.publish();
        let _ = one.doorbell.signal(1);
        let _ = other.doorbell.signal(1);
        let _ = one.client.reap(&one.memory);
        other.submit(operation, tag);
        other.publish();
        let _ = other.client.reap(&other.memory);
    }
}
