//! `cargo xtask results`: reads what a machine without a serial line left on its boot medium.
//!
//! The kernel writes the events it would tell COM2 to a partition of our own type
//! ([`protocols::results`]). This reads them from a disk or an image, never writing to either, and
//! publishes them as `bench` does.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use protocols::results::{HEADER_BYTES, PARTITION_NAME, PARTITION_TYPE};
use serde_json::{Value, json};

use crate::metrics::{self, Metric};
use crate::options::Options;
use crate::partitions::{self, Partition};
use crate::progress;
use crate::records::Records;

/// A partition is read up to this many bytes.
const MOST: u64 = 64 << 20;

/// `cargo xtask results`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let disk = options.disk.as_ref().context("which disk? `cargo xtask results DISK`")?;
    let (machine, metrics) = read(disk).with_context(|| disk.display().to_string())?;
    match &options.json {
        Some(path) => {
            let document = metrics::document(&machine, &metrics);
            let text = serde_json::to_string_pretty(&document)? + "\n";
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("JSON: {}", path.display());
        }
        None => println!("{}", metrics::table(&metrics)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The machine and its figures, as published.
pub fn read(disk: &Path) -> Result<(Value, Vec<Metric>)> {
    let mut file = File::open(disk).context("cannot open it")?;
    published(&text(&mut file)?)
}

/// The text on the partition for results.
fn text(disk: &mut (impl Read + Seek)) -> Result<String> {
    let partition = partition(disk)?;
    let bytes = partitions::read_at(disk, partition.start, partition.bytes.min(MOST))?;
    Ok(protocols::results::read(&bytes).map_err(|e| anyhow!("{e}"))?.to_owned())
}

fn partition(disk: &mut (impl Read + Seek)) -> Result<Partition> {
    let found = partitions::find(disk, PARTITION_TYPE)?;
    let partition =
        found.first().with_context(|| format!("it has no partition `{PARTITION_NAME}`"))?;
    if partition.bytes < HEADER_BYTES as u64 {
        bail!("its partition `{PARTITION_NAME}` is too small");
    }
    Ok(*partition)
}

fn published(text: &str) -> Result<(Value, Vec<Metric>)> {
    let records = Records::parse(text);
    for line in &records.broken {
        progress::warning(format!("not a record: {line}"));
    }
    let boot = records.boot.clone().context("the results do not say what kernel they are of")?;
    let machine = records.machine.clone().unwrap_or(Value::Null);
    let mode = machine["mode"].as_str().unwrap_or("host");
    let metrics = metrics::published(&records, mode)?;
    if metrics.is_empty() {
        bail!("the results hold no figure");
    }
    let machine = json!({
        "kernel": boot["version"],
        "cores": boot["cores"],
        "memory_mib": machine["memory_mib"],
        "accelerator": machine["hypervisor"],
        "tsc_hz": boot["tsc_hz"],
        "host_cpu": machine["cpu"],
    });
    Ok((machine, metrics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{self, Entry};
    use crate::records;
    use std::io::{SeekFrom, Write};

    fn with_image(test: impl FnOnce(&mut File, &Path)) {
        let unique = format!("{:?}-{}", std::thread::current().id(), std::process::id());
        let path = std::env::temp_dir().join(format!("xtask-results-{unique}.img"));
        image::write(&path, &[Entry::new("limine.conf", *b"timeout: 0\n")]).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        test(&mut file, &path);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_image_that_was_never_booted_says_so() {
        with_image(|_, path| {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains("nothing was ever written"), "{error}");
        });
    }

    #[test]
    fn what_the_kernel_writes_is_published() {
        with_image(|file, path| {
            let Partition { start, bytes, .. } = partition(file).unwrap();
            assert_eq!((start % (1 << 20), bytes), (0, 4 << 20));
            let machine =
                r#"{"event":"machine","mode":"tcg","cpu":"C","hypervisor":"H","memory_mib":7}"#;
            let text = format!("{machine}\n{}", records::tests::SAMPLE);
            file.seek(SeekFrom::Start(start)).unwrap();
            file.write_all(&protocols::results::header(text.as_bytes()).unwrap()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let (machine, metrics) = read(path).unwrap();
            assert_eq!((&machine["host_cpu"], &machine["cores"]), (&json!("C"), &json!(2)));
            let null = metrics.iter().find(|metric| metric.name == "syscall.null").unwrap();
            assert_eq!((null.median(), null.mode.as_str()), (200.0, "tcg"));
            assert!(image::read(path, "limine.conf").unwrap().is_some(), "the rest is untouched");
            file.seek(SeekFrom::Start(512)).unwrap();
            file.write_all(b"#").unwrap();
            assert!(read(path).is_ok(), "by the backup table");
            file.seek(SeekFrom::Start(start + 40)).unwrap();
            file.write_all(b"#").unwrap();
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        });
    }

    #[test]
    fn disks_without_results_are_told_apart() {
        let mut empty = std::io::Cursor::new(vec![0; 1 << 20]);
        assert!(text(&mut empty).unwrap_err().to_string().contains("no GUID partition table"));
        assert!(text(&mut std::io::Cursor::new(vec![0; 3])).is_err());
        assert!(published("{\"event\":\"boot\",\"tsc_hz\":1}").is_err());
    }
}
