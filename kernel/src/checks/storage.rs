//! Devices on a real bus: QEMU's `edu`, and every disk that may be written to.

use super::{Finding, cores};
use crate::clock::frequency;
use crate::devices::{self, Block};
use crate::platform::Pollux;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use drivers::completion::CompletionMode;
use drivers::storage::{Lba, StorageDevice, StorageError, Writable};
use executor::{Instant, Priority, spawn_on};
use hal::dma::{Direction, DmaDomain, leaked_bytes};
use hal::x86_64::time::clock::now;
use protocols::pattern;

checks! { "storage", 120:
    edu_copies_polled_and_interrupted,
    what_every_core_writes_is_read_in_every_mode,
    modes_change_while_every_core_works,
    reads_dropped_in_flight_land_nowhere,
    what_is_beyond_the_end_is_refused,
}

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

async fn edu_copies_polled_and_interrupted() -> Finding {
    let Some(edu) = devices::edu() else { return Ok(()) };
    for round in 0..9_u8 {
        edu.control.set_mode(MODES[usize::from(round) % MODES.len()]);
        let mut buffer = edu.dma.buffer(1000).map_err(|error| format!("{error}"))?;
        buffer.fill(round);
        for direction in [Direction::ToDevice, Direction::FromDevice] {
            let copied = edu.copy::<Pollux>(buffer, direction).await;
            buffer = copied.map_err(|error| format!("round {round}: {error}"))?;
            if direction == Direction::ToDevice {
                buffer.fill(0xee);
            }
        }
        ensure!(buffer.iter().all(|byte| *byte == round), "round {round}: other bytes came back");
    }
    Ok(())
}

/// The disks that may be written to, and hold no partitions.
fn disks() -> Vec<Block> {
    let all = devices::listed();
    let has_parts = |name: &str| {
        all.iter().any(|other| !other.is_whole() && other.block().name().starts_with(name))
    };
    let free = all.iter().filter(|one| one.is_whole() && one.access() == Writable::Yes);
    free.map(devices::Listed::block).filter(|block| !has_parts(block.name())).collect()
}

/// Blocks from which each core has its own.
const SHARE_BLOCKS: u64 = 512;

async fn what_every_core_writes_is_read_in_every_mode() -> Finding {
    for block in disks() {
        let before = block.completion_mode();
        for mode in MODES {
            block.set_completion_mode(mode);
            let works: Vec<_> = cores()
                .map(|core| {
                    let block = block.clone();
                    let make = move || async move { write_and_read(&block, core.0, mode).await };
                    spawn_on::<Pollux, _, _>(core, "disk", Priority::Normal, make)
                })
                .collect();
            for work in works {
                work.await.map_err(|error| format!("{error}"))??;
            }
        }
        block.set_completion_mode(before);
        block.flush().await.map_err(|error| format!("{}: {error}", block.name()))?;
    }
    Ok(())
}

/// Rounds of work of each core, and milliseconds between two changes of mode.
const ROUNDS: usize = 20;
const CHANGE_MS: u64 = 1;

async fn modes_change_while_every_core_works() -> Finding {
    for block in disks() {
        let before = block.completion_mode();
        let at_work = Arc::new(AtomicU64::new(0));
        let works: Vec<_> = cores()
            .map(|core| {
                let (block, at_work) = (block.clone(), at_work.clone());
                at_work.fetch_add(1, Relaxed);
                let make = move || async move {
                    let mut found = Ok(());
                    for round in 0..ROUNDS {
                        let seed = MODES[round % MODES.len()];
                        found = found.and(write_and_read(&block, core.0, seed).await);
                    }
                    at_work.fetch_sub(1, Relaxed);
                    found
                };
                spawn_on::<Pollux, _, _>(core, "disk", Priority::Normal, make)
            })
            .collect();
        for mode in MODES.iter().cycle() {
            block.set_completion_mode(*mode);
            executor::sleep::<Pollux>(frequency() * CHANGE_MS / 1000).await;
            if at_work.load(Relaxed) == 0 {
                break;
            }
        }
        block.set_completion_mode(before);
        for work in works {
            work.await.map_err(|error| format!("{error}"))??;
        }
    }
    Ok(())
}

async fn write_and_read(block: &Block, core: u16, mode: CompletionMode) -> Finding {
    let size = u64::from(block.info().block_size);
    let start = u64::from(core) * SHARE_BLOCKS;
    let seed = mode as u64 * 100 + u64::from(core);
    let failed =
        |lba: Lba, error| format!("{} on core{core}, {mode}: {lba}: {error}", block.name());
    let dma = DmaDomain::machine();
    for blocks in [1, 7, 8, 9, 64] {
        let lba = Lba(start + blocks);
        let bytes = (blocks * size).min(u64::from(block.info().max_transfer_bytes)) as usize;
        let mut buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
        pattern::fill(seed, lba.0 * size, &mut buf);
        block.write(lba, buf).await.result.map_err(|error| failed(lba, error))?;
        let buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
        let done = block.read(lba, buf).await;
        done.result.map_err(|error| failed(lba, error))?;
        let buf = done.buf.ok_or_else(|| failed(lba, StorageError::Gone))?;
        if let Some(byte) = pattern::check(seed, lba.0 * size, &buf) {
            return Err(format!("{} on core{core}, {mode}: byte {byte} differs", block.name()));
        }
    }
    Ok(())
}

/// Reads dropped at random moments, while others verify; memory is given out again at once.
const DROPPED: u64 = 10_000;

async fn reads_dropped_in_flight_land_nowhere() -> Finding {
    for block in disks() {
        let name = block.name();
        let (size, dma) = (u64::from(block.info().block_size), DmaDomain::machine());
        let bytes = size.max(4096) as usize;
        let lost = leaked_bytes();
        let mut buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
        pattern::fill(7, 0, &mut buf);
        block.write(Lba(0), buf).await.result.map_err(|error| format!("{name}: {error}"))?;
        let dropped = AtomicU64::new(0);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        while dropped.load(Relaxed) < DROPPED {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Most reads take some 20 us here; every moment of one is hit.
            let limit = Instant(now() + state % (frequency() / 20_000));
            let buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
            let read = block.read(Lba(0), buf);
            if executor::timeout::<Pollux, _>(limit, read).await.is_err() {
                dropped.fetch_add(1, Relaxed);
            }
            // Whoever is given memory right after a read was dropped must keep what it wrote.
            let mut mine = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
            mine.fill(0xa5);
            executor::yield_now().await;
            ensure!(mine.iter().all(|byte| *byte == 0xa5), "{name}: a dropped read landed");
        }
        let buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
        let done = block.read(Lba(0), buf).await;
        done.result.map_err(|error| format!("{name}: {error}"))?;
        let right = done.buf.is_some_and(|buf| pattern::check(7, 0, &buf).is_none());
        ensure!(right, "{name}: what was written is not read");
        ensure!(leaked_bytes() == lost, "{name}: {} bytes leaked", leaked_bytes() - lost);
    }
    Ok(())
}

async fn what_is_beyond_the_end_is_refused() -> Finding {
    for block in devices::disks() {
        let info = block.info();
        let dma = DmaDomain::machine();
        let size = info.block_size as usize;
        for (lba, bytes, error) in [
            (info.blocks, size, StorageError::OutOfRange),
            (u64::MAX, size, StorageError::OutOfRange),
            (info.blocks - 1, 2 * size, StorageError::OutOfRange),
            (0, size / 2, StorageError::BadLength),
        ] {
            let buf = dma.buffer(bytes).map_err(|error| format!("{error}"))?;
            let refused = block.read(Lba(lba), buf).await;
            ensure!(
                refused.result == Err(error) && refused.buf.is_some(),
                "{}: {bytes} bytes at {lba}: {:?}",
                block.name(),
                refused.result
            );
        }
    }
    Ok(())
}
