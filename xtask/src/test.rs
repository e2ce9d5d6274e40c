//! `cargo xtask test`: lint, host steps and boots, each with a time limit, one line each; the
//! last line is `N passed, N failed`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::boots::{self, Boot};
use crate::build;
use crate::lint::{self, Severity};
use crate::network::{self, boots::NetBoot};
use crate::options::Options;
use crate::power::{self, LogTest};
use crate::progress;
use crate::setup;
use crate::steps::{Done, Step};
use crate::trial::{Bench, Verdict};
use crate::workspace::Workspace;

/// Anything that is tested.
enum Test {
    Lint,
    Step(Step),
    Boot(&'static Boot),
    Network(&'static NetBoot),
    Log(&'static LogTest),
}

/// Sums up as it goes along.
#[derive(Default)]
pub struct Tally {
    passed: u32,
    /// Names of what failed.
    failed: Vec<String>,
    skipped: u32,
}

impl Tally {
    /// Notes and prints how `name` went.
    pub fn note(&mut self, name: &str, verdict: &Verdict, start: Instant) {
        let took = start.elapsed().as_secs_f64();
        let remark = |text: &str| if text.is_empty() { String::new() } else { format!(", {text}") };
        match verdict {
            Verdict::Passed(text) => {
                self.passed += 1;
                println!("   ok ({took:.0} s{})", remark(text));
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                println!("   skipped: {why}");
            }
            Verdict::Failed(why) => {
                self.failed.push(name.to_owned());
                println!("   FAILED {name} ({took:.0} s): {}", why.trim_end());
            }
        }
        let _ = std::io::stdout().flush();
    }

    /// The names of failures, then the line that machines read.
    pub fn close(&self) -> ExitCode {
        if self.skipped > 0 {
            println!("{} skipped", self.skipped);
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{}", self.line());
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// `cargo xtask test`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut tests = vec![("lint".to_owned(), Test::Lint)];
    let steps = Step::all(workspace);
    tests.extend(steps.into_iter().map(|(name, step)| (name, Test::Step(step))));
    tests.extend(boots::all().map(|boot| (format!("boot.{}", boot.name), Test::Boot(boot))));
    let network = network::boots::BOOTS.iter();
    tests.extend(network.map(|boot| (format!("boot.{}", boot.name), Test::Network(boot))));
    let logs = power::TESTS.iter();
    tests.extend(logs.map(|test| (format!("boot.{}", test.name), Test::Log(test))));
    if let Some(filter) = &options.filter {
        tests.retain(|(name, _)| name.contains(filter.as_str()));
        if tests.is_empty() {
            anyhow::bail!(
                "no step's name contains `{filter}`; `cargo xtask test --list` names them"
            );
        }
    }
    if options.list {
        for (name, _) in &tests {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = Tally::default();
    let mut bench = None;
    let count = tests.len();
    for (number, (name, test)) in tests.iter().enumerate() {
        let boots = matches!(test, Test::Boot(_) | Test::Network(_) | Test::Log(_));
        if boots && bench.is_none() {
            bench = Some(ready(workspace, options).map_err(|error| format!("{error:#}")));
        }
        progress::step(format!("[{}/{count}] {name}", number + 1));
        let start = Instant::now();
        let verdict = match (test, &mut bench) {
            (Test::Boot(boot), Some(Ok(bench))) => bench.carry_out(boot, ""),
            (Test::Network(boot), Some(Ok(bench))) => network::carry_out(bench, boot),
            (Test::Log(test), Some(Ok(bench))) => power::carry_out(bench, test),
            (Test::Boot(_) | Test::Network(_) | Test::Log(_), Some(Err(why))) => {
                Ok(Verdict::Failed(why.clone()))
            }
            (Test::Step(step), _) => step.carry_out(workspace, name).map(|done| match done {
                Done::Passed(text) => Verdict::Passed(text),
                Done::Skipped(why) => Verdict::Skipped(why),
            }),
            (Test::Lint, _) => lint(workspace),
            (Test::Boot(_) | Test::Network(_) | Test::Log(_), None) => {
                unreachable!("boots were made ready above")
            }
        };
        let verdict = verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
        tally.note(name, &verdict, start);
    }
    Ok(tally.close())
}

/// Sets up and builds what boots need.
pub fn ready<'a>(workspace: &'a Workspace, options: &'a Options) -> Result<Bench<'a>> {
    let emulator = setup::for_tests()?;
    let built = build::build(workspace, options.kernel.as_deref())?;
    Ok(Bench::new(workspace, emulator, built, options))
}

fn lint(workspace: &Workspace) -> Result<Verdict> {
    let breaches = lint::check(workspace)?;
    let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    if breaches.iter().any(|breach| breach.severity == Severity::Error) {
        return Ok(Verdict::Failed(lines.join("\n")));
    }
    Ok(Verdict::Passed(match lines.len() {
        0 => String::new(),
        count => format!("{count} warnings; `cargo xtask lint` shows them"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_machines_read() {
        let mut tally = Tally::default();
        tally.note("a", &Verdict::Passed(String::new()), Instant::now());
        tally.note("b", &Verdict::Skipped("x".to_owned()), Instant::now());
        tally.note("c", &Verdict::Passed("3 tests".to_owned()), Instant::now());
        assert_eq!(tally.line(), "2 passed, 0 failed");
        tally.note("d", &Verdict::Failed("why\n".to_owned()), Instant::now());
        assert_eq!(tally.line(), "2 passed, 1 failed");
    }
}
