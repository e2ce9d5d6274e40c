//! How fast the disk is through the ring: 4 KiB at random places.

use core::cell::Cell;

use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use bench::abi::PAGE;
use bench::abi::metric::{Metric, Unit};
use bench::abi::start::tag;
use bench::arguments::wanted;
use bench::measure::per_second;
use bench::println;
use bench::runtime::block::{BlockDevice, Buffer};
use bench::runtime::executor::spawn;
use bench::runtime::{Env, calls, clock};

use crate::{Asked, Why};

/// Operations in flight when it is about how many a second.
const DEPTH: u32 = 32;
/// Windows in a run: each gives one sample of the rate.
const WINDOWS: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Read,
    Write,
}

/// Takes the figures and reports them.
pub async fn run(
    env: &Env,
    disk: &Rc<BlockDevice>,
    asked: &Asked,
    writes: bool,
) -> Result<(), Why> {
    let ticks = clock::ticks_in(asked.ms * 1_000_000);
    if wanted(env.args(), "ring3.read4k.qd1") {
        let mut latencies = one_by_one(disk, ticks).await?;
        report(env, "ring3.read4k.qd1", Unit::Ticks, &mut latencies)?;
    }
    for (name, work) in [("ring3.read4k.qd32", Work::Read), ("ring3.write4k.qd32", Work::Write)] {
        if wanted(env.args(), name) && (work == Work::Read || writes) {
            let mut rates = many(disk, ticks, work).await?;
            report(env, name, Unit::PerSecond, &mut rates)?;
        }
    }
    Ok(())
}

fn report(env: &Env, name: &str, unit: Unit, samples: &mut [u64]) -> Result<(), Why> {
    let (core, _) = calls::core().map_err(|error| format!("{error}"))?;
    let metric = Metric::of(name, core as u16, unit, samples).ok_or("no samples")?;
    let median = metric.median;
    match unit {
        Unit::PerSecond => println!("{name}: {median} a second"),
        _ => println!("{name}: {} ns", bench::measure::nanoseconds_of(median, env.tsc_hz)),
    }
    let Some(sink) = env.handle(tag::REPORT) else { return Ok(()) };
    calls::report(sink, &metric.encode()).map_err(|error| format!("{name}: {error}"))
}

/// A page somewhere on the disk (xorshift).
fn place(disk: &BlockDevice, state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let per_page = (PAGE as u64 / u64::from(disk.info().block_size)).max(1);
    *state % (disk.info().blocks / per_page).max(1) * per_page
}

async fn one(disk: &BlockDevice, work: Work, lba: u64, buffer: Buffer) -> Result<Buffer, Why> {
    let done = match work {
        Work::Read => disk.read(lba, buffer).await,
        Work::Write => disk.write(lba, buffer).await,
    };
    done.result.map_err(|status| format!("block {lba}: {status}"))?;
    done.buffer.ok_or_else(|| "no buffer came back".into())
}

/// Ticks of each operation, one after the other.
async fn one_by_one(disk: &BlockDevice, ticks: u64) -> Result<Vec<u64>, Why> {
    let mut buffer = disk.buffer(1).ok_or("no page free")?;
    let (mut latencies, mut state) = (Vec::new(), 0x9e37_79b9_7f4a_7c15);
    let end = clock::ticks() + ticks;
    while clock::ticks() < end {
        let lba = place(disk, &mut state);
        let before = clock::ticks();
        buffer = one(disk, Work::Read, lba, buffer).await?;
        latencies.push(clock::ticks() - before);
    }
    Ok(latencies)
}

/// Operations a second with [`DEPTH`] in flight, in each window.
async fn many(disk: &Rc<BlockDevice>, ticks: u64, work: Work) -> Result<Vec<u64>, Why> {
    let window = ticks / WINDOWS as u64;
    let begin = clock::ticks();
    let counts: Rc<[Cell<u64>; WINDOWS]> = Rc::default();
    let tasks: Vec<_> = (1..=u64::from(DEPTH))
        .map(|seed| spawn("load", load(disk.clone(), counts.clone(), work, seed, begin, window)))
        .collect();
    for task in tasks {
        task.await.map_err(|error| format!("{error}"))??;
    }
    let rate = |count: &Cell<u64>| per_second(count.get(), window, clock::ticks_per_second());
    Ok(counts.iter().map(rate).collect())
}

/// One operation after the other; counts each in the window in which it ended.
async fn load(
    disk: Rc<BlockDevice>,
    counts: Rc<[Cell<u64>; WINDOWS]>,
    work: Work,
    seed: u64,
    begin: u64,
    window: u64,
) -> Result<(), Why> {
    let mut buffer = disk.buffer(1).ok_or("no page free")?;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    loop {
        let lba = place(&disk, &mut state);
        buffer = one(&disk, work, lba, buffer).await?;
        let number = (clock::ticks() - begin) / window.max(1);
        match counts.get(number as usize) {
            Some(count) => count.set(count.get() + 1),
            None => return Ok(()),
        }
    }
}
