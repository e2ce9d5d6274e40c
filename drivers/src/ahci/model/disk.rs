//! A disk in memory: what it says of itself, and what it answers to commands.

use std::ops::Range;
use std::vec;
use std::vec::Vec;

use protocols::ata::{
    Command, Outcome, QUEUE_LOG, QueueError, SECTOR_BYTES, SMART_HEALTHY, SMART_UNHEALTHY, opcode,
    ranges,
};

/// Blocks of a disk.
pub(in super::super) const BLOCKS: usize = 8192;
const GOOD: Outcome = Outcome::new(0x50, 0);
const ABORTED: Outcome = Outcome::new(0x51, 0x04);
const NO_SUCH_BLOCK: Outcome = Outcome::new(0x51, 0x10);

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Disk,
    Packet,
    Multiplier,
}

impl Kind {
    pub(super) fn signature(self) -> u32 {
        match self {
            Self::Disk => 0x101,
            Self::Packet => 0xeb14_0101,
            Self::Multiplier => 0x9669_0101,
        }
    }
}

pub(in super::super) struct Disk {
    pub(in super::super) bytes: Vec<u8>,
    pub(in super::super) identify: [u8; SECTOR_BYTES],
    pub(in super::super) kind: Kind,
    /// It never gets ready after a reset.
    pub(in super::super) never_ready: bool,
    /// Whether it can say which queued command failed.
    pub(in super::super) has_log: bool,
    /// Writes over the log's page before it is given out.
    pub(in super::super) scribble: Option<fn(&mut [u8])>,
    pub(in super::super) is_failing: bool,
    pub(in super::super) flushes: u32,
    pub(in super::super) standbys: u32,
    pub(super) failed: Option<QueueError>,
    block: usize,
}

/// What moves between disk and host.
pub(super) enum Data {
    None,
    /// These bytes, without DMA.
    ToHost(Vec<u8>),
    /// These of the disk.
    FromDisk(Range<usize>),
    FromHost(Range<usize>),
    /// A list of ranges.
    Ranges,
}

pub(super) struct Answered {
    pub(super) outcome: Outcome,
    pub(super) lba: u64,
    pub(super) data: Data,
}

impl Disk {
    /// A disk with blocks of `block` bytes that takes `depth` queued commands.
    pub(in super::super) fn new(block: usize, depth: Option<u16>) -> Self {
        let mut disk = Self {
            bytes: vec![0; block * BLOCKS],
            identify: [0; SECTOR_BYTES],
            kind: Kind::Disk,
            never_ready: false,
            has_log: true,
            scribble: None,
            is_failing: false,
            flushes: 0,
            standbys: 0,
            failed: None,
            block,
        };
        for (word, value) in [
            (10, u16::from_be_bytes(*b"S1")),
            (23, u16::from_be_bytes(*b"v1")),
            (27, u16::from_be_bytes(*b"Mo")),
            (28, u16::from_be_bytes(*b"de")),
            (49, 0x300),
            (60, BLOCKS as u16),
            (75, depth.map_or(0, |depth| depth - 1)),
            (76, u16::from(depth.is_some()) << 8),
            (82, 1 << 5 | 1),
            (83, 1 << 14 | 1 << 13 | 1 << 10),
            (85, 1 << 5 | 1),
            (87, 1 << 14),
            (100, BLOCKS as u16),
            (106, 1 << 14 | u16::from(block != 512) << 12),
            (117, (block / 2) as u16),
            (169, 1),
        ] {
            disk.set_word(word, value);
        }
        disk
    }

    pub(in super::super) fn set_word(&mut self, word: usize, value: u16) {
        self.identify[2 * word..2 * word + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.identify[150]) + 1
    }

    /// Whether something may happen to the command, by the test's will.
    pub(super) fn is_data(&self, command: &Command) -> bool {
        command.range().is_some()
            || matches!(command.code, opcode::FLUSH_CACHE_EXT | opcode::DATA_SET_MANAGEMENT)
    }

    pub(super) fn tells_failed(&self, command: &Command) -> bool {
        command.code == opcode::READ_LOG_EXT && command.lba == u64::from(QUEUE_LOG)
    }

    pub(super) fn answer(&mut self, command: &Command) -> Answered {
        let plain = |outcome| Answered { outcome, lba: 0, data: Data::None };
        let page =
            |bytes: &[u8]| Answered { outcome: GOOD, lba: 0, data: Data::ToHost(bytes.to_vec()) };
        if let Some((lba, blocks)) = command.range() {
            let end = lba + u64::from(blocks);
            if end > BLOCKS as u64 {
                return plain(NO_SUCH_BLOCK);
            }
            let range = lba as usize * self.block..end as usize * self.block;
            let is_write = matches!(
                command.code,
                opcode::WRITE_QUEUED | opcode::WRITE_DMA_EXT | opcode::WRITE_DMA
            );
            let data = if is_write { Data::FromHost(range) } else { Data::FromDisk(range) };
            return Answered { outcome: GOOD, lba, data };
        }
        match command.code {
            opcode::IDENTIFY => page(&self.identify),
            opcode::READ_LOG_EXT if self.tells_failed(command) && self.has_log => {
                let failed = self.failed.take();
                let none = QueueError { tag: 0, outcome: GOOD };
                let mut bytes = failed.unwrap_or(none).page();
                if let Some(scribble) = self.scribble {
                    scribble(&mut bytes);
                }
                page(&bytes)
            }
            opcode::FLUSH_CACHE | opcode::FLUSH_CACHE_EXT => {
                self.flushes += 1;
                plain(GOOD)
            }
            opcode::STANDBY_IMMEDIATE => {
                self.standbys += 1;
                plain(GOOD)
            }
            opcode::DATA_SET_MANAGEMENT => Answered { outcome: GOOD, lba: 0, data: Data::Ranges },
            opcode::SMART if command.features == 0xda => {
                let lba = if self.is_failing { SMART_UNHEALTHY } else { SMART_HEALTHY };
                Answered { outcome: GOOD, lba, data: Data::None }
            }
            opcode::SMART if command.features == 0xd0 => {
                let mut bytes = [0; SECTOR_BYTES];
                (bytes[2], bytes[7], bytes[511]) = (194, 36, 26);
                page(&bytes)
            }
            _ => plain(ABORTED),
        }
    }

    pub(super) fn bytes_of(&self, data: &Data) -> usize {
        match data {
            Data::None => 0,
            Data::ToHost(bytes) => bytes.len(),
            Data::FromDisk(range) | Data::FromHost(range) => range.len(),
            Data::Ranges => SECTOR_BYTES,
        }
    }

    pub(super) fn read_out(&self, data: &Data, into: &mut [u8]) {
        match data {
            Data::ToHost(bytes) => into.copy_from_slice(bytes),
            Data::FromDisk(range) => into.copy_from_slice(&self.bytes[range.clone()]),
            _ => {}
        }
    }

    pub(super) fn write_in(&mut self, data: &Data, from: &[u8]) {
        match data {
            Data::FromHost(range) => self.bytes[range.clone()].copy_from_slice(from),
            Data::Ranges => {
                for (lba, blocks) in ranges(from) {
                    let start = lba as usize * self.block;
                    self.bytes[start..start + blocks as usize * self.block].fill(0);
                }
            }
            _ => {}
        }
    }
}
