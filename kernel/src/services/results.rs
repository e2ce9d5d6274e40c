//! Leaves the benchmark's figures on the boot medium, for machines without a serial line.
//!
//! They go to the one partition of our own type ([`protocols::results`]), as the events COM2 would
//! be told. They go nowhere else: without such a partition, or with several, nothing is written.

use super::bench;
use super::console;
use crate::clock;
use crate::devices::{self, Block};
use crate::platform;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use drivers::storage::{Lba, StorageDevice, StorageError};
use hal::dma::{DmaDomain, DmaError};
use hal::x86_64::cpu::{self, Features, cpuid};
use kernel_text::options::Ticks;
use protocols::abi::metric::Metric;
use protocols::events::Event;
use protocols::results::{PARTITION_NAME, PARTITION_TYPE, header};
use thiserror_no_std::Error;

/// Most bytes written at once.
const PIECE: usize = 64 << 10;

/// Why the figures are not on the medium.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum SaveError {
    #[error("there is no disk{}", Elsewhere(.0))]
    NoDisk(Vec<&'static str>),
    #[error("no disk has a partition `{PARTITION_NAME}` (`cargo xtask image` makes one){}", Elsewhere(.0))]
    NoPartition(Vec<&'static str>),
    #[error("several disks have a partition `{PARTITION_NAME}`: take out all but one")]
    Several,
    #[error("they take {needed} bytes, and the partition has {there}")]
    NoRoom { needed: u64, there: u64 },
    #[error("{0}")]
    Disk(#[from] StorageError),
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// Says which kinds of media cannot be written to yet, of those that may be meant.
struct Elsewhere<'a>(&'a [&'static str]);

impl core::fmt::Display for Elsewhere<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            [] => Ok(()),
            kinds => write!(f, "; {} media are not supported yet", kinds.join(" and ")),
        }
    }
}

/// Writes the figures, and says on the console what became of them.
pub async fn save(figures: &[Metric], ticks: Ticks) {
    let text = text(figures, ticks);
    console::say(format_args!("results: looking for the partition `{PARTITION_NAME}`"));
    devices::settled().await;
    match write(&text).await {
        Ok(place) => console::say(format_args!(
            "results: {} figures written to {place}; `cargo xtask results DISK` reads them",
            figures.len()
        )),
        Err(error) => console::say(format_args!("results: NOT written: {error}")),
    }
}

/// The events, one a line.
fn text(figures: &[Metric], ticks: Ticks) -> String {
    let hypervisor = hypervisor();
    let hypervisor = hypervisor.as_deref();
    let mode = match (ticks, hypervisor) {
        (Ticks::Instructions, _) => "icount",
        (_, None) => "host",
        (_, Some("TCGTCGTCGTCG")) => "tcg",
        (_, Some(_)) => "kvm",
    };
    let boot = Event::Boot {
        version: env!("CARGO_PKG_VERSION"),
        cores: platform::core_count(),
        tsc_hz: clock::frequency(),
        entry_to_ring3_ticks: bench::entry_to_ring3(),
    };
    let memory_mib = hal::boot::info().usable_bytes() >> 20;
    let machine = Event::Machine { mode, cpu: cpu::features().brand(), hypervisor, memory_mib };
    let mut text = format!("{boot}\n{machine}\n");
    for figure in figures {
        text.push_str(&Event::Metric(figure).to_string());
        text.push('\n');
    }
    text
}

/// The name of what this machine is simulated by.
fn hypervisor() -> Option<String> {
    if !cpu::features().has(Features::HYPERVISOR) {
        return None;
    }
    let leaf = cpuid(0x4000_0000);
    let bytes = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
    let name = String::from_utf8_lossy(bytes.as_flattened()).trim_end_matches('\0').to_string();
    Some(name)
}

/// Writes `text` to the one partition for it; says where that is.
async fn write(text: &str) -> Result<String, SaveError> {
    if devices::disks().is_empty() {
        return Err(SaveError::NoDisk(devices::without_driver()));
    }
    let found = devices::partitions_of(PARTITION_TYPE);
    let partition = match found.as_slice() {
        [] => return Err(SaveError::NoPartition(devices::without_driver())),
        [(partition, _)] => partition,
        _ => return Err(SaveError::Several),
    };
    write_to(partition, text.as_bytes()).await?;
    Ok(String::from(partition.name()))
}

/// Header and text to the beginning of `partition`, and to stay there.
async fn write_to(partition: &Block, text: &[u8]) -> Result<(), SaveError> {
    let dma = DmaDomain::machine();
    let info = partition.info();
    let block = info.block_size as usize;
    let there = info.blocks * u64::from(info.block_size);
    let no_room = |needed| SaveError::NoRoom { needed, there };
    let header = header(text).ok_or(no_room(text.len() as u64))?;
    let mut bytes = Vec::with_capacity(header.len() + text.len() + block);
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len().next_multiple_of(block), 0);
    if bytes.len() as u64 > there {
        return Err(no_room(bytes.len() as u64));
    }
    let most = (info.max_transfer_bytes as usize).min(PIECE.max(block));
    let mut lba = Lba(0);
    for piece in bytes.chunks(most) {
        let mut buf = dma.buffer(piece.len())?;
        buf.copy_from_slice(piece);
        partition.write(lba, buf).await.result?;
        lba = lba.checked_add((piece.len() / block) as u64).ok_or(StorageError::OutOfRange)?;
    }
    partition.flush().await?;
    Ok(())
}
