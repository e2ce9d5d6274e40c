//! What a disk costs a program: the ring-3 program `blockio` measures the first disk of
//! `bench.disk=` through the block service and reports `ring3.…` itself.

use super::{BenchError, Plan};
use crate::clock;
use crate::devices;
use crate::platform::Pollux;
use crate::services::console;
use crate::services::program::Program;
use alloc::format;
use alloc::string::String;
use drivers::storage::Writable;
use executor::Instant;
use hal::x86_64::time::clock::now;
use kernel_text::options::{Samples, Ticks};
use protocols::abi::ExitStatus;

/// The program's name among the boot modules.
const PROGRAM: &str = "blockio";
/// What the figures' names begin with.
const PREFIX: &str = "ring3.";
/// Seconds it may take.
const PATIENCE_S: u64 = 60;

/// Takes its figures, where time is time and there is a disk to measure.
pub async fn figures(plan: &Plan) -> Result<(), BenchError> {
    let filter = plan.filter.as_str();
    let wanted = PREFIX.starts_with(filter) || filter.starts_with(PREFIX);
    let words = hal::boot::info().command_line.value("bench.disk").unwrap_or_default();
    let Some(name) = words.split(',').next().filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    if !wanted || plan.ticks == Ticks::Instructions {
        return Ok(());
    }
    let writable = devices::open(name, Writable::Yes).is_ok();
    let (access, bench) = if writable { ("rw", "bench=write") } else { ("ro", "bench") };
    let ms = if plan.samples == Samples::Quick { 100 } else { 500 };
    console::say(format_args!("bench: {PREFIX}* on {name}"));
    let disk = format!("{name}:{access}");
    let (ms, filter) = (format!("ms={ms}"), format!("filter={filter}"));
    let mut arguments = ["--disk", &disk, bench, &ms].map(String::from).to_vec();
    if !plan.filter.is_empty() {
        arguments.push(filter);
    }
    let program = Program::start(PROGRAM, &arguments, None).await.map_err(BenchError::Start)?;
    let limit = Instant(now().saturating_add(clock::frequency() * PATIENCE_S));
    match executor::timeout::<Pollux, _>(limit, program.ended()).await {
        Ok(ExitStatus::Exited(0)) => Ok(()),
        Ok(ExitStatus::Exited(code)) => Err(BenchError::Incomplete(code)),
        Ok(died) => Err(BenchError::Died(died)),
        Err(_) => Err(BenchError::Stuck),
    }
}
