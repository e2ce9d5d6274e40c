//! Several probes at once: all are set up and warm before any starts, and all start at the same
//! tick. Each counts its operations in windows at the same times; the rate of a window is the sum.

use alloc::format;
use alloc::vec::Vec;

use bench::abi::metric::{Metric, Unit};
use bench::abi::start::tag;
use bench::abi::{Error, Rights};
use bench::catalogue::WINDOWS;
use bench::measure::per_second;
use bench::probe::{GO, READY, RESULT, SERVER};
use bench::runtime::capability::{Endpoint, Notification, Process};
use bench::runtime::{calls, clock};

use crate::{PATIENCE_NS, Suite, finished};

/// Nanoseconds of a window.
const WINDOW_NS: u64 = 50_000_000;
/// The same in a hurry.
const WINDOW_QUICK_NS: u64 = 20_000_000;
/// Nanoseconds from the last probe's readiness to the common start.
const HEAD_START_NS: u64 = 5_000_000;

/// Nanoseconds between two looks whether a probe has died.
const LOOK_NS: u64 = 200_000_000;

/// Runs one probe of `figure` on each entry of `cores` and publishes their common rate as `name`.
pub fn rate(
    suite: &Suite,
    figure: &str,
    name: &str,
    cores: &[u32],
    server: Option<&Endpoint>,
) -> Result<(), Error> {
    let (ready, result) = (Notification::create()?, Endpoint::create()?);
    let window_ns = if suite.quick { WINDOW_QUICK_NS } else { WINDOW_NS };
    let window = format!("window_ns={window_ns}");
    let mut probes: Vec<(Process, Notification)> = Vec::with_capacity(cores.len());
    let outcome = (|| {
        for (slot, core) in cores.iter().enumerate() {
            let slot = format!("slot={slot}");
            let go = Notification::create()?;
            let give = Rights::TRANSFER;
            let mut command = suite
                .command(figure, *core)?
                .arg(&window)
                .arg(&slot)
                .arg("budget_ms=20")
                .give(READY, ready.duplicate(Rights::SEND | give)?)
                .give(GO, go.duplicate(Rights::RECEIVE | give)?)
                .give(RESULT, result.duplicate(Rights::SEND | give)?);
            if let Some(server) = server {
                command = command.give(SERVER, server.duplicate(Rights::SEND | give)?);
            }
            probes.push((command.spawn()?, go));
        }
        measure(&ready, &result, &probes)
    })();
    let outcome = outcome.and_then(|counts| {
        probes.iter().try_for_each(|(probe, _)| finished(probe))?;
        publish(suite, name, &counts, clock::ticks_in(window_ns))
    });
    if outcome.is_err() {
        for (probe, _) in &probes {
            // Those that ended by themselves need no killing.
            let _ = probe.kill();
        }
    }
    outcome
}

/// Starts them all at one tick and adds their counts up.
fn measure(
    ready: &Notification,
    result: &Endpoint,
    probes: &[(Process, Notification)],
) -> Result<[u64; WINDOWS], Error> {
    all(ready, probes)?;
    let start = clock::ticks() + clock::ticks_in(HEAD_START_NS);
    for (_, go) in probes {
        go.signal(start)?;
    }
    all(ready, probes)?;
    let mut counts = [0; WINDOWS];
    for _ in probes {
        let (_, message) = result.receive()?;
        for (count, more) in counts.iter_mut().zip(message.words) {
            *count += more;
        }
    }
    Ok(counts)
}

/// Waits until all of them have told something; no longer if one is dead.
fn all(ready: &Notification, probes: &[(Process, Notification)]) -> Result<(), Error> {
    let everybody = u64::MAX >> (64 - probes.len().clamp(1, 64));
    let (begun, _) = calls::clock()?;
    let mut seen = 0;
    while seen != everybody {
        let (now, _) = calls::clock()?;
        match ready.wait_until(now + LOOK_NS) {
            Ok(told) => seen |= told,
            Err(Error::TimedOut) => {
                let is_dead = probes.iter().any(|(probe, _)| probe.wait_until(0).is_ok());
                if is_dead || now > begun + PATIENCE_NS {
                    return Err(if is_dead { Error::PeerGone } else { Error::TimedOut });
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn publish(suite: &Suite, name: &str, counts: &[u64], window: u64) -> Result<(), Error> {
    let mut rates: Vec<u64> =
        counts.iter().map(|count| per_second(*count, window, suite.env.tsc_hz)).collect();
    let metric = Metric::of(name, Metric::ALL_CORES, Unit::PerSecond, &mut rates)
        .ok_or(Error::InvalidArgument)?;
    let report = suite.env.handle(tag::REPORT).ok_or(Error::BadHandle)?;
    calls::report(report, &metric.encode())
}
