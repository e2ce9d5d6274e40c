//! What the kernel says on COM2: JSON lines, one object each. The firmware uses that port too,
//! so anything that isn't such a line is passed over.

use serde_json::Value;

/// A figure as the kernel counted it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawMetric {
    /// Such as `ipc.call_reply`.
    pub name: String,
    /// Core, or `None` for all at once.
    pub core: Option<u64>,
    /// Second core of a pair.
    pub peer: Option<u64>,
    /// What the numbers count: `ticks`, `cycles`, `per_second`.
    pub unit: String,
    /// How many measurements.
    pub samples: u64,
    /// min, median, p99, max.
    pub values: [f64; 4],
}

/// The records of one boot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The `boot` record, if there was one.
    pub boot: Option<Value>,
    /// The `machine` record, which results on a disk have.
    pub machine: Option<Value>,
    /// All figures, in order.
    pub metrics: Vec<RawMetric>,
    /// Names and details of tests, with whether they passed.
    pub tests: Vec<(String, bool, String)>,
    /// Messages of panics.
    pub panics: Vec<String>,
    /// What `done` said, if it came.
    pub done: Option<bool>,
    /// Lines that looked like records and weren't.
    pub broken: Vec<String>,
}

impl Records {
    /// Reads the text of COM2.
    pub fn parse(text: &str) -> Self {
        let mut records = Self::default();
        for line in text.lines() {
            // Firmware may have left an escape sequence at the beginning of the line.
            let Some(start) = line.find("{\"") else { continue };
            let line = line[start..].trim_end();
            match serde_json::from_str::<Value>(line) {
                Ok(value) if records.take(&value).is_some() => {}
                _ => records.broken.push(line.to_owned()),
            }
        }
        records
    }

    fn take(&mut self, value: &Value) -> Option<()> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        match value["event"].as_str()? {
            "boot" => self.boot = Some(value.clone()),
            "machine" => self.machine = Some(value.clone()),
            "metric" => self.metrics.push(metric(value)?),
            "test" => {
                let passed = value["result"].as_str()? == "ok";
                self.tests.push((text("name")?, passed, text("detail").unwrap_or_default()));
            }
            "panic" => self.panics.push(text("message")?),
            "done" => self.done = Some(value["success"].as_bool()?),
            _ => {} // newer than this tool
        }
        Some(())
    }

    /// Names of the tests that failed.
    pub fn failed_tests(&self) -> Vec<String> {
        let failed = self.tests.iter().filter(|test| !test.1);
        failed.map(|(name, _, detail)| format!("{name}: {detail}")).collect()
    }

    /// Ticks of a second, by the boot record.
    pub fn tsc_hz(&self) -> Option<f64> {
        self.boot.as_ref()?["tsc_hz"].as_f64().filter(|hz| *hz > 0.0)
    }
}

fn metric(value: &Value) -> Option<RawMetric> {
    let number = |name: &str| value[name].as_f64().filter(|number| number.is_finite());
    Some(RawMetric {
        name: value["name"].as_str()?.to_owned(),
        core: value["core"].as_u64(),
        peer: value["peer"].as_u64(),
        unit: value["unit"].as_str()?.to_owned(),
        samples: value["samples"].as_u64()?,
        values: [number("min")?, number("median")?, number("p99")?, number("max")?],
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a kernel might say.
    pub const SAMPLE: &str = "\x1b[2JBdsDxe: loading\r\n\
        \x1b[01;01H{\"event\":\"boot\",\"version\":\"0.1.0\",\"cores\":2,\"tsc_hz\":2000000000,\"entry_to_ring3_ticks\":4000000}\r\n\
        {\"event\":\"metric\",\"name\":\"syscall.null\",\"core\":0,\"peer\":null,\"unit\":\"ticks\",\"samples\":9,\"min\":380,\"median\":400,\"p99\":500,\"max\":900}\n\
        {\"event\":\"metric\",\"name\":\"syscall.null\",\"core\":1,\"peer\":null,\"unit\":\"ticks\",\"samples\":9,\"min\":390,\"median\":420,\"p99\":500,\"max\":900}\n\
        {\"event\":\"metric\",\"name\":\"ipc.cross_core\",\"core\":0,\"peer\":1,\"unit\":\"ticks\",\"samples\":9,\"min\":1,\"median\":8000,\"p99\":9000,\"max\":9100}\n\
        {\"event\":\"metric\",\"name\":\"ipc.clients_4\",\"core\":null,\"peer\":null,\"unit\":\"per_second\",\"samples\":1,\"min\":7,\"median\":7,\"p99\":7,\"max\":7}\n\
        {\"event\":\"test\",\"name\":\"a\",\"result\":\"ok\",\"detail\":\"\"}\n\
        {\"event\":\"test\",\"name\":\"b\",\"result\":\"failed\",\"detail\":\"1 != 2\"}\n\
        {\"event\":\"weather\",\"sun\":true}\n\
        {\"event\":\"metric\",\"name\":\"cut\n\
        {\"event\":\"done\",\"success\":true}\n";

    #[test]
    fn records_are_found_among_firmware_noise() {
        let records = Records::parse(SAMPLE);
        assert_eq!(records.metrics.len(), 4);
        assert_eq!(records.metrics[0].values, [380.0, 400.0, 500.0, 900.0]);
        assert_eq!(records.metrics[2].peer, Some(1));
        assert_eq!(records.metrics[3].core, None);
        assert_eq!(records.failed_tests(), ["b: 1 != 2"]);
        assert_eq!((records.done, records.tsc_hz()), (Some(true), Some(2e9)));
        assert_eq!(records.broken.len(), 1);
    }

    #[test]
    fn half_records_are_broken_ones() {
        let records =
            Records::parse("{\"event\":\"metric\",\"name\":\"x\"}\n{\"a\":1}\n{\"event\":3}");
        assert_eq!(records.broken.len(), 3);
        assert_eq!(Records::parse("nothing").broken.len(), 0);
    }
}
