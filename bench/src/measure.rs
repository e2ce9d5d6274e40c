//! The arithmetic of measuring: how many operations to time at once, and what a time means.
//!
//! Reading the clock costs time of its own. A sample is therefore the time of a *batch*, divided by
//! its size, and the batch is chosen so large that the clock is at most one part in
//! [`CLOCK_SHARE`] of it. Nothing is subtracted: loop and clock are in the figure, at that price.
//! The p99 of batches of more than one operation is that of the batches' means.

/// The clock may be this part of a batch at most.
pub const CLOCK_SHARE: u64 = 100;
/// Largest batch.
pub const BATCH_MAX: u64 = 1024;
/// Most samples of one figure.
pub const SAMPLES_MAX: u64 = 1000;
/// Fewest samples of one figure, whatever they cost.
pub const SAMPLES_MIN: u64 = 25;

/// How to measure one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Operations in a sample.
    pub batch: u64,
    /// Samples.
    pub samples: u64,
}

impl Plan {
    /// A plan under an instruction counter, where every batch counts the same: few, so that even
    /// slow emulation is soon done. The median leaves the timer's interruptions out.
    pub const fn exact(operation: u64) -> Self {
        let batch = match operation {
            0..20_000 => 64,
            20_000..200_000 => 8,
            _ => 1,
        };
        Self { batch, samples: SAMPLES_MIN }
    }

    /// A plan for an operation of about `operation` ticks, read by a clock of `clock` ticks, which
    /// takes about `budget` ticks altogether (more if [`SAMPLES_MIN`] need it).
    pub fn new(operation: u64, clock: u64, budget: u64) -> Self {
        let operation = operation.max(1);
        let batch = clock.saturating_mul(CLOCK_SHARE).div_ceil(operation);
        let batch = batch.clamp(1, BATCH_MAX).next_power_of_two();
        let samples = budget / batch.saturating_mul(operation);
        Self { batch, samples: samples.clamp(SAMPLES_MIN, SAMPLES_MAX) }
    }
}

/// Ticks of one operation of a batch, rounded to the nearest.
pub fn per_operation(ticks: u64, batch: u64) -> u64 {
    let batch = batch.max(1);
    (ticks + batch / 2) / batch
}

/// Operations per second. Zero ticks give zero: nothing was measured.
pub fn per_second(operations: u64, ticks: u64, tsc_hz: u64) -> u64 {
    if ticks == 0 {
        return 0;
    }
    let rate = u128::from(operations) * u128::from(tsc_hz) / u128::from(ticks);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Ticks as nanoseconds.
pub fn nanoseconds_of(ticks: u64, tsc_hz: u64) -> u64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(tsc_hz.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// Nanoseconds as ticks.
pub fn ticks_of(nanoseconds: u64, tsc_hz: u64) -> u64 {
    let ticks = u128::from(nanoseconds) * u128::from(tsc_hz) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_make_the_clock_vanish() {
        for operation in [1, 7, 100, 5_000, 1_000_000] {
            let plan = Plan::new(operation, 30, 100_000_000);
            assert!(plan.batch.is_power_of_two() && plan.batch <= BATCH_MAX);
            assert!(plan.batch == BATCH_MAX || plan.batch * operation >= 30 * CLOCK_SHARE);
            assert!((SAMPLES_MIN..=SAMPLES_MAX).contains(&plan.samples));
        }
        assert_eq!(Plan::new(1_000_000, 30, 100_000_000), Plan { batch: 1, samples: 100 });
        assert_eq!(Plan::new(u64::MAX, u64::MAX, 0).samples, SAMPLES_MIN);
    }

    #[test]
    fn rates_and_times_do_not_overflow() {
        assert_eq!(per_second(1_000, 2_000_000_000, 2_000_000_000), 1_000);
        assert_eq!(per_second(5, 0, 1), 0);
        assert_eq!(per_second(u64::MAX, 1, u64::MAX), u64::MAX);
        assert_eq!(per_operation(1_001, 2), 501);
        assert_eq!(per_operation(9, 0), 9);
        assert_eq!(nanoseconds_of(3_000_000_000, 3_000_000_000), 1_000_000_000);
        assert_eq!(ticks_of(1_000, 2_000_000_000), 2_000);
        assert_eq!(nanoseconds_of(u64::MAX, 0), u64::MAX);
    }
}
