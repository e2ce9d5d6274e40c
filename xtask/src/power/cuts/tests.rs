//! The judge is judged: by a small log of its own, kept by writers that do right and by some that
//! do wrong in ways a real one might.

use protocols::axiom::{Hash, extend};

use super::*;
use crate::power::write_log::Stays;

const SECTOR: usize = 512;
const RECORDS: usize = 60;
/// Where the records begin; two headers are before.
const FIRST: usize = 2;
const RANGE: Range<u64> = 4096..4096 + ((FIRST + RECORDS) * SECTOR) as u64;

/// A writer's habits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Records, flush, header, flush, then the sync returns.
    Right,
    Never,
    /// Header and records before one flush.
    HeaderWithRecords,
    /// The sync returns before anything is flushed.
    ReturnsEarly,
    /// One header, always the same.
    OneHeader,
    /// Records are there, and they are not those that were chained.
    Rewrites,
}

fn record(number: u64, hash: Hash, salt: u8) -> (Vec<u8>, Hash) {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(40, salt);
    let hash = extend(hash, &bytes);
    bytes.extend(hash.0);
    bytes.resize(SECTOR, 0);
    (bytes, hash)
}

fn header(durable: u64) -> Vec<u8> {
    let mut bytes = sync_mark::encode(durable).to_vec();
    bytes.resize(SECTOR, 0xee);
    bytes
}

fn read(bytes: &[u8]) -> Result<Found, String> {
    let sector = |number: usize| &bytes[number * SECTOR..(number + 1) * SECTOR];
    let headers = [0, 1].map(|number| {
        let whole = sector(number)[sync_mark::BYTES..].iter().all(|byte| *byte == 0xee);
        sync_mark::decode(sector(number)).filter(|_| whole)
    });
    let mut found =
        Found { durable: headers.into_iter().flatten().max().unwrap_or(0), ..Found::nothing() };
    if headers == [None; 2] && sector(0).iter().any(|byte| *byte != 0) {
        return Err("both headers are damaged".to_owned());
    }
    for number in 0..RECORDS {
        let bytes = sector(FIRST + number);
        let hash = extend(found.hashes[number], &bytes[..40]);
        if bytes[..8] != (number as u64).to_le_bytes() || bytes[40..72] != hash.0 {
            break;
        }
        found.hashes.push(hash);
    }
    if found.next() < found.durable {
        return Err(format!("record {} is damaged", found.next()));
    }
    Ok(found)
}

/// The bytes that a writer with that habit writes, and flushes in between (`None`).
fn load(habit: Habit) -> Vec<Option<(u64, Vec<u8>)>> {
    let (mut log, mut hash, mut number, mut headers) = (Vec::new(), Hash::default(), 0, 0);
    let place = |sector: usize| RANGE.start + (sector * SECTOR) as u64;
    let mut random = crate::network::random::Random::new(5);
    while number < RECORDS as u64 {
        let group = (1 + random.below(4)).min(RECORDS as u64 - number);
        let mut bytes = Vec::new();
        let begin = FIRST + number as usize;
        for _ in 0..group {
            let (encoded, after) = record(number, hash, 0);
            bytes.extend(encoded);
            (hash, number) = (after, number + 1);
        }
        log.push(Some((place(begin), bytes)));
        if habit == Habit::Rewrites && number == RECORDS as u64 {
            let (encoded, _) = record(0, Hash::default(), 1);
            log.push(Some((place(FIRST), encoded)));
        }
        if !matches!(habit, Habit::HeaderWithRecords | Habit::ReturnsEarly) {
            log.push(None);
        }
        let mark =
            Some((0, sync_mark::encode(number - 1).iter().copied().chain([0; 492]).collect()));
        if habit == Habit::ReturnsEarly {
            log.push(mark.clone());
            log.push(None);
        }
        let place = place(if habit == Habit::OneHeader { 0 } else { headers % 2 });
        log.push(Some((place, header(number))));
        headers += 1;
        log.push(None);
        if habit != Habit::ReturnsEarly {
            log.push(mark);
        }
    }
    if habit == Habit::Never {
        log.retain(Option::is_some);
    }
    log
}

fn cut(habit: Habit) -> Result<Cuts> {
    let load = load(habit);
    let operations = load.iter().map(|one| match one {
        None => Operation::Flush,
        Some((offset, data)) => {
            Operation::Write { offset: *offset, data, stays: Stays::AfterFlush }
        }
    });
    let log = WriteLog { sector: SECTOR, operations: operations.collect() };
    let base = vec![0; (RANGE.end - RANGE.start) as usize];
    let load = Load { log: &log, base: &base, range: RANGE, reader: &read };
    load.cut(Effort { cuts: 1000, diced: 20 })
}

fn broken(habit: Habit) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        cut(habit).unwrap().breaches.into_iter().map(|breach| breach.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn whoever_does_right_passes() {
    let cuts = cut(Habit::Right).unwrap();
    assert_eq!(cuts.breaches, []);
    assert_eq!((cuts.records, cuts.cuts), (RECORDS as u64, load(Habit::Right).len() + 1));
    assert!(cuts.states > 2000 && cuts.syncs > 10 && cuts.flushes > 20, "{cuts:?}");
}

#[test]
fn whoever_does_wrong_is_found_out() {
    assert!(broken(Habit::Never).contains(&Rule::SyncedIsThere));
    assert!(broken(Habit::ReturnsEarly).contains(&Rule::SyncedIsThere));
    assert!(broken(Habit::HeaderWithRecords).contains(&Rule::Verifies));
    // A header alone is written whole or not at all: its disk writes whole sectors.
    assert_eq!(broken(Habit::OneHeader), []);
    let error = format!("{:#}", cut(Habit::Rewrites).unwrap_err());
    assert!(error.contains("become another one") || error.contains("damaged"), "{error}");
}

#[test]
fn breaches_say_where_and_what() {
    let breaches = cut(Habit::Never).unwrap().breaches;
    let first = breaches.iter().find(|breach| breach.rule == Rule::SyncedIsThere).unwrap();
    let text = first.to_string();
    assert!(text.starts_with("power cut after ") && text.contains("was durable"), "{text}");
}

#[test]
fn a_load_without_syncs_shows_nothing() {
    let log = WriteLog { sector: SECTOR, operations: vec![Operation::Flush] };
    let base = vec![0; (RANGE.end - RANGE.start) as usize];
    let load = Load { log: &log, base: &base, range: RANGE, reader: &read };
    assert!(load.cut(Effort { cuts: 10, diced: 1 }).is_err());
}

#[test]
fn few_places_are_taken_evenly() {
    let all: Vec<usize> = (0..100).collect();
    assert_eq!(thinned(&all, 4), [0, 33, 66, 99]);
    assert_eq!(thinned(&all[..3], 10), [0, 1, 2]);
    assert_eq!(thinned(&all, 1), [0]);
    assert!(thinned(&[], 5).is_empty());
}
