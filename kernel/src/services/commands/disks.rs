//! The shell's commands on disks: what there is, raw blocks, who may write.

use super::health;
use crate::devices::{self, Block, Listed};
use crate::services::console;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use drivers::completion::CompletionMode;
use drivers::storage::{Erase, Lba, StorageDevice, StorageError, Writable};
use hal::dma::{DmaBuf, DmaDomain};
use kernel_text::dump;
use kernel_text::grid::Grid;
use kernel_text::quantity::Bytes;
use protocols::pattern;
use thiserror_no_std::Error;

/// Most bytes of one operation.
const PIECE: usize = 1 << 20;
/// Most blocks shown by `hexdump`.
const DUMPED_BLOCKS: u64 = 64;

/// Why a command on a disk was not carried out, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiskError {
    /// The disk cannot be had.
    #[error("{0}: {1}")]
    Open(String, devices::OpenError),
    /// A word is no number.
    #[error("`{0}` is no number (decimal, or hexadecimal after 0x)")]
    NoNumber(String),
    /// A word is none of those that could stand there.
    #[error("`{0}` is neither {1}")]
    NoWord(String, &'static str),
    /// The device failed.
    #[error("{name}: {lba}: {error}")]
    Device {
        /// Which.
        name: String,
        /// Where the operation began.
        lba: Lba,
        /// How.
        error: StorageError,
    },
    /// It does not say how it is.
    #[error("{0}: {1}")]
    Health(String, String),
    /// The blocks do not hold what they should.
    #[error("byte {0} differs on {1}")]
    Differs(u64, String),
    /// What was written may not be at rest.
    #[error("{0}: not flushed: {1}")]
    Flush(String, StorageError),
}

type Done = Result<(), DiskError>;

fn open(name: &str, access: Writable) -> Result<Block, DiskError> {
    devices::open(name, access).map_err(|error| DiskError::Open(name.into(), error))
}

fn number(word: &str) -> Result<u64, DiskError> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| DiskError::NoNumber(word.into()))
}

/// Turns a device's error into one that names device and place.
fn at(block: &Block, lba: Lba) -> impl FnOnce(StorageError) -> DiskError + '_ {
    move |error| DiskError::Device { name: block.name().into(), lba, error }
}

/// `disks`.
pub async fn list() {
    devices::settled().await;
    let mut grid = Grid::new(&["<disk", "size", "block", "<access", "<completion", "<what it is"]);
    let all = devices::listed();
    for listed in &all {
        let block = listed.block();
        let info = block.info();
        let indent = if listed.is_whole() { "" } else { "  " };
        let mode = listed.is_whole().then(|| block.completion_mode().to_string());
        grid.row(Vec::from([
            format!("{indent}{}", block.name()),
            Bytes(info.blocks.saturating_mul(u64::from(info.block_size))).to_string(),
            info.block_size.to_string(),
            access(listed).into(),
            mode.unwrap_or_default(),
            listed.description.clone(),
        ]));
    }
    if all.is_empty() {
        console::say("disks: none");
    } else {
        console::say_all(grid.lines());
    }
    for kind in devices::without_driver() {
        console::say(format_args!("{kind} storage is there too, and not supported yet"));
    }
}

fn access(listed: &Listed) -> &'static str {
    match listed.access() {
        Writable::Yes => "writable",
        Writable::No => "read-only",
    }
}

/// `disk NAME writable|read-only`.
pub fn allow(name: &str, word: &str) -> Done {
    let access = match word {
        "writable" => Writable::Yes,
        "read-only" => Writable::No,
        other => return Err(DiskError::NoWord(other.into(), "writable nor read-only")),
    };
    open(name, Writable::No)?;
    devices::allow(name, access);
    open(name, access)?;
    console::say(format_args!("disk: {name} is {word} now"));
    Ok(())
}

/// `irq`: how each disk's completions are noticed.
pub fn modes() {
    let mut grid = Grid::new(&["<disk", "<completion"]);
    for block in devices::disks() {
        grid.row(Vec::from([block.name().into(), block.completion_mode().to_string()]));
    }
    console::say_all(grid.lines());
}

/// `irq NAME|all MODE`.
pub fn set_mode(name: &str, mode: &str) -> Done {
    let mode: CompletionMode =
        mode.parse().map_err(|_| DiskError::NoWord(mode.into(), "poll, msix nor adaptive"))?;
    let chosen =
        if name == "all" { devices::disks() } else { Vec::from([open(name, Writable::No)?]) };
    for block in chosen {
        block.set_completion_mode(mode);
        console::say(format_args!("irq: {}: {}", block.name(), block.completion_mode()));
    }
    Ok(())
}

/// `pattern write|check DISK LBA BLOCKS SEED`.
pub async fn pattern(what: &str, name: &str, place: [&str; 3]) -> Done {
    let [lba, blocks, seed] = [number(place[0])?, number(place[1])?, number(place[2])?];
    match what {
        "write" => {
            let block = open(name, Writable::Yes)?;
            let size = u64::from(block.info().block_size);
            for_pieces(&block, lba, blocks, async |lba, mut buf| {
                pattern::fill(seed, lba.0.wrapping_mul(size), &mut buf);
                block.write(lba, buf).await.result.map_err(at(&block, lba))
            })
            .await?;
            bring_to_rest(&block).await?;
            console::say(format_args!("pattern: {blocks} blocks written"));
        }
        "check" => {
            let block = open(name, Writable::No)?;
            let size = u64::from(block.info().block_size);
            for_pieces(&block, lba, blocks, async |lba, buf| {
                let buf = read(&block, lba, buf).await?;
                let differs = pattern::check(seed, lba.0.wrapping_mul(size), &buf);
                differs.map_or(Ok(()), |byte| Err(DiskError::Differs(byte, block.name().into())))
            })
            .await?;
            console::say(format_args!("pattern: {blocks} blocks as they should be"));
        }
        other => return Err(DiskError::NoWord(other.into(), "write nor check")),
    }
    Ok(())
}

async fn bring_to_rest(block: &Block) -> Done {
    block.flush().await.map_err(|error| DiskError::Flush(block.name().into(), error))
}

async fn read(block: &Block, lba: Lba, buf: DmaBuf) -> Result<DmaBuf, DiskError> {
    let done = block.read(lba, buf).await;
    done.result.map_err(at(block, lba))?;
    done.buf.ok_or(StorageError::Device).map_err(at(block, lba))
}

/// Has `work` done on `blocks` blocks from `lba` on, as many at a time as the device takes.
async fn for_pieces(
    block: &Block,
    lba: u64,
    blocks: u64,
    work: impl AsyncFn(Lba, DmaBuf) -> Done,
) -> Done {
    let info = block.info();
    // All of it is on the disk, or none of it is touched.
    if lba.checked_add(blocks).is_none_or(|end| end > info.blocks) {
        return Err(at(block, Lba(lba))(StorageError::OutOfRange));
    }
    let most = u64::from(info.max_transfer_bytes).min(PIECE as u64) / u64::from(info.block_size);
    let (mut next, mut left) = (lba, blocks);
    while left > 0 {
        let now = left.min(most.max(1));
        let bytes = now as usize * info.block_size as usize;
        let dma = DmaDomain::machine();
        let buf = dma.buffer(bytes).map_err(|_| StorageError::OutOfMemory);
        let place = Lba(next);
        work(place, buf.map_err(at(block, place))?).await?;
        next += now;
        left -= now;
    }
    Ok(())
}

/// `erase zero|discard DISK LBA BLOCKS`.
pub async fn erase(what: &str, name: &str, place: [&str; 2]) -> Done {
    let what = match what {
        "zero" => Erase::Zero,
        "discard" => Erase::Discard,
        other => return Err(DiskError::NoWord(other.into(), "zero nor discard")),
    };
    let [lba, blocks] = [number(place[0])?, number(place[1])?];
    let block = open(name, Writable::Yes)?;
    block.erase(what, Lba(lba), blocks).await.map_err(at(&block, Lba(lba)))?;
    console::say(format_args!("erase: {blocks} blocks"));
    Ok(())
}

/// `flush DISK`.
pub async fn flush(name: &str) -> Done {
    let block = open(name, Writable::No)?;
    bring_to_rest(&block).await?;
    console::say(format_args!("flush: {name}: all that was written will stay"));
    Ok(())
}

/// `hexdump DISK LBA [BLOCKS]`.
pub async fn hexdump(name: &str, lba: &str, blocks: Option<&str>) -> Done {
    let lba = number(lba)?;
    let asked = blocks.map_or(Ok(1), number)?;
    let blocks = asked.min(DUMPED_BLOCKS);
    let block = open(name, Writable::No)?;
    let size = u64::from(block.info().block_size);
    for_pieces(&block, lba, blocks, async |lba, buf| {
        let buf = read(&block, lba, buf).await?;
        for (number, bytes) in (0..).zip(buf.chunks(size as usize)) {
            let offset = (lba.0 + number).wrapping_mul(size);
            console::show(dump::lines(offset, bytes)).await;
        }
        Ok(())
    })
    .await?;
    if blocks < asked {
        console::say(format_args!("the first {blocks} blocks only"));
    }
    Ok(())
}

/// `health DISK`.
pub async fn health(name: &str) -> Done {
    let block = open(name, Writable::No)?;
    let lines = health::lines(block.device()).await;
    console::say_all(lines.map_err(|why| DiskError::Health(name.into(), why))?);
    Ok(())
}
