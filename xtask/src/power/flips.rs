//! One bit of a log changed, thousands of times: each change before the durable head is noticed, and
//! its place is told.
//!
//! A changed record is refused with its block. A changed header is told too, but does not cost the
//! log: the other one holds, and what that does not speak of is read as the tail.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use protocols::commit_log::{Log, Partition, Refusal};

use super::reader::{durable_bytes, read};
use crate::network::random::Random;

/// How a group begins.
const GROUP: &[u8] = b"PLXGROUP";

/// What came of all flips.
#[derive(Clone, Debug, Default)]
pub struct Flips {
    /// Bits that were changed, one at a time.
    pub flips: usize,
    /// How often which reason was given.
    pub reasons: BTreeMap<String, usize>,
    /// Changes that were not noticed, or told of another place.
    pub missed: Vec<String>,
}

/// Changes a bit at each of `count` places of the durable part of the log on `partition`, evenly over
/// its bytes, and another one wherever a group or header begins.
///
/// # Errors
/// There is no log there to begin with.
pub fn flip(partition: Partition, bytes: &[u8], count: usize) -> Result<Flips> {
    let whole = read(partition, bytes).map_err(anyhow::Error::msg);
    let whole = whole.context("before anything was changed")?;
    let log = whole.log.context("there is no log to change")?;
    let ranges = durable_bytes(&log);
    let total: usize = ranges.iter().map(Range::len).sum();
    ensure!(log.header.head.sequence > 0 && total > 0, "nothing of the log is durable");
    let step = (total / count).max(1);
    let mut places: Vec<usize> =
        (0..total).step_by(step).filter_map(|at| nth(&ranges, at)).collect();
    // Heads are where most is decided.
    places.extend(ranges.iter().flat_map(|range| range.clone().take(128).step_by(3)));
    places.sort_unstable();
    places.dedup();
    let groups = groups(partition, bytes, &log);
    let all = Mutex::new(Flips::default());
    let taken = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut bytes = bytes.to_vec();
                while let Some(at) = places.get(taken.fetch_add(1, Ordering::Relaxed)) {
                    let bit = Random::new(*at as u64).below(8);
                    bytes[*at] ^= 1 << bit;
                    let noticed = noticed(partition, &bytes, *at, &log, &groups);
                    bytes[*at] ^= 1 << bit;
                    let Ok(mut all) = all.lock() else { return };
                    all.flips += 1;
                    match noticed {
                        Ok(reason) => *all.reasons.entry(reason).or_default() += 1,
                        Err(why) => all.missed.push(format!("bit {bit} of byte {at}: {why}")),
                    }
                }
            });
        }
    });
    Ok(all.into_inner().unwrap_or_default())
}

/// The place of the `at`-th byte of the ranges.
fn nth(ranges: &[Range<usize>], mut at: usize) -> Option<usize> {
    for range in ranges {
        if at < range.len() {
            return Some(range.start + at);
        }
        at -= range.len();
    }
    None
}

/// In which way the change of byte `at` of the log was noticed; an error if it was not.
fn noticed(
    partition: Partition,
    bytes: &[u8],
    at: usize,
    log: &Log,
    groups: &BTreeMap<u64, u64>,
) -> Result<String, String> {
    let block = (at / partition.block_size as usize) as u64;
    let slot = [0, 1].into_iter().find(|slot| log.header.geometry.header(*slot) == block);
    match (read(partition, bytes), slot) {
        (Ok(read), Some(slot)) => {
            let Some(after) = read.log else { return Err("the log is gone".to_owned()) };
            match after.headers[slot] {
                Err(_) if after.end.sequence < log.header.head.sequence => Err(format!(
                    "{} records are gone",
                    log.header.head.sequence - after.end.sequence
                )),
                Err(flaw) => Ok(format!("header {flaw}")),
                Ok(_) => Err("nobody noticed the header".to_owned()),
            }
        }
        (Err(refusal @ (Refusal::Tampered(_) | Refusal::Missing(_))), None) => {
            let Some(damage) = refusal.damage() else { return Err(refusal.to_string()) };
            match groups.get(&block) {
                Some(group) if damage.block == *group => Ok(damage.why.to_string()),
                _ => Err(format!("in block {block}, and it was said: {refusal}")),
            }
        }
        (Err(refusal), _) => Err(format!("refused without a place: {refusal}")),
        (Ok(_), None) => Err("nobody noticed".to_owned()),
    }
}

/// For each block of the durable part, the first block of its group, by which damage is named.
fn groups(partition: Partition, bytes: &[u8], log: &Log) -> BTreeMap<u64, u64> {
    let geometry = &log.header.geometry;
    let size = partition.block_size as usize;
    let mut group = geometry.block(log.header.begin.place);
    let places = log.header.begin.place..log.header.head.place;
    let named = places.map(|place| {
        let block = geometry.block(place);
        let start = block as usize * size;
        if bytes.get(start..start + GROUP.len()) == Some(GROUP) {
            group = block;
        }
        (block, group)
    });
    named.collect()
}
