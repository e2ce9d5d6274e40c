//! A bad line: what arrives is what was sent, whatever happens to frames on the way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{MIB, configured, status_page};
use crate::network::capture::Capture;
use crate::network::curl::{self, Connections};
use crate::network::stage::Stage;
use crate::network::weather::Weather;
use crate::network::{namespace, traffic};

const TIME: Duration = Duration::from_secs(90);

const CALM: Weather =
    Weather { lost: 0, doubled: 0, damaged: 0, detoured: 0, delay: Duration::ZERO };

/// Chances are out of ten thousand.
const WEATHERS: &[(&str, Weather)] = &[
    ("lost", Weather { lost: 100, ..CALM }),
    ("doubled", Weather { doubled: 1000, ..CALM }),
    ("out of order", Weather { detoured: 500, ..CALM }),
    ("damaged", Weather { damaged: 200, ..CALM }),
    ("late", Weather { delay: Duration::from_millis(20), ..CALM }),
    (
        "all of it",
        Weather {
            lost: 100,
            doubled: 300,
            damaged: 100,
            detoured: 300,
            delay: Duration::from_millis(2),
        },
    ),
];

/// In each kind of weather: files both ways, an echo, requests; with an address from the command
/// line.
pub fn bad_weather(stage: &mut Stage) -> Result<()> {
    let dir = stage.dir.clone();
    let capture = Capture::start(stage.session.monitor()?, 0, &dir)?;
    configured(stage, "command line")?;
    status_page(stage)?;
    for (name, weather) in WEATHERS {
        stage.note(&format!("frames {name}"));
        stage.relay()?.set_weather(*weather);
        stormy(stage).with_context(|| format!("frames {name}"))?;
    }
    stage.relay()?.set_weather(CALM);
    capture.stop(stage.session.monitor()?)?;
    let counts = stage.relay()?.counts();
    for counts in counts {
        let all = [counts.lost, counts.doubled, counts.damaged, counts.detoured];
        ensure!(all.iter().all(|count| *count > 0), "the weather was too fine: {counts:?}");
    }
    let [from, to] = counts.map(|counts| counts.passed);
    stage.remark(format!("{from} frames from and {to} to the guest"));
    status_page(stage)
}

fn stormy(stage: &mut Stage) -> Result<()> {
    stage.guest_fetches(4, MIB, TIME)?;
    stage.guest_uploads("/storm", MIB, TIME)?;
    traffic::echo(&namespace::guest(0), MIB / 2)?;
    let url = format!("{}/status.json", stage.guest_url);
    curl::many(&url, 20, 4, Connections::Fresh, TIME)
}
