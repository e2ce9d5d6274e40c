//! The test pattern, written and checked with many operations in flight.

use core::cell::Cell;

use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use bench::abi::PAGE;
use bench::pattern;
use bench::runtime::block::{BlockDevice, Buffer};
use bench::runtime::executor::spawn;

use crate::{Asked, Why};

/// What happens to each piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Write,
    Check,
}

/// Writes `pages` pages of the pattern from `lba` on.
pub async fn write(disk: &Rc<BlockDevice>, asked: &Asked, lba: u64, pages: u64) -> Result<(), Why> {
    all(disk, asked, lba, pages, Work::Write).await
}

/// Reads them and compares.
pub async fn check(disk: &Rc<BlockDevice>, asked: &Asked, lba: u64, pages: u64) -> Result<(), Why> {
    all(disk, asked, lba, pages, Work::Check).await
}

/// Several tasks share the pieces among them.
async fn all(
    disk: &Rc<BlockDevice>,
    asked: &Asked,
    lba: u64,
    pages: u64,
    work: Work,
) -> Result<(), Why> {
    let next = Rc::new(Cell::new(0));
    let (piece, seed) = (asked.piece.min(disk.info().max_pages()).max(1), asked.seed);
    let tasks: Vec<_> = (0..asked.depth)
        .map(|_| spawn("pattern", some(disk.clone(), next.clone(), lba, pages, piece, seed, work)))
        .collect();
    for task in tasks {
        task.await.map_err(|error| format!("{error}"))??;
    }
    Ok(())
}

/// Takes pieces until none is left.
async fn some(
    disk: Rc<BlockDevice>,
    next: Rc<Cell<u64>>,
    lba: u64,
    pages: u64,
    piece: u32,
    seed: u64,
    work: Work,
) -> Result<(), Why> {
    let block_size = u64::from(disk.info().block_size);
    loop {
        let first = next.get();
        if first >= pages {
            return Ok(());
        }
        let count = u64::from(piece).min(pages - first);
        next.set(first + count);
        let at = lba + first * PAGE as u64 / block_size;
        let buffer = disk.buffer(count as u32).ok_or("no pages free")?;
        one(&disk, at, at * block_size, buffer, seed, work).await?;
    }
}

async fn one(
    disk: &BlockDevice,
    lba: u64,
    offset: u64,
    mut buffer: Buffer,
    seed: u64,
    work: Work,
) -> Result<(), Why> {
    let done = match work {
        Work::Write => {
            pattern::fill(seed, offset, &mut buffer);
            disk.write(lba, buffer).await
        }
        Work::Check => {
            buffer.fill(0);
            disk.read(lba, buffer).await
        }
    };
    done.result.map_err(|status| format!("block {lba}: {status}"))?;
    let buffer = done.buffer.ok_or("no buffer came back")?;
    match work {
        Work::Write => Ok(()),
        Work::Check => match pattern::check(seed, offset, &buffer) {
            None => Ok(()),
            Some(byte) => Err(format!("byte {byte} differs")),
        },
    }
}
