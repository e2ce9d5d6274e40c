//! What the kernel tells a program at the other end of the second serial port: one JSON object a
//! line (RFC 8259), told apart by `"event"`.
//!
//! ```text
//! boot    version, cores, tsc_hz, entry_to_ring3_ticks (null: no ring-3 program ran)
//! machine mode (icount, tcg, kvm, host), cpu, hypervisor (null: none), memory_mib; in saved results only
//! metric  name, core (null: all at once), peer (null: none), unit, samples, min, median, p99, max
//! test    name, result ("ok" or "failed"), detail (why it failed)
//! panic   message
//! done    success
//! ```

use core::fmt::{self, Display};

use crate::abi::metric::{Metric, Unit};
use crate::json::{OrNull, Text};

/// One event. Displays as its line, without the line feed.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The machine is up.
    Boot {
        /// Of the kernel.
        version: &'a str,
        /// Cores that run.
        cores: usize,
        /// Ticks a second.
        tsc_hz: u64,
        /// Ticks from the kernel's entry to the first system call of a ring-3 program.
        entry_to_ring3_ticks: Option<u64>,
    },
    /// What the machine is: for figures that travel without their machine.
    Machine {
        /// What ticks are, or what executes instructions: `icount`, `tcg`, `kvm`, `host`.
        mode: &'a str,
        /// The CPU's name.
        cpu: &'a str,
        /// The hypervisor's name.
        hypervisor: Option<&'a str>,
        /// Memory in MiB.
        memory_mib: u64,
    },
    /// A figure was taken.
    Metric(&'a Metric),
    /// A test ended.
    Test {
        /// Its name.
        name: &'a str,
        /// Why it failed.
        failure: Option<&'a str>,
    },
    /// The kernel stops.
    Panic {
        /// Why.
        message: &'a str,
    },
    /// What the command line asked for is done.
    Done {
        /// Whether it went well.
        success: bool,
    },
}

/// The unit's published name.
pub const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Ticks => "ticks",
        Unit::PerSecond => "per_second",
        Unit::Cycles => "cycles",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::Items => "items",
    }
}

impl Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Boot { version, cores, tsc_hz, entry_to_ring3_ticks } => {
                let entry = OrNull(entry_to_ring3_ticks);
                write!(f, "{{\"event\":\"boot\",\"version\":{},\"cores\":{cores},", Text(version))?;
                write!(f, "\"tsc_hz\":{tsc_hz},\"entry_to_ring3_ticks\":{entry}}}")
            }
            Self::Machine { mode, cpu, hypervisor, memory_mib } => {
                let hypervisor = OrNull(hypervisor.map(Text));
                write!(
                    f,
                    "{{\"event\":\"machine\",\"mode\":{},\"cpu\":{},",
                    Text(mode),
                    Text(cpu)
                )?;
                write!(f, "\"hypervisor\":{hypervisor},\"memory_mib\":{memory_mib}}}")
            }
            Self::Metric(metric) => {
                let core = OrNull((metric.core != Metric::ALL_CORES).then_some(metric.core));
                let peer = OrNull((metric.peer != Metric::ALL_CORES).then_some(metric.peer));
                write!(f, "{{\"event\":\"metric\",\"name\":{},", Text(metric.name()))?;
                write!(f, "\"core\":{core},\"peer\":{peer},")?;
                write!(
                    f,
                    "\"unit\":\"{}\",\"samples\":{},",
                    unit_name(metric.unit),
                    metric.samples
                )?;
                let Metric { min, median, p99, max, .. } = metric;
                write!(f, "\"min\":{min},\"median\":{median},\"p99\":{p99},\"max\":{max}}}")
            }
            Self::Test { name, failure } => {
                let result = if failure.is_none() { "ok" } else { "failed" };
                let detail = Text(failure.unwrap_or(""));
                write!(f, "{{\"event\":\"test\",\"name\":{},\"result\":\"{result}\",", Text(name))?;
                write!(f, "\"detail\":{detail}}}")
            }
            Self::Panic { message } => {
                write!(f, "{{\"event\":\"panic\",\"message\":{}}}", Text(message))
            }
            Self::Done { success } => write!(f, "{{\"event\":\"done\",\"success\":{success}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn lines_are_as_published() {
        let boot =
            Event::Boot { version: "0.1.0", cores: 4, tsc_hz: 7, entry_to_ring3_ticks: None };
        assert_eq!(
            boot.to_string(),
            r#"{"event":"boot","version":"0.1.0","cores":4,"tsc_hz":7,"entry_to_ring3_ticks":null}"#
        );
        let metric = Metric::of("syscall.null", 0, Unit::Ticks, &mut [3, 1, 2]).unwrap();
        assert_eq!(
            Event::Metric(&metric).to_string(),
            concat!(
                r#"{"event":"metric","name":"syscall.null","core":0,"peer":null,"unit":"ticks","#,
                r#""samples":3,"min":1,"median":2,"p99":2,"max":3}"#
            )
        );
        let machine =
            Event::Machine { mode: "tcg", cpu: "a \"b\"", hypervisor: None, memory_mib: 9 };
        assert_eq!(
            machine.to_string(),
            r#"{"event":"machine","mode":"tcg","cpu":"a \"b\"","hypervisor":null,"memory_mib":9}"#
        );
        let failed = Event::Test { name: "a", failure: Some("x") };
        assert_eq!(
            failed.to_string(),
            r#"{"event":"test","name":"a","result":"failed","detail":"x"}"#
        );
        assert_eq!(Event::Done { success: true }.to_string(), r#"{"event":"done","success":true}"#);
    }

    #[test]
    fn whole_machine_figures_have_no_core() {
        let metric = Metric::of("a", Metric::ALL_CORES, Unit::PerSecond, &mut [1]).unwrap();
        let line = Event::Metric(&metric).to_string();
        assert!(line.contains(r#""core":null,"peer":null,"unit":"per_second""#), "{line}");
    }

    #[test]
    fn no_text_leaves_its_quotes_or_its_line() {
        let nasty: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        let line = Event::Panic { message: &nasty }.to_string();
        assert!(!line.chars().any(char::is_control), "{line}");
        // Unescaped quotes: those of the three strings around, and the two of the message.
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(bare.matches('"').count(), 8, "{bare}");
    }
}
