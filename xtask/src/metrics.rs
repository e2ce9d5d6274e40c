//! Figures as published: the kernel's ticks become nanoseconds, or instructions when QEMU counts
//! those; then JSON (`schema` 1) and a table for people.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::records::{RawMetric, Records};

/// Ticks of the guest's clock for one instruction, with `-icount shift=2`.
const TICKS_PER_INSTRUCTION: f64 = 4.0;

/// A figure, published.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Such as `ipc.call_reply`.
    pub name: String,
    /// Core, or `None` for all at once.
    pub core: Option<u64>,
    /// Second core of a pair.
    pub peer: Option<u64>,
    /// `ns`, `ops/s`, `MB/s` (millions of bytes), `items`, `instructions` or `cycles`.
    pub unit: String,
    /// `icount`, `tcg`, `kvm` or `host`.
    pub mode: String,
    /// min, median, p99, max.
    pub values: [f64; 4],
    /// How many measurements.
    pub samples: u64,
}

impl Metric {
    /// Publishes what the kernel counted.
    pub fn publish(raw: &RawMetric, mode: &str, tsc_hz: Option<f64>) -> Result<Self> {
        let (unit, factor) = match (raw.unit.as_str(), mode) {
            ("ticks", "icount") => ("instructions", 1.0 / TICKS_PER_INSTRUCTION),
            ("ticks", _) => match tsc_hz {
                Some(hz) => ("ns", 1e9 / hz),
                None => bail!("{}: ticks, but no tsc_hz in the boot record", raw.name),
            },
            ("ns", _) => ("ns", 1.0),
            ("cycles", _) => ("cycles", 1.0),
            ("instructions", _) => ("instructions", 1.0),
            ("per_second" | "ops/s", _) => ("ops/s", 1.0),
            ("bytes_per_second", _) => ("MB/s", 1e-6),
            ("items", _) => ("items", 1.0),
            (other, _) => bail!("{}: unknown unit `{other}`", raw.name),
        };
        Ok(Self {
            name: raw.name.clone(),
            core: raw.core,
            peer: raw.peer,
            unit: unit.to_owned(),
            mode: mode.to_owned(),
            values: raw.values.map(|value| (value * factor * 100.0).round() / 100.0),
            samples: raw.samples,
        })
    }

    /// Whether a greater figure is the better one.
    pub fn is_rate(&self) -> bool {
        matches!(self.unit.as_str(), "ops/s" | "MB/s")
    }

    /// min, median, p99, max by name.
    pub fn median(&self) -> f64 {
        self.values[1]
    }

    /// `core`, `core>peer` or `all`.
    pub fn place(&self) -> String {
        match (self.core, self.peer) {
            (Some(core), Some(peer)) => format!("{core}>{peer}"),
            (Some(core), None) => core.to_string(),
            (None, _) => "all".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let [min, median, p99, max] = self.values;
        json!({
            "name": self.name, "core": self.core, "peer": self.peer, "unit": self.unit,
            "mode": self.mode, "min": min, "median": median, "p99": p99, "max": max,
            "samples": self.samples,
        })
    }
}

/// All figures of a boot, with how long the kernel took to ring 3 by its boot record.
pub fn published(records: &Records, mode: &str) -> Result<Vec<Metric>> {
    const TO_RING3: &str = "boot.entry_to_ring3";
    let hz = records.tsc_hz();
    let mut metrics = Vec::new();
    let boot = records.boot.as_ref().and_then(|boot| boot["entry_to_ring3_ticks"].as_f64());
    if let Some(ticks) = boot.filter(|_| !records.metrics.iter().any(|raw| raw.name == TO_RING3)) {
        let raw = RawMetric {
            name: TO_RING3.to_owned(),
            core: Some(0),
            peer: None,
            unit: "ticks".to_owned(),
            samples: 1,
            values: [ticks; 4],
        };
        metrics.push(Metric::publish(&raw, mode, hz)?);
    }
    for raw in &records.metrics {
        metrics.push(Metric::publish(raw, mode, hz)?);
    }
    Ok(metrics)
}

/// The document.
pub fn document(machine: &Value, metrics: &[Metric]) -> Value {
    let metrics: Vec<Value> = metrics.iter().map(Metric::to_json).collect();
    json!({ "schema": 1, "machine": machine, "metrics": metrics })
}

/// A number with at most three significant decimals and thousands set apart.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    let digits = whole.chars().filter(char::is_ascii_digit).count();
    let mut seen = 0;
    for c in whole.chars() {
        if c.is_ascii_digit() {
            if seen > 0 && (digits - seen).is_multiple_of(3) {
                out.push(',');
            }
            seen += 1;
        }
        out.push(c);
    }
    let rest = rest.trim_end_matches('0');
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// The table for people. The pairs of a matrix are in one line: from the least to the most median.
pub fn table(metrics: &[Metric]) -> String {
    let mut rows = vec![
        ["metric", "core", "unit", "min", "median", "p99", "max", "a second"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut done: Vec<(&str, &str)> = Vec::new();
    for metric in metrics {
        let rate = match metric.unit.as_str() {
            "ns" if metric.median() > 0.0 => number((1e9 / metric.median()).round()),
            _ => String::new(),
        };
        if metric.peer.is_none() {
            let mut row = vec![metric.name.clone(), metric.place(), metric.unit.clone()];
            row.extend(metric.values.map(number));
            row.push(rate);
            rows.push(row);
            continue;
        }
        let key = (metric.name.as_str(), metric.unit.as_str());
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let same = |other: &&Metric| {
            other.peer.is_some() && (other.name.as_str(), other.unit.as_str()) == key
        };
        let pairs: Vec<&Metric> = metrics.iter().filter(same).collect();
        let by_median = |a: &&&Metric, b: &&&Metric| a.median().total_cmp(&b.median());
        let ends =
            [("best", pairs.iter().min_by(by_median)), ("worst", pairs.iter().max_by(by_median))];
        let ends = &ends[..if pairs.len() == 1 { 1 } else { 2 }];
        for (which, pair) in ends {
            let Some(pair) = pair else { continue };
            let name = format!("{} ({which} of {} pairs)", pair.name, pairs.len());
            let mut row = vec![name, pair.place(), pair.unit.clone()];
            row.extend(pair.values.map(number));
            row.push(String::new());
            rows.push(row);
        }
    }
    let widths: Vec<usize> =
        (0..8).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 2 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::records;

    /// What `mode` makes of the sample records.
    pub fn sample(mode: &str) -> Vec<Metric> {
        published(&Records::parse(records::tests::SAMPLE), mode).unwrap()
    }

    #[test]
    fn ticks_become_time_or_instructions() {
        let metrics = sample("tcg");
        assert_eq!((metrics[0].name.as_str(), metrics[0].median()), ("boot.entry_to_ring3", 2e6));
        assert_eq!(metrics[1].values, [190.0, 200.0, 250.0, 450.0]);
        assert_eq!(metrics[1].unit, "ns");
        let counted = sample("icount");
        assert_eq!((counted[1].median(), counted[1].unit.as_str()), (100.0, "instructions"));
        assert_eq!((counted[4].median(), counted[4].unit.as_str()), (7.0, "ops/s"));
        let unit = "bytes_per_second".to_owned();
        let raw = RawMetric {
            unit,
            values: [2e9; 4],
            ..Records::parse(records::tests::SAMPLE).metrics[3].clone()
        };
        let bytes = Metric::publish(&raw, "tcg", None).unwrap();
        assert_eq!((bytes.median(), bytes.unit.as_str()), (2000.0, "MB/s"));
    }

    #[test]
    fn every_unit_is_published() {
        use protocols::abi::metric::Unit::{BytesPerSecond, Cycles, Items, PerSecond, Ticks};
        for unit in [Ticks, PerSecond, Cycles, BytesPerSecond, Items] {
            let unit = protocols::events::unit_name(unit).to_owned();
            let raw =
                RawMetric { unit, ..Records::parse(records::tests::SAMPLE).metrics[3].clone() };
            assert!(Metric::publish(&raw, "tcg", Some(1e9)).is_ok(), "{raw:?}");
        }
    }

    #[test]
    fn ticks_without_a_clock_are_an_error() {
        let mut records = Records::parse(records::tests::SAMPLE);
        records.boot = None;
        assert!(published(&records, "tcg").is_err());
        assert!(published(&records, "icount").is_ok());
        records.metrics[0].unit = "furlongs".to_owned();
        assert!(published(&records, "icount").is_err());
    }

    #[test]
    fn the_document_has_its_schema() {
        let document = document(&json!({ "cores": 2 }), &sample("kvm"));
        assert_eq!(document["schema"], 1);
        let metric = &document["metrics"][1];
        let mut keys: Vec<&str> = metric.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected =
            ["core", "max", "median", "min", "mode", "name", "p99", "peer", "samples", "unit"];
        assert_eq!(keys, expected);
        assert_eq!((&metric["mode"], &metric["peer"]), (&json!("kvm"), &Value::Null));
    }

    #[test]
    fn tables_line_up() {
        let text = table(&sample("tcg"));
        assert!(text.contains("syscall.null"), "{text}");
        assert!(text.contains("ipc.cross_core (best of 1 pairs)"), "{text}");
        assert!(text.contains("5,000,000"), "200 ns are five million a second:\n{text}");
        let number_ends = text.lines().skip(1).map(|line| line.find(" ns ").is_some());
        assert!(number_ends.filter(|found| *found).count() >= 3);
    }

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.0, "0"),
            (1.234, "1.23"),
            (12.5, "12.5"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
