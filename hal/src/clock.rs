//! Time as drivers see it: a monotonic counter of ticks, and how long one is.
//!
//! On metal the counter is the TSC; in the simulation it moves only when a test moves it. Waiting
//! for a time is the executor's business, not the clock's.

use core::time::Duration;

use crate::machine;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A point on the clock, or a distance between two, in ticks of that clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// This much later; the end of time if that is past it.
    pub const fn plus(self, span: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was; zero if it was not.
    pub const fn since(self, earlier: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(earlier.0))
    }
}

/// A monotonic clock.
#[derive(Clone)]
pub struct Clock {
    source: machine::ClockSource,
}

impl Clock {
    // Handed out by each machine only.
    #[allow(dead_code)]
    pub(crate) const fn new(source: machine::ClockSource) -> Self {
        Self { source }
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Ticks {
        self.source.now()
    }

    /// How many ticks make a second; never 0.
    #[inline]
    pub fn ticks_per_second(&self) -> u64 {
        self.source.ticks_per_second().max(1)
    }

    /// `span` in ticks, rounded up: a deadline is never early.
    pub fn ticks(&self, span: Duration) -> Ticks {
        // u128 holds any Duration in nanoseconds times any u64 only up to 2^96 of them: saturate.
        let scaled = span.as_nanos().saturating_mul(u128::from(self.ticks_per_second()));
        Ticks(u64::try_from(scaled.div_ceil(NANOS_PER_SECOND)).unwrap_or(u64::MAX))
    }

    /// `ticks` as a span of time, rounded down to nanoseconds.
    pub fn duration(&self, ticks: Ticks) -> Duration {
        let per_second = self.ticks_per_second();
        let rest = u128::from(ticks.0 % per_second) * NANOS_PER_SECOND / u128::from(per_second);
        Duration::new(ticks.0 / per_second, rest as u32)
    }

    /// The time `span` from now.
    pub fn after(&self, span: Duration) -> Ticks {
        self.now().plus(self.ticks(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimMachine;
    use proptest::prelude::*;

    #[test]
    fn virtual_time_moves_only_when_moved() {
        let machine = SimMachine::new();
        let clock = machine.clock();
        assert_eq!(clock.now(), clock.now());
        let deadline = clock.after(Duration::from_micros(3));
        machine.advance(Ticks(2_999));
        assert!(clock.now() < deadline);
        machine.advance(Ticks(1));
        assert_eq!(clock.now(), deadline);
        assert_eq!(clock.duration(clock.now()), Duration::from_micros(3));
    }

    proptest! {
        /// Both ways saturate rather than wrap, and a deadline is never early.
        #[test]
        fn conversions_round_towards_late(seconds: u64, nanos in 0u32..1_000_000_000, ticks: u64) {
            let clock = SimMachine::new().clock();
            let span = Duration::new(seconds, nanos);
            let converted = clock.ticks(span);
            prop_assert!(converted.0 == u64::MAX || clock.duration(converted) >= span);
            prop_assert_eq!(clock.ticks(clock.duration(Ticks(ticks))), Ticks(ticks));
        }
    }
}
