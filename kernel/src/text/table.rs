//! The benchmark's table, at most [`WIDTH`] columns wide: figures by core, figures of all cores
//! at once, and what passes between pairs of cores.
//!
//! Pure text from metrics. Every figure of a core shows its rate and the least, middle and 99th
//! percentile of its latency; where ticks count instructions there is no time, so no rate.

use crate::matrix;
use crate::quantity::{BytesPerSecond, Count, Nanoseconds, PerSecond, Tenths};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};
use protocols::abi::metric::{Metric, Unit};

/// Most columns of a line.
pub const WIDTH: usize = 100;
/// Columns of a figure's name.
const NAME: usize = 22;
/// Under QEMU's `-icount shift=2` the TSC ticks so often for each instruction.
const TICKS_PER_INSTRUCTION: u64 = 4;

/// What a tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// So many make a second.
    Time {
        /// Ticks a second.
        ticks_per_second: u64,
    },
    /// Four make an instruction.
    Instructions,
}

/// A number of ticks under a [`Scale`].
#[derive(Clone, Copy, Debug)]
pub struct Cost(pub Scale, pub u64);

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Scale::Time { ticks_per_second } => {
                let ns = u128::from(self.1) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
                Nanoseconds(u64::try_from(ns).unwrap_or(u64::MAX)).fmt(f)
            }
            // Averages of batches need not be whole.
            Scale::Instructions
                if !self.1.is_multiple_of(TICKS_PER_INSTRUCTION) && self.1 < 4_000 =>
            {
                let tenths = (self.1 * 10 + TICKS_PER_INSTRUCTION / 2) / TICKS_PER_INSTRUCTION;
                Tenths(tenths).fmt(f)
            }
            Scale::Instructions => {
                let half = TICKS_PER_INSTRUCTION / 2;
                Count(self.1.saturating_add(half) / TICKS_PER_INSTRUCTION).fmt(f)
            }
        }
    }
}

/// How a line wants to be shown where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Brighter.
    Heading,
    /// As it is.
    Text,
    /// Fainter: only there to guide the eye.
    Rule,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// How it wants to be shown.
    pub style: Style,
    /// What it says.
    pub text: String,
}

impl Line {
    pub(crate) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { style, text: text.into() }
    }

    fn rule(of: &str) -> Self {
        Self::new(Style::Rule, of.repeat(WIDTH - 1))
    }
}

/// The lines of the table.
pub fn lines(metrics: &[Metric], cores: usize, scale: Scale) -> Vec<Line> {
    let mut lines = Vec::new();
    title(&mut lines, metrics, cores, scale);
    by_core(&mut lines, metrics, scale);
    at_once(&mut lines, metrics);
    let pairs = names(metrics, |metric| metric.peer != Metric::ALL_CORES);
    let matrices = pairs.iter().flat_map(|name| matrix::blocks(metrics, name, scale)).collect();
    matrix::beside(&mut lines, matrices);
    let rate = |value| PerSecond(value).to_string();
    medians(&mut lines, metrics, Unit::PerSecond, "operations a second", rate);
    let rate = |value| BytesPerSecond(value).to_string();
    medians(&mut lines, metrics, Unit::BytesPerSecond, "bytes a second", rate);
    let count = |value| Count(value).to_string();
    medians(&mut lines, metrics, Unit::Cycles, "core cycles", count);
    medians(&mut lines, metrics, Unit::Items, "how many", count);
    lines.pop_if(|line| line.style == Style::Rule);
    lines
}

/// Names of the metrics that `wanted` picks, in order of their first.
fn names(metrics: &[Metric], wanted: impl Fn(&Metric) -> bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for metric in metrics.iter().filter(|metric| wanted(metric)) {
        if !names.contains(&metric.name()) {
            names.push(metric.name());
        }
    }
    names
}

/// A moment in the machine's life rather than an operation: told in the title.
fn is_moment(metric: &Metric) -> bool {
    metric.name().starts_with("boot.")
}

fn is_of_core(metric: &Metric) -> bool {
    metric.core != Metric::ALL_CORES && metric.peer == Metric::ALL_CORES && !is_moment(metric)
}

fn title(lines: &mut Vec<Line>, metrics: &[Metric], cores: usize, scale: Scale) {
    let plural = if cores == 1 { "" } else { "s" };
    let mut title = format!("Pollux benchmark, {cores} core{plural}");
    match scale {
        Scale::Time { ticks_per_second } => {
            let hundredths = (ticks_per_second + 5_000_000) / 10_000_000;
            title += &format!(", ticks at {}.{:02} GHz", hundredths / 100, hundredths % 100);
        }
        Scale::Instructions => title += ", costs in instructions",
    }
    lines.push(Line::new(Style::Heading, title));
    for metric in metrics.iter().filter(|metric| is_moment(metric)) {
        let moment = format!("{}: {}", metric.name(), Cost(scale, metric.median));
        lines.push(Line::new(Style::Text, moment));
    }
    lines.push(Line::rule("="));
}

/// Columns of one core's part of a line.
fn block(metric: &Metric, scale: Scale) -> String {
    let cost = |ticks| Cost(scale, ticks);
    let costs = format!("{:>8}{:>8}{:>8}", cost(metric.min), cost(metric.median), cost(metric.p99));
    match scale {
        Scale::Time { ticks_per_second } => {
            let rate = PerSecond(ticks_per_second / metric.median.max(1));
            format!("{:>3}{rate:>10}{costs}", metric.core)
        }
        Scale::Instructions => {
            format!("{:>3}{:>10}{costs}", metric.core, Count(metric.samples.into()))
        }
    }
}

fn by_core(lines: &mut Vec<Line>, metrics: &[Metric], scale: Scale) {
    let names = names(metrics, |metric| is_of_core(metric) && metric.unit == Unit::Ticks);
    let Some(most) = names.iter().map(|name| of_cores(metrics, name).len()).max() else { return };
    let second = if matches!(scale, Scale::Instructions) { "samples" } else { "rate" };
    let heading = format!("{:>3}{second:>10}{:>8}{:>8}{:>8}", "on", "min", "median", "p99");
    let headings = if most > 1 { format!("{heading} | {heading}") } else { heading };
    lines.push(Line::new(Style::Heading, format!("{:<NAME$}{headings}", "figure")));
    lines.push(Line::rule("-"));
    for name in names {
        let mut left: Vec<String> = Vec::new();
        if name.len() >= NAME {
            lines.push(Line::new(Style::Text, name));
        } else {
            left.push(name.into());
        }
        if let Some(all) = metrics.iter().find(|metric| is_at_once(metric) && metric.name() == name)
        {
            left.push(format!("  all: {}", PerSecond(all.median)));
        }
        let blocks: Vec<_> =
            of_cores(metrics, name).into_iter().map(|metric| block(metric, scale)).collect();
        for row in 0..blocks.len().div_ceil(2).max(left.len()) {
            let label = left.get(row).map_or("", String::as_str);
            let of_row: Vec<&str> =
                blocks.iter().skip(row * 2).take(2).map(String::as_str).collect();
            let text = format!("{label:<NAME$}{}", of_row.join(" | "));
            lines.push(Line::new(Style::Text, text.trim_end()));
        }
    }
    lines.push(Line::rule("-"));
}

/// The tick figures of `name`, by core.
fn of_cores<'a>(metrics: &'a [Metric], name: &str) -> Vec<&'a Metric> {
    let wanted = |metric: &&Metric| {
        is_of_core(metric) && metric.unit == Unit::Ticks && metric.name() == name
    };
    let mut found: Vec<_> = metrics.iter().filter(wanted).collect();
    found.sort_by_key(|metric| metric.core);
    found
}

fn is_at_once(metric: &Metric) -> bool {
    metric.core == Metric::ALL_CORES && metric.unit == Unit::PerSecond
}

/// Rates that exist for all cores together only, three to a line.
fn at_once(lines: &mut Vec<Line>, metrics: &[Metric]) {
    let alone: Vec<_> = metrics
        .iter()
        .filter(|metric| is_at_once(metric) && of_cores(metrics, metric.name()).is_empty())
        .map(|metric| format!("{:<NAME$}{:>9}", metric.name(), PerSecond(metric.median)))
        .collect();
    for row in alone.chunks(3) {
        lines.push(Line::new(Style::Text, row.join("   ")));
    }
    if !alone.is_empty() {
        lines.push(Line::rule("-"));
    }
}

/// What is told by its medians alone, for up to so many cores.
const SHOWN: usize = 7;
/// Columns of a name there.
const LONG_NAME: usize = 30;

/// Medians of the figures in `unit`, a column a core.
fn medians(
    lines: &mut Vec<Line>,
    metrics: &[Metric],
    unit: Unit,
    heading: &str,
    shown: impl Fn(u64) -> String,
) {
    let wanted = |metric: &Metric| is_of_core(metric) && metric.unit == unit;
    let names = names(metrics, wanted);
    if names.is_empty() {
        return;
    }
    lines.push(Line::new(Style::Heading, format!("{heading} (median), by core")));
    for name in names {
        let mut found: Vec<_> =
            metrics.iter().filter(|metric| wanted(metric) && metric.name() == name).collect();
        found.sort_by_key(|metric| metric.core);
        let cells: String = found
            .iter()
            .take(SHOWN)
            .map(|metric| format!("{:>10}", shown(metric.median)))
            .collect();
        lines.push(Line::new(Style::Text, format!("{name:<LONG_NAME$}{cells}")));
    }
    lines.push(Line::rule("-"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GHZ: Scale = Scale::Time { ticks_per_second: 2_000_000_000 };

    fn text(metrics: &[Metric], cores: usize, scale: Scale) -> Vec<String> {
        lines(metrics, cores, scale).into_iter().map(|line| line.text).collect()
    }

    fn figure(name: &str, core: u16, unit: Unit, ticks: u64) -> Metric {
        Metric::of(name, core, unit, &mut [ticks, ticks * 2, ticks * 3]).unwrap()
    }

    /// Figures as a whole run gives them.
    fn run(cores: u16) -> Vec<Metric> {
        let mut metrics = alloc::vec![figure("boot.entry_to_ring3", 0, Unit::Ticks, 90_000_000)];
        for name in ["syscall.null", "executor.wake_to_poll", "process.spawn_exit"] {
            metrics.extend((0..cores).map(|core| figure(name, core, Unit::Ticks, 900_000)));
            metrics.push(figure(name, Metric::ALL_CORES, Unit::PerSecond, 12_000_000));
        }
        for core in 0..cores {
            for peer in (0..cores).filter(|peer| *peer != core) {
                let pair = figure("ipc.cross_core", core, Unit::Ticks, 30_000 + u64::from(peer));
                metrics.push(pair.with_peer(peer));
            }
        }
        metrics.push(figure("ipc.clients_16", Metric::ALL_CORES, Unit::PerSecond, 999_999));
        metrics.push(figure("a.name.of.the.greatest.length.there.is.x", 0, Unit::Ticks, 1));
        metrics.push(figure("syscall.null", 0, Unit::Cycles, 123));
        metrics.push(figure("nvme.file.read4k.qd32.msix", 0, Unit::PerSecond, 81_234));
        metrics.push(figure("nvme.read128k.qd8", 1, Unit::BytesPerSecond, 1_950_000_000));
        metrics
    }

    #[test]
    fn fits_for_any_number_of_cores() {
        for cores in [1, 2, 3, 4, 16, 64] {
            for scale in [GHZ, Scale::Instructions] {
                for line in text(&run(cores), cores.into(), scale) {
                    assert!(line.chars().count() <= WIDTH, "{cores}: {line}");
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
    }

    #[test]
    fn every_figure_is_there() {
        let table = text(&run(4), 4, GHZ).join("\n");
        for metric in run(4) {
            assert!(table.contains(metric.name()), "{} in\n{table}", metric.name());
        }
        assert!(table.contains("  3  1.11 k/s  450 us  900 us  900 us"), "{table}");
        assert!(table.contains("all: 24.0 M/s"), "{table}");
        assert_eq!(text(&[], 4, GHZ).len(), 1);
    }

    #[test]
    fn instructions_are_quarters_of_ticks() {
        let metric = figure("syscall.null", 0, Unit::Ticks, 4 * 97);
        let table = text(&[metric], 1, Scale::Instructions).join("\n");
        assert!(table.contains("      97     194     194"), "{table}");
        let batch = Metric::of("syscall.null", 0, Unit::Ticks, &mut [302]).unwrap();
        let table = text(&[batch], 1, Scale::Instructions).join("\n");
        assert!(table.contains("    75.5    75.5    75.5"), "{table}");
    }
}
