//! Runs batches of an operation against a clock. The arithmetic is `bench::measure`.

use alloc::vec::Vec;

use bench::abi::Error;
use bench::catalogue::WINDOWS;
use bench::measure::Plan;
use bench::runtime::clock;

use crate::work::Run;

/// Operations run before anything is timed, so that caches, TLBs and lazily made things are warm.
const WARM_UP: u64 = 64;
/// Operations that estimate the cost of one.
const ESTIMATE: u64 = 8;

/// What is read before and after a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// The time-stamp counter.
    Ticks,
    /// Unhalted core cycles (`rdpmc`).
    Cycles,
}

impl Counter {
    #[inline(always)]
    fn read(self) -> u64 {
        match self {
            Self::Ticks => clock::ticks(),
            Self::Cycles => clock::cycles(),
        }
    }

    /// The least time between two readings.
    fn cost(self) -> u64 {
        let apart = || {
            let first = self.read();
            self.read().saturating_sub(first)
        };
        (0..16).map(|_| apart()).min().unwrap_or(0)
    }
}

/// How much to measure.
pub struct Sampler {
    /// Ticks one figure may take, roughly.
    pub budget: u64,
    /// Time is an instruction count: few samples, each the same.
    pub exact: bool,
}

impl Sampler {
    /// Warms the operation up, estimates it, and chooses batch and number of samples.
    pub fn plan(&self, run: &mut Run, counter: Counter) -> Result<Plan, Error> {
        // An operation may cost milliseconds; warming up stops at a quarter of the budget.
        let begun = clock::ticks();
        for _ in 0..WARM_UP {
            run(1)?;
            if clock::ticks() - begun > self.budget / 4 {
                break;
            }
        }
        let first = clock::ticks();
        run(ESTIMATE)?;
        let operation = (clock::ticks() - first) / ESTIMATE;
        Ok(if self.exact {
            Plan::exact(operation)
        } else {
            Plan::new(operation, counter.cost(), self.budget)
        })
    }

    /// One reading for each batch.
    pub fn distribution(&self, run: &mut Run, counter: Counter) -> Result<(Plan, Vec<u64>), Error> {
        let plan = self.plan(run, counter)?;
        let mut samples = Vec::with_capacity(plan.samples as usize);
        run(plan.batch)?;
        for _ in 0..plan.samples {
            let first = counter.read();
            run(plan.batch)?;
            samples.push(counter.read().saturating_sub(first));
        }
        Ok((plan, samples))
    }
}

/// Runs from `start` on, counting the operations that end in each window. A batch counts for the
/// window it ends in.
pub fn count_windows(
    run: &mut Run,
    batch: u64,
    start: u64,
    window: u64,
) -> Result<[u64; WINDOWS], Error> {
    let mut counts = [0; WINDOWS];
    while clock::ticks() < start {
        core::hint::spin_loop();
    }
    loop {
        run(batch)?;
        let since = clock::ticks().saturating_sub(start);
        match counts.get_mut((since / window.max(1)) as usize) {
            Some(count) => *count += batch,
            None => return Ok(counts),
        }
    }
}
