//! What the disks named by `bench.disk=` cost: latency, operations and bytes a second, by completion
//! mode and by core; where ticks count instructions, what an operation takes of them.
//!
//! ```text
//!   for each disk: for each mode: for each core:   worker ─┐
//!                                                  worker ─┼─> operations done ──> a sample a window
//!                                                  worker ─┘
//! ```
//!
//! The workers of a figure are tasks of the measured core, each with one operation in flight and a
//! buffer of its own. The first disk of a kind gives its figures the kind's name (`nvme.…`), the
//! second `nvme.file.…`; the default mode has no suffix. Writing figures need a disk that may be
//! written to.

mod instructions;

use super::{BenchError, Plan, publish_as};
use crate::devices::{self, Block};
use crate::platform::{self, Pollux};
use crate::services::console;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use drivers::completion::CompletionMode;
use drivers::storage::{Completion, Lba, StorageDevice, StorageError, Transfer, Writable};
use executor::{CoreId, Priority};
use hal::dma::DmaDomain;
use hal::x86_64::time::clock;
use kernel_text::options::{Samples, Ticks};
use protocols::abi::metric::Unit;

/// Modes, and what they add to a figure's name.
const MODES: [(CompletionMode, &str); 3] = [
    (CompletionMode::Adaptive, ""),
    (CompletionMode::Poll, ".poll"),
    (CompletionMode::Msix, ".msix"),
];

/// A load.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    what: Transfer,
    bytes: usize,
    depth: usize,
    measure: Measure,
}

/// What is told of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Latency,
    Operations,
    Bytes,
}

const LOADS: [Load; 4] = [
    Load {
        name: "read4k.qd1",
        what: Transfer::Read,
        bytes: 4096,
        depth: 1,
        measure: Measure::Latency,
    },
    Load {
        name: "read4k.qd32",
        what: Transfer::Read,
        bytes: 4096,
        depth: 32,
        measure: Measure::Operations,
    },
    Load {
        name: "write4k.qd32",
        what: Transfer::Write,
        bytes: 4096,
        depth: 32,
        measure: Measure::Operations,
    },
    Load {
        name: "read128k.qd8",
        what: Transfer::Read,
        bytes: 128 << 10,
        depth: 8,
        measure: Measure::Bytes,
    },
];

/// Windows of a figure and their length.
const WINDOWS: usize = 20;
const WINDOW_US: u64 = 25_000;
/// Operations before anything is counted, for each worker.
const WARM_UP: usize = 8;
/// Most latencies kept.
const SAMPLES_MAX: usize = 20_000;

/// Takes the figures of all disks named on the command line.
pub async fn figures(plan: &Plan) -> Result<(), BenchError> {
    let words = hal::boot::info().command_line.value("bench.disk").unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for name in words.split(',').filter(|name| !name.is_empty()) {
        let block =
            devices::open(name, Writable::Yes).or_else(|_| devices::open(name, Writable::No));
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                log::error!("bench: {name}: {error}");
                return Err(BenchError::Disk(StorageError::Gone));
            }
        };
        let kind = block.device().kind();
        let prefix = match seen.iter().filter(|before| **before == kind).count() {
            0 => String::from(kind),
            1 => format!("{kind}.file"),
            _ => format!("{kind}.more"),
        };
        seen.push(kind);
        let before = block.completion_mode();
        let taken = disk(plan, &block, &prefix).await;
        block.set_completion_mode(before);
        taken.map_err(BenchError::Disk)?;
    }
    Ok(())
}

async fn disk(plan: &Plan, block: &Block, prefix: &str) -> Result<(), StorageError> {
    let wanted = |name: &str| name.starts_with(&plan.filter);
    if plan.ticks == Ticks::Instructions {
        for (mode, suffix) in [(CompletionMode::Poll, ""), (CompletionMode::Msix, ".msix")] {
            let inside = format!("{prefix}.instructions_per_io{suffix}");
            let whole = format!("{prefix}.instructions_with_executor{suffix}");
            if wanted(&inside) || wanted(&whole) {
                console::say(format_args!("bench: {inside} on {}", block.name()));
                block.set_completion_mode(mode);
                let mut counts = instructions::count(block).await?;
                publish_as(&inside, Unit::Ticks, CoreId(0), &mut counts.inside);
                publish_as(&whole, Unit::Ticks, CoreId(0), &mut counts.whole);
            }
        }
        return Ok(());
    }
    let cores = if plan.samples == Samples::Quick { 1 } else { platform::core_count() as u16 };
    for load in LOADS {
        for (mode, suffix) in MODES {
            let name = format!("{prefix}.{}{suffix}", load.name);
            let impossible = load.what == Transfer::Write && block.info().writable == Writable::No;
            if !wanted(&name) || impossible {
                continue;
            }
            console::say(format_args!("bench: {name} on {}", block.name()));
            block.set_completion_mode(mode);
            for core in (0..cores).map(CoreId) {
                let mut samples = on_core(plan, block, load, core).await?;
                let unit = match load.measure {
                    Measure::Latency => Unit::Ticks,
                    Measure::Operations => Unit::PerSecond,
                    Measure::Bytes => Unit::BytesPerSecond,
                };
                publish_as(&name, unit, core, &mut samples);
            }
        }
    }
    Ok(())
}

/// One figure on one core.
async fn on_core(
    plan: &Plan,
    block: &Block,
    load: Load,
    core: CoreId,
) -> Result<Vec<u64>, StorageError> {
    let block = block.clone();
    let windows = if plan.samples == Samples::Quick { WINDOWS / 5 } else { WINDOWS };
    let measured = executor::spawn_on::<Pollux, _, _>(core, "bench", Priority::Normal, move || {
        windows_of(block, load, windows)
    });
    measured.await.unwrap_or(Err(StorageError::Gone))
}

/// What the workers of a figure share.
struct Work {
    block: Block,
    load: Load,
    done: Cell<u64>,
    /// Ticks of single operations, where those are asked for.
    latencies: Cell<Vec<u64>>,
    counting: Cell<bool>,
    over: Cell<bool>,
}

async fn windows_of(block: Block, load: Load, windows: usize) -> Result<Vec<u64>, StorageError> {
    let work = Rc::new(Work {
        block,
        load,
        done: Cell::new(0),
        latencies: Cell::new(Vec::with_capacity(SAMPLES_MAX)),
        counting: Cell::new(false),
        over: Cell::new(false),
    });
    let workers: Vec<_> = (0..load.depth)
        .map(|number| {
            let worker = worker(work.clone(), number as u64);
            executor::spawn::<Pollux, _>("bench io", Priority::Normal, Box::pin(worker))
        })
        .collect();
    executor::sleep::<Pollux>(clock::us_to_ticks(WINDOW_US)).await;
    work.counting.set(true);
    let mut rates = Vec::with_capacity(windows);
    for _ in 0..windows {
        let (start, before) = (clock::now(), work.done.get());
        executor::sleep::<Pollux>(clock::us_to_ticks(WINDOW_US)).await;
        let (ticks, done) = (clock::now() - start, work.done.get() - before);
        let units = match load.measure {
            Measure::Bytes => done * load.bytes as u64,
            _ => done,
        };
        let rate =
            u128::from(units) * u128::from(clock::ticks_per_second()) / u128::from(ticks.max(1));
        rates.push(u64::try_from(rate).unwrap_or(u64::MAX));
    }
    work.over.set(true);
    for worker in workers {
        worker.await.unwrap_or(Err(StorageError::Gone))?;
    }
    Ok(if load.measure == Measure::Latency { work.latencies.take() } else { rates })
}

/// One operation after another, at random places.
async fn worker(work: Rc<Work>, number: u64) -> Result<(), StorageError> {
    let load = work.load;
    let buf = DmaDomain::machine().buffer(load.bytes).map_err(|_| StorageError::OutOfMemory)?;
    let mut place = Place::new(work.block.info(), load.bytes, number)?;
    let mut memory = buf.into();
    for _ in 0..WARM_UP {
        memory = whole(work.block.transfer(load.what, place.next(), memory).await)?;
    }
    while !work.over.get() {
        let start = clock::now();
        memory = whole(work.block.transfer(load.what, place.next(), memory).await)?;
        if load.measure == Measure::Latency && work.counting.get() {
            let ticks = clock::now() - start;
            let mut latencies = work.latencies.take();
            if latencies.len() < SAMPLES_MAX {
                latencies.push(ticks);
            }
            work.latencies.set(latencies);
        }
        work.done.set(work.done.get() + 1);
    }
    Ok(())
}

/// The memory of an operation that succeeded.
fn whole<M>(done: Completion<M>) -> Result<M, StorageError> {
    done.result?;
    done.buf.ok_or(StorageError::Gone)
}

/// Random places for operations of one size (xorshift).
pub(super) struct Place {
    state: u64,
    places: u64,
    blocks: u64,
}

impl Place {
    fn new(
        info: &drivers::storage::StorageInfo,
        bytes: usize,
        number: u64,
    ) -> Result<Self, StorageError> {
        let blocks = u64::from(info.blocks_of(Lba(0), bytes)?);
        let state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * number + 1);
        Ok(Self { state, places: info.blocks / blocks, blocks })
    }

    fn next(&mut self) -> Lba {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // The high half times the number of places: no division on the measured path.
        let place = (u128::from(self.state) * u128::from(self.places)) >> 64;
        Lba(place as u64 * self.blocks)
    }
}
