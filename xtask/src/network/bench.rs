//! The network part of `bench`: one machine with a card of every model, each on a tap device of its
//! own, and this tool as the peer ([`super::traffic`]). The kernel takes the figures; the round trip is
//! also taken from the host, by ping.
//!
//! What came of it is in the folder of the run: the kernel's records, and those of the host.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::cards::{Cable, Card, Model};
use super::curl::{self, Trips};
use super::session::Session;
use super::{WORD, namespace, peers, traffic};
use crate::bench::Measured;
use crate::boot::{self, Echo, Ended, SUCCESS};
use crate::medium;
use crate::metrics;
use crate::options::{self, Command, Options};
use crate::process::Running;
use crate::progress;
use crate::qemu::{Console, DISK, Machine, RECORDS};
use crate::records::Records;
use crate::run::{self, Parts};
use crate::setup;
use crate::workspace::Workspace;

/// The name by which this tool is started in there.
pub const NAME: &str = "bench";
/// Figures are called so.
pub const PREFIX: &str = "net.";
/// Those that a program takes, through rings.
const FROM_RING3: [&str; 3] = ["ring3.ping_rtt", "ring3.udp_", "ring3.tcp_"];
const MODELS: [Model; 3] = Model::ALL;
/// Modes, and what they add to a figure's name.
const MODES: [(&str, &str); 3] = [("poll", ".poll"), ("msix", ".msix"), ("adaptive", "")];
const LIMIT: Duration = Duration::from_secs(900);
const ICOUNT_LIMIT: Duration = Duration::from_secs(3600);
/// Records of the host.
const HOST_RECORDS: &str = "host.jsonl";
const PINGS: u32 = 200;
const SOON: Duration = Duration::from_secs(60);

/// The network's figures; none where there is no private network, which is said.
pub fn measure(
    workspace: &Workspace,
    parts: &Parts,
    options: &Options,
) -> Result<Option<Measured>> {
    let filter = options.filter.as_deref().unwrap_or_default();
    if !(PREFIX.starts_with(filter) || filter.starts_with(PREFIX)) {
        return Ok(None);
    }
    let needed = ["ip", "ping"].map(|name| peers::find(name).map(drop));
    let possible = namespace::available().map(drop);
    if let Err(why) = needed.into_iter().collect::<Result<(), String>>().and(possible) {
        progress::warning(format!("the network is not measured: {why}"));
        return Ok(None);
    }
    let folder = run::folder(workspace, "bench.network")?;
    let line = medium::command_line(options, &words(options));
    medium::write(&folder.path.join(DISK), &parts.built, &parts.loader, &line)?;
    let _ = fs::remove_file(folder.path.join(HOST_RECORDS));
    let mut command = namespace::enter()?;
    command.args([WORD, NAME]).arg(&folder.path).args(flags(options)).stdin(Stdio::null());
    let child = Running::start(&mut command)?;
    let limit = limit(options) + SOON;
    let status = child.wait_until(Some(Instant::now() + limit))?;
    drop(child);
    let _ = fs::remove_file(folder.path.join(DISK));
    if !status.is_some_and(|status| status.success()) {
        bail!("the network could not be measured; all of it: {}", folder.path.display());
    }
    let read = |name: &str| fs::read_to_string(folder.path.join(name)).unwrap_or_default();
    let mut records = Records::parse(&read(RECORDS));
    records.metrics.retain(|metric| is_ours(&metric.name));
    records.metrics.extend(Records::parse(&read(HOST_RECORDS)).metrics);
    let machine = Machine::by_options(options, Console::Pipe, folder.path.clone())?;
    let mut metrics = metrics::published(&records, machine.execution.mode())?;
    metrics.retain(|metric| is_ours(&metric.name));
    Ok(Some(Measured { machine, records, metrics }))
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || FROM_RING3.iter().any(|prefix| name.starts_with(prefix))
}

fn limit(options: &Options) -> Duration {
    options.timeout.unwrap_or(if options.icount { ICOUNT_LIMIT } else { LIMIT })
}

/// What the kernel has to know, beside the user's words.
fn words(options: &Options) -> Vec<&'static str> {
    let mut words = vec![
        "net.ip=net0:192.0.2.10/24;net1:198.51.100.10/24;net2:203.0.113.10/24",
        "bench.net=192.0.2.1,198.51.100.1,203.0.113.1",
        "exit=qemu",
    ];
    if options.icount {
        words.extend(["headless", "icount", "bench.filter=net."]);
    }
    words
}

/// The flags that matter in there.
fn flags(options: &Options) -> Vec<OsString> {
    let mut flags = vec!["--memory".to_owned(), options.memory.to_string()];
    flags.extend(["--accel".to_owned(), options.accel.name().to_owned()]);
    if let Some(cores) = options.smp {
        flags.extend(["--smp".to_owned(), cores.to_string()]);
    }
    if options.icount {
        flags.push("--icount".to_owned());
    }
    if let Some(limit) = options.timeout {
        flags.extend(["--timeout".to_owned(), limit.as_secs().max(1).to_string()]);
    }
    let filter = options.filter.as_deref().filter(|filter| filter.starts_with(PREFIX));
    flags.extend(["--filter".to_owned(), filter.unwrap_or(PREFIX).to_owned()]);
    flags.into_iter().map(OsString::from).collect()
}

/// `xtask in-private-network bench FOLDER FLAGS…`.
pub fn inside(dir: &OsStr, flags: &[OsString]) -> Result<ExitCode> {
    let words = std::iter::once(OsString::from(NAME)).chain(flags.iter().cloned());
    let (command, options) = options::parse(words)?;
    if command != Command::Bench {
        bail!("{command:?} is no benchmark");
    }
    namespace::furnish(MODELS.len())?;
    for number in 0..MODELS.len() {
        traffic::offer(&namespace::host(number))?;
    }
    let dir = Path::new(dir);
    let mut machine = Machine::by_options(&options, Console::Pipe, dir.to_path_buf())?;
    let cards = MODELS.iter().enumerate();
    let cards = cards.map(|(number, model)| Card {
        model: *model,
        cable: Cable::FastTap(namespace::tap(number)),
    });
    machine.cards = cards.collect();
    let emulator = setup::emulator()?;
    let outcome = if options.icount {
        boot::boot(&machine, &emulator, limit(&options), Echo::Shown, &[], &|_| false)?
    } else {
        let mut session = Session::start(machine, &emulator)?;
        match drive(&mut session, &options, dir) {
            Ok(()) => session.leave(SOON)?,
            Err(error) => session.astray(format!("{error:#}")),
        }
    };
    if outcome.ended == Ended::Status(SUCCESS) {
        return Ok(ExitCode::SUCCESS);
    }
    if let Ended::Astray(why) = &outcome.ended {
        eprintln!("{why}");
    }
    eprintln!("{}", outcome.last_words(20));
    Ok(ExitCode::FAILURE)
}

/// Has the kernel measure, then pings it.
fn drive(session: &mut Session, options: &Options, dir: &Path) -> Result<()> {
    let filter = options.filter.as_deref().unwrap_or(PREFIX);
    progress::step(format!("measuring the network ({filter}…)"));
    let said = session.ask(&format!("bench {filter}"), limit(options))?;
    println!("{said}");
    if filter == PREFIX {
        let line = format!("run netio peer={} bench --net", namespace::host(0));
        println!("{}", session.ask(&line, limit(options))?);
    }
    let mut records = String::new();
    for (number, model) in MODELS.iter().enumerate() {
        traffic::quiet(&namespace::host(number))?;
        for (mode, suffix) in MODES {
            let name = format!("net.host_ping_rtt.{}{suffix}", model.name());
            if !name.starts_with(filter) {
                continue;
            }
            session.ask(&format!("net net{number} {mode}"), SOON)?;
            let guest = namespace::guest(number);
            let trips = curl::ping(&guest, PINGS, 56, Duration::from_millis(5))?;
            records.push_str(&record(&name, &trips));
        }
    }
    fs::write(dir.join(HOST_RECORDS), records).context("cannot write the host's figures")?;
    session.begin("poweroff")
}

/// A line as the kernel writes them.
fn record(name: &str, trips: &Trips) -> String {
    let [least, median, p99, most] = [0, 50, 99, 100].map(|of| trips.percentile(of));
    let record = json!({
        "event": "metric", "name": name, "core": null, "peer": null, "unit": "ns",
        "samples": trips.0.len(), "min": least, "median": median, "p99": p99, "max": most,
    });
    format!("{record}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_that_bench_understands() {
        let options = Options {
            smp: Some(2),
            timeout: Some(Duration::from_secs(9)),
            filter: Some("net.tcp".to_owned()),
            ..Options::default()
        };
        let words = std::iter::once(OsString::from(NAME)).chain(flags(&options));
        let (command, back) = options::parse(words).unwrap();
        assert_eq!((command, back.smp, back.memory), (Command::Bench, Some(2), options.memory));
        assert_eq!((back.timeout, back.filter), (options.timeout, options.filter));
        let other = Options { filter: Some("n".to_owned()), icount: true, ..Options::default() };
        let words = std::iter::once(OsString::from(NAME)).chain(flags(&other));
        let (_, back) = options::parse(words).unwrap();
        assert_eq!((back.icount, back.filter.as_deref()), (true, Some(PREFIX)));
    }

    #[test]
    fn the_hosts_records_are_like_the_kernels() {
        let trips = Trips(vec![1500.0, 2000.0, 3000.0]);
        let records = Records::parse(&record("net.host_ping_rtt.e1000", &trips));
        assert_eq!((records.metrics.len(), records.broken.len()), (1, 0));
        assert_eq!(records.metrics[0].values, [1500.0, 2000.0, 2000.0, 3000.0]);
    }
}
