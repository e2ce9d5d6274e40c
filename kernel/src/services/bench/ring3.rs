//! What a disk and the network cost a program: the ring-3 programs `blockio` and `netio` measure the
//! first disk of `bench.disk=` and the network towards the first peer of `bench.net=` through the
//! kernel's services, and report `ring3.…` themselves.

use super::{BenchError, Plan};
use crate::clock;
use crate::devices;
use crate::platform::Pollux;
use crate::services::console;
use crate::services::program::Program;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use drivers::storage::Writable;
use executor::Instant;
use hal::x86_64::time::clock::now;
use kernel_text::options::{Samples, Ticks};
use protocols::abi::ExitStatus;

/// The programs' names among the boot modules.
const DISK_PROGRAM: &str = "blockio";
const NETWORK_PROGRAM: &str = "netio";
/// What the figures' names begin with.
const PREFIX: &str = "ring3.";
/// Seconds each may take.
const PATIENCE_S: u64 = 60;

/// Takes their figures, where time is time and there is a disk or a peer to measure with.
pub async fn figures(plan: &Plan) -> Result<(), BenchError> {
    let filter = plan.filter.as_str();
    let wanted = PREFIX.starts_with(filter) || filter.starts_with(PREFIX);
    if !wanted || plan.ticks == Ticks::Instructions {
        return Ok(());
    }
    let first = |key| {
        let words = hal::boot::info().command_line.value(key).unwrap_or_default();
        words.split(',').next().filter(|word| !word.is_empty())
    };
    if let Some(name) = first("bench.disk") {
        let writable = devices::open(name, Writable::Yes).is_ok();
        let (access, bench) = if writable { ("rw", "bench=write") } else { ("ro", "bench") };
        console::say(format_args!("bench: {PREFIX}* on {name}"));
        run(plan, DISK_PROGRAM, &["--disk", &format!("{name}:{access}"), bench]).await?;
    }
    if let Some(peer) = first("bench.net") {
        console::say(format_args!("bench: {PREFIX}* with {peer}"));
        run(plan, NETWORK_PROGRAM, &["--net", &format!("peer={peer}"), "bench"]).await?;
    }
    Ok(())
}

/// Runs a program that measures.
async fn run(plan: &Plan, name: &str, words: &[&str]) -> Result<(), BenchError> {
    let ms = if plan.samples == Samples::Quick { 100 } else { 500 };
    let mut arguments: Vec<String> = words.iter().copied().map(String::from).collect();
    arguments.push(format!("ms={ms}"));
    if !plan.filter.is_empty() {
        arguments.push(format!("filter={}", plan.filter));
    }
    let program = Program::start(name, &arguments, None).await.map_err(BenchError::Start)?;
    let limit = Instant(now().saturating_add(clock::frequency() * PATIENCE_S));
    match executor::timeout::<Pollux, _>(limit, program.ended()).await {
        Ok(ExitStatus::Exited(0)) => Ok(()),
        Ok(ExitStatus::Exited(code)) => Err(BenchError::Incomplete(code)),
        Ok(died) => Err(BenchError::Died(died)),
        Err(_) => Err(BenchError::Stuck),
    }
}
