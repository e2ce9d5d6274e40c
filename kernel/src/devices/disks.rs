//! The disks and partitions there are, by name.

use super::{Block, access};
use crate::clock;
use crate::platform::Pollux;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use drivers::block::{Device, Writers};
use drivers::storage::{Lba, StorageDevice, Writable};
use executor::Instant;
use hal::x86_64::time::clock::now;
use protocols::gpt::{Entry, Guid};
use thiserror_no_std::Error;

/// A disk or partition.
#[derive(Clone)]
pub struct Listed {
    /// Its blocks, with all the access that the device gives.
    block: Block,
    /// The disk it is a part of, or itself.
    whole: String,
    /// The controller whose driver announced it.
    pub(super) controller: u64,
    /// Model and serial number, or type and name.
    pub description: String,
    /// Of a partition: what its table says it is.
    pub kind: Option<Guid>,
    /// Of a partition: itself.
    id: Option<Guid>,
    /// Who may write to it, but for the kernel itself.
    writers: Writers,
}

impl Listed {
    pub(super) fn disk(block: Block, controller: u64, description: String) -> Self {
        let whole = String::from(block.name());
        let writers = Writers::default();
        Self { block, whole, controller, description, kind: None, id: None, writers }
    }

    pub(super) fn partition(&self, block: Block, entry: &Entry, description: String) -> Self {
        let Self { whole, controller, .. } = self;
        let (whole, controller) = (whole.clone(), *controller);
        let (kind, id) = (Some(entry.kind), Some(entry.id));
        Self { block, whole, controller, description, kind, id, writers: Writers::default() }
    }

    /// Some of its blocks, with all the access that the device gives.
    pub(super) fn part(&self, name: String, first: Lba, blocks: u64) -> Option<Block> {
        self.block.part(name, first, blocks)
    }

    /// Whether it is a whole disk.
    pub fn is_whole(&self) -> bool {
        self.whole == self.block.name()
    }

    /// Its blocks, with the access that is allowed.
    pub fn block(&self) -> Block {
        // Counted before the look, so that whoever reserves it meanwhile waits for this.
        let block = self.block.counted_by(&self.writers);
        match self.access() {
            Writable::Yes => block,
            Writable::No => block.read_only(),
        }
    }

    /// The partition of its blocks that the kernel itself writes to.
    fn in_use(&self) -> Option<String> {
        let reserved = access::reserved()?;
        let is_it = self.block.name() == reserved;
        let holds_it =
            || self.is_whole() && named(&reserved).is_ok_and(|part| part.whole == self.whole);
        (is_it || holds_it()).then_some(reserved)
    }

    /// Whether the shell and ring 3 may write to it.
    pub fn access(&self) -> Writable {
        if self.block.info().writable == Writable::No || self.in_use().is_some() {
            return Writable::No;
        }
        access::allowed(self.block.name(), &self.whole)
    }
}

/// Why a disk cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// There is none of that name.
    #[error("no such disk or partition; `disks` lists them")]
    Unknown,
    /// The device itself is read-only.
    #[error("the device is read-only")]
    ReadOnly,
    /// Nobody has allowed it to be written to.
    #[error("read-only until `disk NAME writable` (or `disk.write=NAME` on the command line)")]
    NotAllowed,
    /// The kernel keeps its log there.
    #[error("read-only while the kernel keeps its commits on {0}")]
    InUse(String),
}

/// In the order they came.
static DISKS: spin::Mutex<Vec<Listed>> = spin::Mutex::new(Vec::new());

/// All disks, each followed by its partitions.
pub fn listed() -> Vec<Listed> {
    let mut all = DISKS.lock().clone();
    all.sort_by(|a, b| {
        (order(&a.whole), order(a.block.name())).cmp(&(order(&b.whole), order(b.block.name())))
    });
    all
}

/// `nvme2n1` comes before `nvme10n1`.
fn order(name: &str) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    let mut letters = String::new();
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        let Some(digit) = letter.to_digit(10) else {
            letters.push(letter);
            continue;
        };
        let mut number = u64::from(digit);
        while let Some(digit) = rest.peek().and_then(|next| next.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(u64::from(digit));
            rest.next();
        }
        parts.push((core::mem::take(&mut letters), number));
    }
    parts.push((letters, 0));
    parts
}

/// All whole disks, with the access that is allowed.
pub fn disks() -> Vec<Block> {
    listed().iter().filter(|listed| listed.is_whole()).map(Listed::block).collect()
}

/// The disk or partition called `name`.
pub fn named(name: &str) -> Result<Listed, OpenError> {
    let disks = DISKS.lock();
    disks.iter().find(|listed| listed.block.name() == name).cloned().ok_or(OpenError::Unknown)
}

/// The blocks of the disk or partition called `name`.
///
/// # Errors
/// There is none, or it is to be written to and may not.
pub fn open(name: &str, access: Writable) -> Result<Block, OpenError> {
    let listed = named(name)?;
    if access == Writable::No {
        return Ok(listed.block.read_only());
    }
    let block = listed.block();
    match (block.info().writable, listed.block.info().writable) {
        (Writable::Yes, _) => Ok(block),
        (Writable::No, Writable::No) => Err(OpenError::ReadOnly),
        (Writable::No, Writable::Yes) => {
            Err(listed.in_use().map_or(OpenError::NotAllowed, OpenError::InUse))
        }
    }
}

/// The kernel keeps its log on the partition `name` from now on: nobody else gets to write to it,
/// nor to the disk it is on, until that is [over](release_log). Waits a moment for those who may
/// now; whether there are none any more. If it is given up, or in vain, it is to be released.
pub async fn reserve_log(name: &str) -> bool {
    const WAIT_MS: u64 = 2_000;
    let ms = clock::frequency() / 1_000;
    access::reserve(Some(name));
    let is_written = || {
        let reserved = listed().into_iter().filter(|one| one.in_use().is_some());
        reserved.map(|one| one.writers.count()).sum::<usize>() > 0
    };
    let finished = async {
        while is_written() {
            executor::sleep::<Pollux>(ms).await;
        }
    };
    let limit = Instant(now().saturating_add(WAIT_MS * ms));
    executor::timeout::<Pollux, _>(limit, finished).await.is_ok()
}

/// It no longer does.
pub fn release_log() {
    access::reserve(None);
}

/// The partitions of that type and their own GUIDs, with all the access that their devices give:
/// for what the kernel keeps in a partition of its own type.
pub fn partitions_of(kind: Guid) -> Vec<(Block, Guid)> {
    let of_kind = listed().into_iter().filter(|one| one.kind == Some(kind));
    of_kind.filter_map(|one| Some((one.block, one.id?))).collect()
}

/// Says whether the shell and ring 3 may write to the disk or partition `name`, as long as it is
/// there. What is said of a disk is said of its partitions, whatever was said of these before.
pub fn allow(name: &str, writable: Writable) {
    let parts = listed().into_iter().filter(|one| one.whole == name);
    parts.for_each(|part| access::forget(part.block.name()));
    access::allow(name, writable);
}

pub(super) fn add(listed: Listed) {
    let mut disks = DISKS.lock();
    // A partition whose disk has gone meanwhile has gone with it.
    if listed.is_whole()
        || disks.iter().any(|other| other.whole == listed.whole && other.is_whole())
    {
        disks.push(listed);
    }
}

/// A disk's name: this and the lowest number that no disk has.
pub(super) fn free_name(prefix: &str) -> String {
    let disks = DISKS.lock();
    let is_free = |name: &String| disks.iter().all(|listed| listed.block.name() != *name);
    (0..).map(|number: u32| format!("{prefix}{number}")).find(is_free).unwrap_or_default()
}

/// What that controller had at that port is no longer there.
pub(super) fn remove_at_port(controller: u64, port: u8) {
    remove(|listed| match listed.block.device() {
        Device::Ahci(disk) => listed.controller == controller && disk.name().1 == port,
        Device::Nvme(_) => false,
    });
}

/// The driver of that controller has ended.
pub(super) fn remove_all_of(controller: u64) {
    remove(|listed| listed.controller == controller);
}

fn remove(gone: impl Fn(&Listed) -> bool) {
    let removed: Vec<Listed> = DISKS.lock().extract_if(.., |listed| gone(listed)).collect();
    // Their last handles are dropped here, out of the lock.
    removed.into_iter().for_each(|listed| access::forget(listed.block.name()));
}
