//! `cargo xtask soak`: the boots of `test` and the benchmark over and over, varied by a seed,
//! until the time is up. Failures are counted and their logs kept.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::boots::{self, Boot, Mutation};
use crate::expect::Expect;
use crate::network::{self, boots::NetBoot};
use crate::options::Options;
use crate::progress;
use crate::qemu::{COMPLAINTS, RECORDS, SERIAL};
use crate::test::{self, Tally};
use crate::trial::Verdict;
use crate::workspace::Workspace;

/// Virtual CPUs of a round, by its seed.
const CORES: [u32; 7] = [4, 1, 2, 3, 8, 6, 5];

const DEFAULT: Duration = Duration::from_secs(3600);

/// `cargo xtask soak`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let end = Instant::now() + options.duration.unwrap_or(DEFAULT);
    let wanted = |boot: &&Boot| {
        options.filter.as_ref().is_none_or(|filter| boot.name.contains(filter.as_str()))
    };
    let boots: Vec<&Boot> = boots::all().filter(wanted).collect();
    let network = network::boots::BOOTS.iter().filter(|boot| {
        options.filter.as_ref().is_none_or(|filter| boot.name.contains(filter.as_str()))
    });
    let network: Vec<&NetBoot> = network.collect();
    if boots.is_empty() && network.is_empty() {
        bail!("no boot's name contains `{}`", options.filter.as_deref().unwrap_or_default());
    }
    let mut bench = test::ready(workspace, options)?;
    let mut tally = Tally::default();
    let kept = workspace.target("soak")?;
    for seed in options.seed.. {
        for boot in &boots {
            if Instant::now() >= end {
                return Ok(tally.close());
            }
            let varied = vary(boot, seed);
            let words = format!("seed={seed}");
            progress::step(format!(
                "seed {seed}: {}, {} cores, {} MiB; {} min left",
                boot.name,
                varied.cores,
                varied.memory,
                end.saturating_duration_since(Instant::now()).as_secs().div_ceil(60),
            ));
            let start = Instant::now();
            let verdict = bench.carry_out(&varied, &words);
            let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
            let name = format!("{}.seed-{seed}", boot.name);
            if let Verdict::Failed(why) = &verdict {
                keep(workspace, boot.name, &kept.join(&name), why)?;
            }
            tally.note(&name, &verdict, start);
        }
        for boot in &network {
            if Instant::now() >= end {
                return Ok(tally.close());
            }
            let varied = boot.varied(CORES[(seed % 7) as usize], seed as usize);
            let cards: Vec<&str> = varied.cards.iter().map(|model| model.name()).collect();
            let (cards, cores) = (cards.join(", "), varied.cores);
            progress::step(format!("seed {seed}: {}, {cores} cores, {cards}", boot.name));
            let start = Instant::now();
            let verdict = network::carry_out(&mut bench, &varied);
            let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
            let name = format!("{}.seed-{seed}", boot.name);
            if let Verdict::Failed(why) = &verdict {
                keep(workspace, boot.name, &kept.join(&name), why)?;
            }
            tally.note(&name, &verdict, start);
        }
    }
    Ok(tally.close())
}

/// The same boot with other cores and memory. What is about a certain size stays at that size.
fn vary(boot: &Boot, seed: u64) -> Boot {
    let mut varied = *boot;
    let fixed = matches!(boot.mutation, Mutation::Ballast(_))
        || matches!(boot.expect, Expect::Says(_))
        || boot.memory < 512;
    if !fixed && seed > 1 {
        varied.memory = [512, 128, 256, 1024, 3072, 6144][(seed % 6) as usize];
        let cores = CORES[(seed % 7) as usize];
        // What is measured between cores needs two of them.
        varied.cores = if boot.metrics.len() > 2 { cores.max(2) } else { cores };
        varied.limit = boot.limit * 2;
    }
    varied
}

/// Copies the logs of a failed run to where the next doesn't overwrite them.
fn keep(workspace: &Workspace, name: &str, to: &Path, why: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::write(to.join("why.txt"), why)?;
    let from = workspace.target("run")?.join(name);
    for file in [SERIAL, RECORDS, COMPLAINTS] {
        let _ = fs::copy(from.join(file), to.join(file));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_vary_what_may_vary() {
        let find = |name: &str| *boots::all().find(|boot| boot.name == name).unwrap();
        let plain = find("kernel-tests.4-cores");
        assert_eq!((vary(&plain, 1).cores, vary(&plain, 1).memory), (4, 512));
        assert_ne!((vary(&plain, 8).cores, vary(&plain, 8).memory), (4, 512));
        let small = find("bench.128-mib");
        assert_eq!(vary(&small, 9).memory, 128);
        let pairs = find("bench.4-cores");
        assert!((1..50).all(|seed| vary(&pairs, seed).cores >= 2));
    }
}
