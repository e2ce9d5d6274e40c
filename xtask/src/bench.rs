//! `cargo xtask bench`: boots, measures, publishes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::boot::{self, Echo, Ended, SUCCESS};
use crate::drives::{self, Cache, Drive, Image, Port};
use crate::medium;
use crate::metrics::{self, Metric};
use crate::network;
use crate::options::Options;
use crate::process;
use crate::progress::{self, Timed};
use crate::qemu::{Console, DISK, Execution, Machine};
use crate::records::Records;
use crate::report;
use crate::run::{self, Parts};
use crate::setup::{self, Emulator};
use crate::workspace::Workspace;

const LIMIT: Duration = Duration::from_secs(900);
/// Instructions are counted on one thread, firmware included.
const ICOUNT_LIMIT: Duration = Duration::from_secs(3600);
/// Size of the disks measured.
const DISK_BYTES: u64 = 256 << 20;
const HOST_LIMIT: Duration = Duration::from_secs(1800);

/// `cargo xtask bench`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let emulator = setup::emulator()?;
    let parts = run::parts(workspace, options)?;
    let own =
        options.filter.as_ref().is_none_or(|filter| !filter.starts_with(network::bench::PREFIX));
    let own = own.then(|| measure(workspace, &emulator, &parts, options)).transpose()?;
    let peered = network::bench::measure(workspace, &parts, options)?;
    let all = [own, peered].into_iter().flatten().collect::<Vec<_>>();
    let Some(Measured { machine, records, .. }) = all.first() else {
        bail!("nothing could be measured");
    };
    let machine = description(workspace, &emulator, machine, records, &parts.loader.to_string());
    let mut metrics: Vec<Metric> = all.into_iter().flat_map(|measured| measured.metrics).collect();
    if options.host {
        metrics.extend(on_host(workspace, options)?);
    }
    if let Some(filter) = &options.filter {
        metrics.retain(|metric| metric.name.starts_with(filter.as_str()));
    }
    if metrics.is_empty() {
        bail!(
            "no figures{}",
            options.filter.as_ref().map_or(String::new(), |f| format!(" named {f}…"))
        );
    }
    println!("\n{}", metrics::table(&metrics));
    let document = metrics::document(&machine, &metrics);
    let dir = workspace.target("bench")?;
    let name = if options.icount { "icount" } else { "bench" };
    let json = dir.join(format!("{name}.json"));
    let html = dir.join(format!("{name}.html"));
    let text = serde_json::to_string_pretty(&document)? + "\n";
    fs::write(&json, &text)?;
    fs::write(&html, report::page(&machine, &metrics))?;
    if let Some(path) = &options.json {
        fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("report: {}\nJSON:   {}", html.display(), json.display());
    Ok(ExitCode::SUCCESS)
}

/// What came of a boot that measures.
pub struct Measured {
    /// Where it ran.
    pub machine: Machine,
    /// What the kernel reported.
    pub records: Records,
    /// The figures of that.
    pub metrics: Vec<Metric>,
}

/// Boots once and takes all figures but the network's.
fn measure(
    workspace: &Workspace,
    emulator: &Emulator,
    parts: &Parts,
    options: &Options,
) -> Result<Measured> {
    let folder = run::folder(workspace, "bench")?;
    let mut machine = Machine::by_options(options, Console::Pipe, folder.path.clone())?;
    machine.drives = disks(&machine.dir)?;
    let names: Vec<String> = drives::named(&machine.drives).map(|(name, _)| name).collect();
    let names = names.join(",");
    let (measured, writable) = (format!("bench.disk={names}"), format!("disk.write={names}"));
    let prefix = options.filter.as_ref().map(|filter| format!("bench.filter={filter}"));
    let mut words = vec!["headless", "exit=qemu", &measured, &writable];
    words.extend(prefix.as_deref());
    words.extend(options.icount.then_some("icount"));
    let line = medium::command_line(options, &words);
    medium::write(&machine.dir.join(DISK), &parts.built, &parts.loader, &line)?;
    machine.announce(&parts.loader);
    let default = if options.icount { ICOUNT_LIMIT } else { LIMIT };
    let limit = options.timeout.unwrap_or(default);
    let outcome = boot::boot(&machine, emulator, limit, Echo::Shown, &[], &|_| false)?;
    for drive in &machine.drives {
        drive.remove();
    }
    if outcome.ended != Ended::Status(SUCCESS) {
        bail!("the benchmark did not end well: {}", outcome.last_words(20));
    }
    let records = Records::parse(&outcome.records);
    for line in &records.broken {
        progress::warning(format!("not a record: {line}"));
    }
    let metrics = metrics::published(&records, machine.execution.mode())?;
    Ok(Measured { machine, records, metrics })
}

/// What is measured: for NVMe and for AHCI a disk that keeps nothing, where what is left is QEMU's
/// emulation and the kernel, and a file, where the host's own disk is added.
fn disks(dir: &Path) -> Result<Vec<Drive>> {
    let all = [
        (Port::Nvme(1, 1), Image::Null { bytes: DISK_BYTES }),
        (Port::Nvme(2, 1), file(dir.join("nvme.img"))?),
        (Port::Ahci(0), Image::Null { bytes: DISK_BYTES }),
        (Port::Ahci(1), file(dir.join("ahci.img"))?),
    ];
    Ok(all.map(|(port, image)| Drive { port, block: 512, image, properties: "" }).into())
}

/// A file that is written to its end, so that reads find data rather than holes, and not cached if
/// its file system can do without.
fn file(path: PathBuf) -> Result<Image> {
    let context = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).with_context(context)?;
    let mut bytes = vec![0; 1 << 20];
    for at in (0..DISK_BYTES).step_by(bytes.len()) {
        protocols::pattern::fill(1, at, &mut bytes);
        file.write_all(&bytes).with_context(context)?;
    }
    file.sync_all().with_context(context)?;
    let cache = Cache::least(&path);
    Ok(Image::File { path, cache, faults: &[] })
}

/// What the figures were taken on.
fn description(
    workspace: &Workspace,
    emulator: &Emulator,
    machine: &Machine,
    records: &Records,
    loader: &str,
) -> Value {
    let asked = |command: &mut Command| {
        process::output(command, Duration::from_secs(20))
            .and_then(|text| text.lines().next().map(|line| line.trim().to_owned()))
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let boot = records.boot.clone().unwrap_or(Value::Null);
    let accelerator = match machine.execution {
        Execution::Kvm => "kvm",
        Execution::Tcg => "tcg,thread=multi",
        Execution::Icount => "tcg,thread=single -icount shift=2",
    };
    json!({
        "kernel": boot["version"],
        "commit": asked(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace.root())),
        "cores": machine.cores,
        "memory_mib": machine.memory,
        "accelerator": accelerator,
        "tsc_hz": boot["tsc_hz"],
        "loader": loader.split(" (").next(),
        "emulator": asked(Command::new(&emulator.qemu).arg("--version")),
        "file_disks": machine.drives.iter().find_map(Drive::cached),
        "host_cpu": cpu_model(&cpuinfo),
        "host_cores": std::thread::available_parallelism().map_or(1, usize::from),
    })
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

/// The executor natively, beside its peers: the bench writes records like the kernel's.
fn on_host(workspace: &Workspace, options: &Options) -> Result<Vec<Metric>> {
    if !workspace.root().join("executor/benches").is_dir() {
        bail!("--host: there is no executor/benches here");
    }
    let timed = Timed::begin("measuring the executor on the host (cargo bench -p executor)");
    let records = workspace.target("bench")?.join("host.jsonl");
    let _ = fs::remove_file(&records);
    let mut command = Command::new("cargo");
    command.args(["bench", "--package", "executor", "--bench", "wake", "--target-dir"]);
    command.arg(workspace.target("host")?).args(["--", "--json"]).arg(&records);
    command.current_dir(workspace.root());
    process::run_checked("cargo bench", &mut command, HOST_LIMIT)?;
    timed.end();
    let text = fs::read_to_string(&records).context("the bench wrote no records")?;
    let metrics = metrics::published(&Records::parse(&text), "host")?;
    let wanted = |metric: &Metric| {
        options.filter.as_ref().is_none_or(|filter| metric.name.starts_with(filter.as_str()))
    };
    Ok(metrics.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_a_name() {
        assert_eq!(cpu_model("a: b\nmodel name\t: Fast CPU\n"), Some("Fast CPU"));
        assert_eq!(cpu_model(""), None);
    }
}
