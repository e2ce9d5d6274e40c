//! The block service from the kernel's side: programs that use a disk, at most for reading, come, go
//! and are killed with everything under way, and nothing of them stays behind.

use super::memory::settled_free;
use super::{Finding, soon};
use crate::devices;
use crate::platform::Pollux;
use crate::process;
use crate::services::program::Program;
use alloc::string::String;
use alloc::vec::Vec;
use hal::dma::leaked_bytes;
use hal::x86_64::random;
use hal::x86_64::time::clock::us_to_ticks;
use protocols::abi::ExitStatus;

checks! { "block", 60:
    programs_read_the_disk_they_were_given,
    programs_are_killed_with_requests_under_way,
}

/// Starts `blockio` with the first disk, if there is one.
async fn blockio(words: &[&str]) -> Result<Option<Program>, String> {
    devices::settled().await;
    let disks = devices::disks();
    let Some(disk) = disks.first() else { return Ok(None) };
    let given = ["--disk", disk.name()];
    let words = given.iter().chain(words);
    let words: Vec<String> = words.map(|word| String::from(*word)).collect();
    let started = Program::start("blockio", &words, None).await;
    started.map(Some).map_err(|error| alloc::format!("{error}"))
}

async fn programs_read_the_disk_they_were_given() -> Finding {
    let mut free = None;
    for _ in 0..3 {
        let Some(program) = blockio(&["bench", "ms=20"]).await? else { return Ok(()) };
        let status = program.ended().await;
        ensure!(status == ExitStatus::Exited(0), "blockio: {status:?}");
        drop(program);
        no_pages_shared().await?;
        // The first one leaves what is made once and kept.
        let now = settled_free().await;
        let before = *free.get_or_insert(now);
        ensure!(now == before, "{before} frames were free, now {now}");
    }
    Ok(())
}

async fn programs_are_killed_with_requests_under_way() -> Finding {
    const KILLS: u32 = 40;
    const LATEST_US: u64 = 30_000;
    let live = process::live_count();
    let (mut free, leaked) = (None, leaked_bytes());
    for number in 0..KILLS {
        let Some(program) = blockio(&["bench", "ms=20000"]).await? else { return Ok(()) };
        executor::sleep::<Pollux>(us_to_ticks(random::next_u64() % LATEST_US)).await;
        program.kill();
        let status = program.ended().await;
        ensure!(status == ExitStatus::Killed, "kill {number}: {status:?}");
        drop(program);
        if number == 9 {
            no_pages_shared().await?;
            free = Some(settled_free().await);
        }
    }
    ensure!(soon(|| process::live_count() == live).await, "not all have ended");
    ensure!(leaked_bytes() == leaked, "{} bytes were leaked", leaked_bytes() - leaked);
    no_pages_shared().await?;
    let now = settled_free().await;
    ensure!(Some(now) == free, "{free:?} frames were free, now {now}");
    Ok(())
}

/// Sessions end soon after their programs, and pages are free when devices are done with them.
async fn no_pages_shared() -> Finding {
    let none = soon(|| hal::dma::statistics().shared == 0).await;
    ensure!(none, "{} bytes are still shared", hal::dma::statistics().shared);
    Ok(())
}
