//! What the kernel does for people: console, benchmark, shell.

pub mod console;
pub mod report;

use crate::process::{image, spawn};
use executor::CoreId;

/// The first task.
pub async fn init() {
    log::info!("init runs");
    for image in image::all() {
        log::info!("program {}", image.name);
    }
    let line = hal::boot::info().command_line;
    let name = line.value("run").unwrap_or("hello");
    let args: alloc::vec::Vec<alloc::string::String> = line
        .value("run.args")
        .unwrap_or("")
        .split(',')
        .filter(|w| !w.is_empty())
        .map(Into::into)
        .collect();
    let Some(program) = image::find(name) else { return log::error!("no {name}") };
    let free = hal::memory::frames::statistics().free();
    let request = spawn::Request::from_kernel(name, &args, CoreId(0));
    match spawn::start(program, request).await {
        Ok(process) => log::info!("{name} ended: {:?}", process.ended.wait().await),
        Err(error) => log::error!("{name}: {error}"),
    }
    executor::sleep::<crate::platform::Pollux>(crate::clock::frequency() / 10).await;
    log::info!("frames free before {free}, after {}", hal::memory::frames::statistics().free());
    hal::x86_64::power::exit_qemu(0x10);
}
