//! Ring-3 processes from the kernel's side: they start, end, are killed and die, and nothing of
//! them stays behind.

use super::memory::settled_free;
use super::{Finding, cores};
use crate::clock::frequency;
use crate::platform::Pollux;
use crate::process::image::{self, Image};
use crate::process::spawn::{Given, Request, start};
use crate::process::{self, Process};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::{CoreId, Instant};
use hal::memory::VirtAddr;
use hal::x86_64::cpu::{self, Features};
use hal::x86_64::probe::{self, Touched};
use hal::x86_64::time::clock::now;
use protocols::abi::{Error, ExitStatus};

checks! { "processes", 60:
    come_and_go_without_a_trace,
    run_on_every_core_at_once,
    are_killed_wherever_they_are,
    die_of_their_faults_alone,
    need_a_good_image,
    keep_their_memory_from_stray_kernel_code,
}

/// Starts a boot module.
pub(super) async fn run(
    name: &str,
    arguments: &[&str],
    core: CoreId,
) -> Result<Arc<Process>, String> {
    let image = image::find(name).ok_or_else(|| alloc::format!("no boot module `{name}`"))?;
    let arguments: Vec<String> = arguments.iter().map(|word| String::from(*word)).collect();
    let request = Request::from_kernel(name, &arguments, Given::default(), core);
    let request = request.map_err(|error| alloc::format!("`{name}` on {core}: {error}"))?;
    let started = start(image, request).await.map(|(process, _)| process);
    started.map_err(|error| alloc::format!("`{name}` on {core}: {error}"))
}

/// Waits for its end, 20 s at most.
pub(super) async fn end_of(process: &Process) -> Result<ExitStatus, String> {
    let deadline = Instant(now() + frequency() * 20);
    let ended = executor::timeout::<Pollux, _>(deadline, process.ended.wait()).await;
    ended.map_err(|_| alloc::format!("`{}` did not end within 20 s", process.name))
}

async fn come_and_go_without_a_trace() -> Finding {
    // The first one leaves what is made once and kept.
    end_of(&*run("noop", &[], CoreId(0)).await?).await?;
    let (before, live) = (settled_free().await, process::live_count());
    for core in cores().cycle().take(100) {
        let process = run("noop", &["some", "arguments"], core).await?;
        let status = end_of(&process).await?;
        ensure!(status == ExitStatus::Exited(0), "noop on {core}: {status:?}");
    }
    ensure!(process::live_count() == live, "{} processes too many", process::live_count() - live);
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn run_on_every_core_at_once() -> Finding {
    const EACH: usize = 8;
    let before = settled_free().await;
    let mut all = Vec::new();
    for core in cores().cycle().take(cores().count() * EACH) {
        all.push(run("noop", &[], core).await?);
    }
    let mut ids: Vec<u32> = all.iter().map(|process| process.id).collect();
    for process in &all {
        let status = end_of(process).await?;
        ensure!(status == ExitStatus::Exited(0), "process {}: {status:?}", process.id);
    }
    ids.dedup();
    ensure!(ids.len() == all.len(), "two processes had one number");
    drop(all);
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn are_killed_wherever_they_are() -> Finding {
    let before = settled_free().await;
    for core in cores() {
        for after_us in [0, 100, 20_000] {
            let process = run("attack", &["endless.loop"], core).await?;
            executor::sleep::<Pollux>(hal::x86_64::time::clock::us_to_ticks(after_us)).await;
            ensure!(process.ended.get().is_none(), "an endless loop ended by itself");
            process.end(ExitStatus::Killed);
            let status = end_of(&process).await?;
            ensure!(status == ExitStatus::Killed, "killed on {core}: {status:?}");
        }
    }
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn die_of_their_faults_alone() -> Finding {
    const PAGE_FAULT: u8 = 14;
    const GENERAL_PROTECTION: u8 = 13;
    let before = settled_free().await;
    for core in cores() {
        let bystander = run("attack", &["endless.loop"], core).await?;
        for (attack, vector) in
            [("memory.read_null", PAGE_FAULT), ("instruction.hlt", GENERAL_PROTECTION)]
        {
            let status = end_of(&*run("attack", &[attack], core).await?).await?;
            ensure!(status == ExitStatus::Faulted(vector), "{attack} on {core}: {status:?}");
        }
        ensure!(bystander.ended.get().is_none(), "a bystander on {core} died with the attacker");
        bystander.end(ExitStatus::Killed);
        end_of(&bystander).await?;
    }
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn need_a_good_image() -> Finding {
    let good = image::find("noop").ok_or("no boot module `noop`")?.file;
    let before = settled_free().await;
    for (what, file) in [
        ("nothing", &good[..0]),
        ("a few bytes", &good[..7]),
        ("a header alone", &good[..64]),
        ("half a program", &good[..good.len() / 4]),
        ("no ELF at all", &[0x5a; 4096][..]),
    ] {
        let image = Image { name: "bad".into(), file };
        let request = Request::from_kernel("bad", &[], Given::default(), CoreId(0));
        let request = request.map_err(|error| alloc::format!("{error}"))?;
        match start(&image, request).await.map(|(process, _)| process) {
            Err(Error::BadImage) => {}
            Err(error) => return Err(alloc::format!("{what}: refused as `{error}`")),
            Ok(process) => {
                process.end(ExitStatus::Killed);
                return Err(alloc::format!("{what} was started"));
            }
        }
    }
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

/// With a program's tables loaded, its memory still faults under the kernel's hands, except inside
/// the copies that are meant (SMAP).
async fn keep_their_memory_from_stray_kernel_code() -> Finding {
    if !cpu::features().has(Features::SMAP) {
        log::info!("no SMAP: nothing keeps the kernel from following a program's pointer");
        return Ok(());
    }
    let image = protocols::image::Image::parse(image::find("attack").ok_or("no `attack`")?.file);
    let entry = image.map_err(|error| alloc::format!("{error}"))?.entry;
    let process = run("attack", &["endless.loop"], CoreId(0)).await?;
    executor::sleep::<Pollux>(frequency() / 100).await;
    // No await from here to the touch: the tables stay.
    process.space.activate();
    let touched = probe::read(VirtAddr(entry));
    process.end(ExitStatus::Killed);
    end_of(&process).await?;
    ensure!(touched == Touched::Fault, "kernel code read a program's memory at {entry:#x}");
    Ok(())
}
