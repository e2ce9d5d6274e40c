//! Uses the disks it is given: `run blockio --disk NAME[:rw] [WHAT…]`.
//!
//! - nothing: says what each disk is, and shows its block 0;
//! - `write=LBA:PAGES`, `check=LBA:PAGES`: writes the pattern of `seed=N` (default 1) from that block
//!   on, as the shell's `pattern` does, or checks it; `depth=N` operations in flight (default 32)
//!   of `piece=N` pages each (default 1);
//! - `zero=LBA:BLOCKS`, `flush`;
//! - `bench`: reports `ring3.read4k.qd1` and `ring3.read4k.qd32`; `bench=write` also
//!   `ring3.write4k.qd32`, over whatever is on the disk. `ms=N` for each (default 500), `filter=PREFIX`
//!   for some of them.
//!
//! `core=N` is the core the service is to use.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;

mod measure;
mod pattern;

use bench::abi::{ANY_CORE, PAGE};
use bench::block_ring::{Access, Status};
use bench::println;
use bench::runtime::block::{BlockDevice, Setup};
use bench::runtime::capability::Endpoint;
use bench::runtime::{Env, ExitCode};

bench::main!(main);

/// What is to be done.
struct Asked {
    depth: u32,
    piece: u32,
    seed: u64,
    ms: u64,
    core: u32,
}

async fn main(mut env: Env) -> ExitCode {
    let number = |key, otherwise: u64| {
        env.value(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(otherwise)
    };
    let asked = Asked {
        depth: number("depth", 32).clamp(1, 256) as u32,
        piece: number("piece", 1).clamp(1, 512) as u32,
        seed: number("seed", 1),
        ms: number("ms", 500),
        core: u32::try_from(number("core", u64::from(ANY_CORE))).unwrap_or(ANY_CORE),
    };
    let disks: alloc::vec::Vec<_> = env.disks().collect();
    if disks.is_empty() {
        println!("no disk: run blockio --disk NAME");
        return ExitCode::FAILURE;
    }
    for (name, tag) in disks {
        let Some(endpoint) = env.take(tag).map(Endpoint::from_handle) else {
            println!("{name}: no capability for it");
            return ExitCode::FAILURE;
        };
        if let Err(why) = use_disk(&env, &asked, name, &endpoint).await {
            println!("{name}: FAILED: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What went wrong, for people.
type Why = alloc::string::String;

async fn use_disk(env: &Env, asked: &Asked, name: &str, endpoint: &Endpoint) -> Result<(), Why> {
    let said = |error: &dyn core::fmt::Display| alloc::format!("{error}");
    let setup = Setup {
        entries: asked.depth.next_power_of_two(),
        pages: (asked.depth * asked.piece).clamp(33, 3072),
        core: asked.core,
    };
    let disk = Rc::new(BlockDevice::open(endpoint, setup).map_err(|error| said(&error))?);
    let info = *disk.info();
    let access = if info.access == Access::ReadWrite { "read-write" } else { "read-only" };
    println!(
        "{name}: {} blocks of {} bytes, {access}, at most {} pages at once, {} at a time",
        info.blocks,
        info.block_size,
        info.max_pages(),
        info.depth
    );
    let range = |key| match env.value(key) {
        None => Ok(None),
        Some(text) => {
            let range = text.split_once(':').and_then(|(lba, count)| {
                Some((lba.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
            });
            range.map(Some).ok_or_else(|| alloc::format!("{key}=LBA:COUNT, not {text:?}"))
        }
    };
    let (write, check, zero) = (range("write")?, range("check")?, range("zero")?);
    let status = |status: Status| said(&status);
    if let Some((lba, pages)) = write {
        pattern::write(&disk, asked, lba, pages).await?;
        disk.flush().await.map_err(status)?;
        println!("{name}: {pages} pages written");
    }
    if let Some((lba, blocks)) = zero {
        disk.zero(lba, blocks).await.map_err(status)?;
        println!("{name}: {blocks} blocks zeroed");
    }
    if let Some((lba, pages)) = check {
        pattern::check(&disk, asked, lba, pages).await?;
        println!("{name}: {pages} pages as they should be");
    }
    if env.has("flush") {
        disk.flush().await.map_err(status)?;
        println!("{name}: flushed");
    }
    let bench = env.has("bench") || env.value("bench").is_some();
    if bench {
        measure::run(env, &disk, asked, env.value("bench") == Some("write")).await?;
    }
    if write.is_none() && check.is_none() && zero.is_none() && !bench {
        show(name, &disk).await?;
    }
    Ok(())
}

/// Shows the beginning of the disk.
async fn show(name: &str, disk: &BlockDevice) -> Result<(), Why> {
    let buffer = disk.buffer(1).ok_or("no page free")?;
    let done = disk.read(0, buffer).await;
    done.result.map_err(|status| alloc::format!("reading block 0: {status}"))?;
    let buffer = done.buffer.ok_or("no buffer came back")?;
    debug_assert!(buffer.len() == PAGE);
    println!("{name}: block 0 begins {:02x?}, ends {:02x?}", &buffer[..8], &buffer[504..512]);
    Ok(())
}
