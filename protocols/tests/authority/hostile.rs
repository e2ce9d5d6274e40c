//! Bytes from somebody who means harm: records, states and logs that were changed, cut and glued.
//!
//! Nothing panics, whatever is taken is canonical, a state that verifies goes on to verify
//! whatever is done to it, and no single bit of a log can be turned without its place being named.

use std::sync::OnceLock;

use proptest::prelude::*;
use protocols::axiom::replay::{Divergence, Replay};
use protocols::axiom::{Cause, Commit, Hash, Record, State};

use crate::generator::{self, Style};
use crate::random::Random;

const STYLE: Style = Style { handles: 40, bent: 4, boots: 2000 };

/// A log: its records and the hash after each.
struct Log {
    records: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
}

/// Carries out commits until there are `count`, each 32nd followed by a checkpoint.
fn grow(seed: u64, count: usize) -> (Log, Replay) {
    let mut random = Random::new(seed);
    let (mut replay, mut log) = (Replay::new(), Log { records: Vec::new(), hashes: Vec::new() });
    while log.records.len() < count {
        let commit = match log.records.len() % 32 {
            31 => Commit::Checkpoint { state: replay.state().hash() },
            _ => generator::commit(&mut random, replay.state(), STYLE),
        };
        let cause = Cause::Call { core: 1, sequence: random.below(9000) };
        let time_us = 1000 * log.records.len() as u64;
        let bytes = encoded(&Record { sequence: replay.next(), time_us, cause, commit });
        if replay.push(&bytes, &mut |_| ()).is_ok() {
            log.records.push(bytes);
            log.hashes.push(replay.hash());
        }
    }
    (log, replay)
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn state_bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// Encodings of states to be spoilt: small ones, since each byte of those matters more.
fn states() -> &'static [Vec<u8>] {
    static STATES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    STATES.get_or_init(|| {
        let lengths = [1, 2, 6, 12, 25, 40, 60, 90, 150, 400];
        lengths.iter().map(|length| state_bytes(grow(*length as u64, *length).1.state())).collect()
    })
}

/// Changes some bytes, mostly so that numbers become others and what follows stays in its place.
fn spoil(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = bytes[at].wrapping_add(1) & 0x7f,
            3 => bytes[at] = bytes[at].wrapping_sub(1) & 0x7f,
            4 => drop(bytes.splice(at..=at, [255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
            5 => drop(bytes.splice(at..=at, [255, 255, 255, 255, 15])),
            6 => bytes.truncate(at),
            _ => {
                let end = (at + random.below(20) as usize).min(bytes.len());
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
}

/// Whether it was taken for a state; if so it is used.
fn take(random: &mut Random, bytes: &[u8]) -> bool {
    let Ok(mut state) = State::decode(bytes) else { return false };
    assert_eq!(state_bytes(&state), bytes, "two encodings of one state");
    if state.verify().is_err() {
        return false;
    }
    for _ in 0..12 {
        let commit = generator::commit(random, &state, STYLE);
        let before = state.clone();
        let result = state.apply(&commit, &mut |_| ());
        assert_eq!(state.verify(), Ok(()), "after {commit:?}");
        assert!(result.is_ok() || state == before, "refused, and yet something changed");
    }
    let replay = Replay::from_checkpoint(bytes, 3, Hash::default());
    assert_eq!(state_bytes(replay.unwrap().state()), bytes);
    true
}

#[test]
fn many_spoilt_states_are_states_and_go_on_as_such() {
    let mut random = Random::new(11);
    let mut taken = 0;
    for round in 0..100_000 {
        let mut bytes = states()[round % states().len()].clone();
        spoil(&mut random, &mut bytes);
        taken += u32::from(take(&mut random, &bytes));
    }
    assert!(taken > 5000, "only {taken} were");
}

#[test]
fn numbers_at_their_end_are_given_no_more() {
    let mut random = Random::new(12);
    let bytes = &states()[6];
    // Format, log, epoch and measured hash come before the next object's number.
    let at = 8 + 17 + 1 + 32;
    let objects = bytes[at..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let capabilities = bytes[at + objects..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let last = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    let end = [&bytes[..at], &last, &last, &bytes[at + objects + capabilities..]].concat();
    assert!(take(&mut random, &end));
    let mut state = State::decode(&end).unwrap();
    assert_eq!((state.next_object().0, state.next_capability().0), (u64::MAX, u64::MAX));
    for _ in 0..2000 {
        let commit = generator::commit(&mut random, &state, Style { boots: u64::MAX, ..STYLE });
        let result = state.apply(&commit, &mut |_| ());
        assert_eq!(state.next_capability().0, u64::MAX, "{commit:?}: {result:?}");
    }
    assert_eq!(state.verify(), Ok(()));

    let (log, replay) = grow(1, 40);
    let mut last =
        Replay::from_checkpoint(&state_bytes(replay.state()), u64::MAX, log.hashes[39]).unwrap();
    let commit = Commit::Checkpoint { state: last.state().hash() };
    let record = Record { sequence: u64::MAX, time_us: 0, cause: Cause::Kernel, commit };
    let result = last.push(&encoded(&record), &mut |_| ());
    assert_eq!(result, Err(Divergence::Sequence(u64::MAX)));
}

#[test]
fn a_state_to_begin_with_has_to_be_named() {
    let (log, _) = grow(5, 32);
    let (_, before) = grow(5, 31);
    let bytes = state_bytes(before.state());
    let mut replay = Replay::from_checkpoint(&bytes, 31, log.hashes[30]).unwrap();
    let commit = Commit::Checkpoint { state: Hash::default() };
    let wrong = Record { sequence: 31, time_us: 0, cause: Cause::Kernel, commit };
    assert_eq!(replay.push(&encoded(&wrong), &mut |_| ()), Err(Divergence::State));
    let other = Record {
        commit: Commit::Booted {
            epoch: before.state().epoch() + 1,
            measured: Hash::default(),
            budget: Default::default(),
        },
        ..wrong
    };
    assert_eq!(replay.push(&encoded(&other), &mut |_| ()), Err(Divergence::Unnamed));
    replay.push(&log.records[31], &mut |_| ()).unwrap();
    assert_eq!(replay.hash(), log.hashes[31]);
    replay.push(&encoded(&Record { sequence: 32, ..other }), &mut |_| ()).unwrap();
}

#[test]
fn every_bit_turned_in_a_log_is_found_where_it_is() {
    let (log, _) = grow(7, 100);
    let mut refused = 0;
    let mut positions = 0;
    let mut before = Replay::new();
    for (place, record) in log.records.iter().enumerate() {
        for bit in 0..record.len() * 8 {
            let mut turned = record.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            positions += 1;
            let mut replay = before.clone();
            match replay.push(&turned, &mut |_| ()) {
                // Nothing happened: the record before is the last good one.
                Err(_) => {
                    refused += 1;
                    assert!(replay == before);
                }
                // It could have been; but the chain says that it was not.
                Ok(_) => assert_ne!(replay.hash(), log.hashes[place], "bit {bit} of {place}"),
            }
        }
        before.push(record, &mut |_| ()).unwrap();
        assert_eq!(before.hash(), log.hashes[place]);
    }
    assert!(positions > 8000 && refused > positions / 3, "{refused} of {positions} refused");
}

#[test]
fn a_turned_bit_shows_in_every_hash_after_it() {
    let (log, _) = grow(9, 64);
    let mut random = Random::new(10);
    for _ in 0..3000 {
        let place = random.below(64) as usize;
        let bit = random.below(8 * log.records[place].len() as u64) as usize;
        let mut replay = Replay::new();
        let mut diverged = None;
        for (number, record) in log.records.iter().enumerate() {
            let mut record = record.clone();
            if number == place {
                record[bit / 8] ^= 1 << (bit % 8);
            }
            if replay.push(&record, &mut |_| ()).is_err() {
                diverged = Some(number);
                break;
            }
            assert_eq!(replay.hash() == log.hashes[number], number < place);
        }
        assert!(diverged.is_none_or(|number| number >= place));
        assert!(diverged.is_some() || replay.hash() != log.hashes[63]);
    }
}

fn more() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(5000), ..config }
}

proptest! {
    #![proptest_config(more())]

    #[test]
    fn records_out_of_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&record), bytes);
        }
    }

    #[test]
    fn records_out_of_spoilt_records(seed: u64) {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| grow(3, 300).0);
        let mut random = Random::new(seed);
        let mut bytes = log.records[random.below(300) as usize].clone();
        spoil(&mut random, &mut bytes);
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(&encoded(&record), &bytes);
            record.commit.fields(&mut |name, value| assert!(!format!("{name}={value}").is_empty()));
            let _ = Replay::new().push(&bytes, &mut |_| ());
        }
    }

    #[test]
    fn states_out_of_any_bytes(seed: u64, tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut random = Random::new(seed);
        take(&mut random, &tail);
        take(&mut random, &[b"PLXSTAT1", &tail[..]].concat());
        let start = &states()[seed as usize % states().len()];
        let start = &start[..random.below(start.len() as u64) as usize];
        take(&mut random, &[start, &tail[..]].concat());
        let _ = Replay::from_checkpoint(&tail, seed, Hash::default());
    }

    #[test]
    fn states_out_of_spoilt_states(seed: u64) {
        let mut random = Random::new(seed);
        let mut bytes = states()[seed as usize % states().len()].clone();
        spoil(&mut random, &mut bytes);
        take(&mut random, &bytes);
    }
}
