//! Which statement about the TSC's rate to believe.
//!
//! CPUs and hypervisors may state the rate; the HPET and the PIT let us measure it. A statement is
//! exact when true, a measurement is good to a fraction of a percent. So a statement wins unless
//! measurements that agree with each other contradict it.

use core::fmt;

/// Disagreement beyond which two sources contradict each other.
pub const TOLERANCE_PPM: u64 = 5_000;

/// Where a rate comes from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// CPUID 15h: crystal clock times a fraction.
    Crystal,
    /// CPUID 4000_0010h: what a hypervisor says.
    Hypervisor,
    /// Measured against the HPET.
    Hpet,
    /// Measured against the PIT.
    Pit,
    /// CPUID 16h: the base frequency, as it is advertised.
    Advertised,
}

impl Source {
    const fn is_measured(self) -> bool {
        matches!(self, Source::Hpet | Source::Pit)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Crystal => "CPUID 15h",
            Source::Hypervisor => "the hypervisor",
            Source::Hpet => "the HPET",
            Source::Pit => "the PIT",
            Source::Advertised => "CPUID 16h",
        })
    }
}

/// One source's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Who says so.
    pub source: Source,
    /// Ticks per second.
    pub hz: u64,
}

/// What is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The rate taken.
    pub rate: Rate,
    /// The source that disagrees most, and by how many parts per million.
    pub dissent: Option<(Rate, u64)>,
}

impl Verdict {
    /// Whether someone contradicts the rate taken.
    pub fn is_contradicted(&self) -> bool {
        self.dissent.is_some_and(|(_, ppm)| ppm > TOLERANCE_PPM)
    }
}

/// By how many parts per million `a` differs from `b`.
pub const fn difference_ppm(a: u64, b: u64) -> u64 {
    if b == 0 {
        return u64::MAX;
    }
    let ppm = a.abs_diff(b) as u128 * 1_000_000 / b as u128;
    if ppm >> 64 == 0 { ppm as u64 } else { u64::MAX }
}

/// Chooses among what the sources say. Rates outside 10 MHz to 100 GHz are not taken seriously.
/// `None`: there is no usable one.
pub fn decide(rates: &[Rate]) -> Option<Verdict> {
    let plausible = || rates.iter().filter(|r| (10_000_000..=100_000_000_000).contains(&r.hz));
    let best = |measured_only: bool| {
        plausible().filter(|r| !measured_only || r.source.is_measured()).min_by_key(|r| r.source)
    };
    let mut chosen = best(false)?;
    if !chosen.source.is_measured() {
        // Contradicted by every measurement, and there are two that agree (or the only one, when a
        // mere advertisement stands against it).
        let measured = || plausible().filter(|r| r.source.is_measured());
        let far = |a: u64, b: u64| difference_ppm(a, b) > TOLERANCE_PPM;
        let all_against = measured().count() > 0 && measured().all(|r| far(r.hz, chosen.hz));
        let agreed = measured().all(|a| measured().all(|b| !far(a.hz, b.hz)));
        if all_against && agreed && measured().count() >= 2 {
            chosen = best(true)?;
        }
    }
    let dissent = plausible()
        .filter(|r| r.source != chosen.source)
        .map(|r| (*r, difference_ppm(r.hz, chosen.hz)))
        .max_by_key(|(_, ppm)| *ppm);
    Some(Verdict { rate: *chosen, dissent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(source: Source, hz: u64) -> Rate {
        Rate { source, hz }
    }

    #[test]
    fn statements_win_when_measurements_agree() {
        let v = decide(&[
            rate(Source::Pit, 2_001_000_000),
            rate(Source::Hpet, 1_999_500_000),
            rate(Source::Crystal, 2_000_000_000),
        ])
        .unwrap();
        assert_eq!(v.rate, rate(Source::Crystal, 2_000_000_000));
        assert_eq!(v.dissent, Some((rate(Source::Pit, 2_001_000_000), 500)));
        assert!(!v.is_contradicted());
    }

    #[test]
    fn two_measurements_overrule_a_false_statement() {
        let v = decide(&[
            rate(Source::Crystal, 2_500_000_000),
            rate(Source::Hpet, 2_000_000_000),
            rate(Source::Pit, 2_000_100_000),
        ])
        .unwrap();
        assert_eq!(v.rate.source, Source::Hpet);
        assert!(v.is_contradicted());
    }

    #[test]
    fn one_measurement_does_not() {
        let v =
            decide(&[rate(Source::Hypervisor, 2_500_000_000), rate(Source::Pit, 2_000_000_000)]);
        let v = v.unwrap();
        assert_eq!(v.rate.source, Source::Hypervisor);
        assert!(v.is_contradicted());
    }

    #[test]
    fn measurements_beat_the_advertisement() {
        let v =
            decide(&[rate(Source::Advertised, 2_100_000_000), rate(Source::Pit, 2_095_000_000)]);
        assert_eq!(v.unwrap().rate.source, Source::Pit);
        assert_eq!(
            decide(&[rate(Source::Advertised, 2_100_000_000)]).unwrap().rate.source,
            Source::Advertised
        );
    }

    #[test]
    fn nonsense_is_not_believed() {
        assert_eq!(decide(&[]), None);
        assert_eq!(decide(&[rate(Source::Crystal, 0), rate(Source::Hpet, u64::MAX)]), None);
        let v = decide(&[rate(Source::Crystal, 12), rate(Source::Pit, 1_000_000_000)]).unwrap();
        assert_eq!((v.rate.source, v.dissent), (Source::Pit, None));
    }
}
