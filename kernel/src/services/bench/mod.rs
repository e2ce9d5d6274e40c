//! The benchmark: what the kernel measures of itself, then the ring-3 suite `bench`, then the
//! table.

mod authority;
mod net;
mod ring3;
mod storage;
mod wake;

use self::wake::Budget;
use super::commit_log;
use super::console;
use super::net::NetError;
use super::program::{Program, StartError};
use super::report;
use super::results;
use crate::clock;
use crate::platform::{self, Pollux};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use drivers::storage::StorageError;
use executor::{CoreId, Instant};
use kernel_text::options::{Results, Samples, Ticks};
use kernel_text::table::{self, Scale};
use protocols::abi::ExitStatus;
use protocols::abi::metric::{Metric, Unit};
use thiserror_no_std::Error;

/// The ring-3 suite's name among the boot modules.
const SUITE: &str = "bench";
/// Seconds between two lines about what is waited for.
const REMIND_S: u64 = 60;
/// Minutes the suite may take.
const PATIENCE_MIN: u64 = 15;
/// Microseconds of one figure on one core, and of all pairs together.
const BUDGET_US: u64 = 200_000;
const PAIRS_BUDGET_US: u64 = 4_000_000;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many samples.
    pub samples: Samples,
    /// What ticks are.
    pub ticks: Ticks,
    /// Figures whose names begin so; empty: all.
    pub filter: String,
    /// Whether they stay on the boot medium.
    pub results: Results,
}

/// Why there is no complete table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BenchError {
    /// The suite does not run.
    #[error("the suite `bench` did not run: {0}")]
    Start(StartError),
    /// The suite says so itself.
    #[error("the suite `bench` left with code {0}: its lines above say which figures are missing")]
    Incomplete(i32),
    /// The suite died.
    #[error("the suite `bench` died: {0:?}")]
    Died(ExitStatus),
    /// It took too long and was killed.
    #[error("the suite `bench` was not done after {PATIENCE_MIN} minutes")]
    Stuck,
    /// A task was not woken.
    #[error("a wake-up from core {from} to core {to} was lost: this is a kernel bug")]
    LostWake {
        /// Who woke.
        from: u16,
        /// Who was not woken.
        to: u16,
    },
    /// A disk failed.
    #[error("a disk to be measured failed: {0}")]
    Disk(StorageError),
    /// The peer of the network's figures did not do as it should.
    #[error("the network could not be measured: {0}")]
    Network(NetError),
    /// Nothing was measured.
    #[error("no figures: does the filter fit any name?")]
    NoFigures,
}

/// Measures, shows the table, and says what went wrong.
pub async fn run(plan: &Plan) -> Result<(), BenchError> {
    drop(report::take());
    let measured = measure_all(plan).await;
    let figures = report::take();
    let scale = match plan.ticks {
        Ticks::Time => Scale::Time { ticks_per_second: clock::frequency() },
        Ticks::Instructions => Scale::Instructions,
    };
    console::say("");
    for line in table::lines(&figures, platform::core_count(), scale) {
        console::say_in(line.style, &line.text);
    }
    if plan.results == Results::Save && !figures.is_empty() {
        results::save(&figures, plan.ticks).await;
    }
    measured?;
    if figures.is_empty() { Err(BenchError::NoFigures) } else { Ok(()) }
}

async fn measure_all(plan: &Plan) -> Result<(), BenchError> {
    // Until then the log task measures what was booted, which would be in every figure.
    crate::authority::log::placed().await;
    own_figures(plan).await?;
    authority::figures(plan).await;
    storage::figures(plan).await?;
    net::figures(plan).await?;
    ring3::figures(plan).await?;
    let kept = commit_log::status().statistics;
    let taken = suite(plan).await;
    authority::groups(plan, kept);
    taken
}

/// What only the kernel can measure.
async fn own_figures(plan: &Plan) -> Result<(), BenchError> {
    let wanted = |name: &str| name.starts_with(&plan.filter);
    if let Some(ticks) = entry_to_ring3()
        && wanted("boot.entry_to_ring3")
    {
        publish("boot.entry_to_ring3", CoreId(0), None, &mut [ticks]);
    }
    let cores: Vec<CoreId> = (0..platform::core_count() as u16).map(CoreId).collect();
    if wanted("executor.wake_to_poll") {
        console::say("bench: executor.wake_to_poll");
        for core in &cores {
            measure("executor.wake_to_poll", plan, *core, *core, BUDGET_US).await?;
        }
    }
    let pairs = cores.len() * (cores.len() - 1);
    if wanted("executor.cross_core_wake") && pairs > 0 {
        console::say(format_args!("bench: executor.cross_core_wake, {pairs} pairs of cores"));
        let each_us = (PAIRS_BUDGET_US / pairs as u64).min(BUDGET_US);
        for from in &cores {
            for to in cores.iter().filter(|to| *to != from) {
                measure("executor.cross_core_wake", plan, *from, *to, each_us).await?;
            }
        }
    }
    Ok(())
}

async fn measure(
    name: &str,
    plan: &Plan,
    from: CoreId,
    to: CoreId,
    budget_us: u64,
) -> Result<(), BenchError> {
    let (divisor, samples_min) = if plan.samples == Samples::Quick { (10, 20) } else { (1, 100) };
    let ticks = hal::x86_64::time::clock::us_to_ticks(budget_us / divisor);
    let mut samples = wake::samples(from, to, Budget { ticks, samples_min })
        .await
        .ok_or(BenchError::LostWake { from: from.0, to: to.0 })?;
    publish(name, from, (to != from).then_some(to), &mut samples);
    Ok(())
}

/// Publishes a figure of one core in a unit of its own.
fn publish_as(name: &str, unit: Unit, core: CoreId, samples: &mut [u64]) {
    if let Some(metric) = Metric::of(name, core.0, unit, samples) {
        report::record(metric);
    }
}

fn publish(name: &str, core: CoreId, peer: Option<CoreId>, samples: &mut [u64]) {
    // The names are ours and good, and there is at least one sample.
    if let Some(metric) = Metric::of(name, core.0, Unit::Ticks, samples) {
        report::record(metric.with_peer(peer.map_or(Metric::ALL_CORES, |peer| peer.0)));
    }
}

/// Ticks from the kernel's entry to the first system call of the first ring-3 program: the oldest
/// record of all SysLogs, remembered from the first time it is asked for.
pub fn entry_to_ring3() -> Option<u64> {
    static FIRST: spin::Once<u64> = spin::Once::new();
    if let Some(ticks) = FIRST.get() {
        return Some(*ticks);
    }
    let cores = (0..platform::core_count() as u16).map(CoreId);
    let first = cores.filter_map(|core| platform::of(core).syslog.read(0)).map(|entry| entry.tsc);
    let ticks = first.min()?.saturating_sub(clock::entry_ticks());
    Some(*FIRST.call_once(|| ticks))
}

/// Runs the ring-3 suite to its end, or until patience ends.
async fn suite(plan: &Plan) -> Result<(), BenchError> {
    let mut arguments = Vec::new();
    if plan.samples == Samples::Quick {
        arguments.push(String::from("quick"));
    }
    if plan.ticks == Ticks::Instructions {
        arguments.push(String::from("icount"));
    }
    if !plan.filter.is_empty() {
        arguments.push(format!("filter={}", plan.filter));
    }
    let suite =
        Program::start(SUITE, &arguments, Some(CoreId(0))).await.map_err(BenchError::Start)?;
    for minute in 1..=PATIENCE_MIN * 60 / REMIND_S {
        let soon =
            Instant(hal::x86_64::time::clock::now().saturating_add(clock::frequency() * REMIND_S));
        match executor::timeout::<Pollux, _>(soon, suite.ended()).await {
            Ok(ExitStatus::Exited(0)) => return Ok(()),
            Ok(ExitStatus::Exited(code)) => return Err(BenchError::Incomplete(code)),
            Ok(died) => return Err(BenchError::Died(died)),
            Err(_) => log::info!("bench: waiting for the suite `{SUITE}` for {minute} min"),
        }
    }
    Err(BenchError::Stuck)
}
