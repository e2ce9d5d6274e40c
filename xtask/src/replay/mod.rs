//! `cargo xtask replay`: what a machine's log comes to, on any machine.
//!
//! A log is read where it lies ([`source`], [`raw`]; [`foreign`] is what holds none), followed record
//! by record and held against what the kernel said ([`walk`]) and against another log ([`against`]):
//! that comes to a [`verdict`]. The state it leads to is shown as text (the kernel's own,
//! [`protocols::axiom::show`]), as [`json`] or as a [`graph`]; [`output`] is where.
//! Nothing is ever written to a log.

mod against;
mod foreign;
mod graph;
mod json;
pub mod options;
mod output;
mod raw;
mod source;
#[cfg(test)]
mod tests;
mod verdict;
mod walk;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use protocols::axiom::Record;
use protocols::axiom::show::{Count, Overview};

use options::ReplayOptions;
use output::Output;
use source::Log;
use verdict::Verdict;
use walk::{Report, Walk};

/// `cargo xtask replay`.
pub fn run(options: &ReplayOptions) -> Result<ExitCode> {
    let (output, agrees) = replay(options)?;
    output::print(&mut std::io::stdout(), &output.out)?;
    output::print(&mut std::io::stderr(), &output.err)?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is to be printed, and whether nothing contradicts.
fn replay(options: &ReplayOptions) -> Result<(Output, bool)> {
    let image = options.image.as_deref().context("which log?")?;
    output::spares_inputs(options)?;
    let log = open(image)?;
    let reports = options.log.as_deref().map(reports).transpose()?.unwrap_or_default();
    let name = || image.display().to_string();
    let walk = walk::walk(&log, options.at, &reports).with_context(name)?;
    let mut verdict = Verdict::of(&log, &walk);
    if let Some(expected) = options.expect {
        match walk::expected(&log, &walk.at, expected) {
            Ok(()) => verdict.notes.push("the hash is the expected one".to_owned()),
            Err(why) => {
                verdict.is_unexpected = true;
                verdict.complaints.push(why);
            }
        }
    }
    if let Some(other) = &options.against {
        hold_against((image, &log), other, &mut verdict)?;
    }
    if let Some(path) = &options.save {
        save(&log, &walk, path, &mut verdict)?;
    }
    let mut output = Output::default();
    if options.list {
        list(&log, &walk, options, &mut output).with_context(name)?;
    } else {
        show(options, &walk, &verdict, &mut output)?;
    }
    output.say(verdict.lines(image, &log, &walk));
    let is_shown = [&options.json, &options.dot, &options.svg, &options.save];
    if !options.list && is_shown.iter().all(|path| path.is_none()) {
        output.out.push_str(&format!("\n{}", Overview(walk.at.state())));
    }
    Ok((output, verdict.complaints.is_empty()))
}

fn open(path: &Path) -> Result<Log> {
    Log::open(path).with_context(|| path.display().to_string())
}

fn reports(path: &Path) -> Result<Vec<Report>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reports: Vec<Report> =
        String::from_utf8_lossy(&bytes).lines().filter_map(Report::parse).collect();
    anyhow::ensure!(
        !reports.is_empty(),
        "{} has no line `commits: epoch E, N records, chain H, state S`",
        path.display()
    );
    Ok(reports)
}

/// Compares `log` with the one in `other`, which is verified as well: two logs may be the same up to
/// where one of them was tampered with.
fn hold_against((image, log): (&Path, &Log), other: &Path, verdict: &mut Verdict) -> Result<()> {
    let (name, there) = (other.display(), open(other)?);
    let walk = walk::walk(&there, None, &[])?;
    let warnings = verdict::warnings(&there);
    verdict.warnings.extend(warnings.iter().map(|warning| format!("{name}: {warning}")));
    match against::compare((image, log), (other, &there)) {
        Ok(note) => verdict.notes.push(note),
        Err(diverged) => verdict.complaints.push(format!("{name}: {diverged}")),
    }
    if let Some(walk::Diverged { sequence, why }) = walk.damage {
        let damaged = format!("{name}: the log is damaged at record {sequence}: {why}");
        verdict.complaints.push(damaged);
    }
    Ok(())
}

/// Writes the records to a file, unless they are not all: it could not tell.
fn save(log: &Log, walk: &Walk, path: &Path, verdict: &mut Verdict) -> Result<()> {
    if walk.damage.is_some() {
        let why = "not written: a file of records cannot say that its log is damaged";
        verdict.complaints.push(format!("{}: {why}", path.display()));
        return Ok(());
    }
    output::save(path, &raw::write(&log.beginning, &log.records)?)?;
    let records = Count(log.records.len() as u64, "record");
    verdict.notes.push(format!("{}: {records} written", path.display()));
    Ok(())
}

/// Shows the state in the ways that were asked for.
fn show(
    options: &ReplayOptions,
    walk: &Walk,
    verdict: &Verdict,
    output: &mut Output,
) -> Result<()> {
    let state = walk.at.state();
    if let Some(path) = &options.json {
        let value = json::state(&walk.at, &verdict.json(walk));
        output.put(path, &(serde_json::to_string_pretty(&value)? + "\n"))?;
    }
    if let Some(path) = &options.dot {
        output.put(path, &graph::dot(state))?;
    }
    if let Some(path) = &options.svg {
        output.put(path, &graph::svg(state)?)?;
    }
    Ok(())
}

/// The commits themselves, one a line.
fn list(log: &Log, walk: &Walk, options: &ReplayOptions, output: &mut Output) -> Result<()> {
    let (from, to) = (options.from.unwrap_or(0), options.to.unwrap_or(u64::MAX));
    let beyond = options.from.filter(|from| *from >= log.end());
    if let Some(at) = beyond.or(options.to.filter(|to| *to < log.beginning.next())) {
        bail!(walk::unreachable(log, walk.damage.as_ref(), at));
    }
    let mut lines = String::new();
    for (sequence, bytes) in (log.beginning.next()..).zip(&log.records) {
        if !(from..=to).contains(&sequence) {
            continue;
        }
        let line = match (Record::decode(bytes), &options.json) {
            (Ok(record), Some(_)) => json::record(&record).to_string(),
            (Ok(record), None) => record.to_string(),
            (Err(error), Some(_)) => json::malformed(sequence, bytes, &error).to_string(),
            (Err(_), None) => format!("{sequence:>6}{}", against::shown(bytes)),
        };
        lines += &line;
        lines.push('\n');
    }
    match &options.json {
        Some(path) => output.put(path, &lines),
        None => {
            output.data(&lines);
            Ok(())
        }
    }
}
