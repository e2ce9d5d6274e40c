//! The log of a disk's writes and flushes that QEMU's `blklogwrites` keeps, in the format of Linux's
//! `dm-log-writes` (`drivers/md/dm-log-writes.c`).
//!
//! ```text
//!   sector 0       1            2…            …
//!   ┌───────────┬────────────┬─────────────┬────────────┬─────────────┬──
//!   │superblock │ entry 0    │ its data    │ entry 1    │ its data    │ …
//!   └───────────┴────────────┴─────────────┴────────────┴─────────────┴──
//!   superblock: magic u64, version u64, entries u64, bytes of a sector u32
//!   entry:      sector u64, sectors u64, flags u64, bytes of a mark u64
//! ```
//!
//! Numbers are little-endian. Entries begin at sectors; flushes and discards have no data. QEMU
//! writes an entry once the operation is done and before the guest is told so, and the superblock
//! at flushes (when it leaves it flushes too), so what came after the last flush of a machine that
//! was killed is not counted.

use std::fmt;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const SUPERBLOCK: usize = 28;
const ENTRY: usize = 32;

mod flag {
    /// What was written before is made to stay first.
    pub const FLUSH: u64 = 1;
    /// Its own data stays.
    pub const FUA: u64 = 2;
    /// Its blocks are no longer needed.
    pub const DISCARD: u64 = 4;
    /// Text of whoever keeps the log.
    pub const MARK: u64 = 8;
    pub const ALL: u64 = FLUSH | FUA | DISCARD | MARK;
}

/// What one entry says, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// What had been done before stays from here on.
    Flush,
    /// Bytes were written.
    Write {
        /// The first one's place on the disk.
        offset: u64,
        /// The bytes: whole sectors.
        data: &'a [u8],
        /// Whether they stay by themselves.
        stays: Stays,
    },
    /// Bytes are no longer needed.
    Discard {
        /// The first one's place on the disk.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// Whether written bytes outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// From the next flush on.
    AfterFlush,
    /// At once (Force Unit Access).
    AtOnce,
}

/// Why a file is no such log, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogError {
    /// Which byte of the file.
    at: usize,
    /// Which entry, unless it is the superblock.
    entry: Option<u64>,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Empty,
    Short,
    Magic(u64),
    Version(u64),
    Sector(u32),
    Flags(u64),
    Place,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(entry) => write!(f, "the log of writes, entry {entry} (byte {}): ", self.at)?,
            None => write!(f, "the log of writes, superblock: ")?,
        }
        match self.why {
            Why::Empty => write!(f, "nothing was ever flushed, or QEMU did not leave by itself"),
            Why::Short => write!(f, "the file ends before it does"),
            Why::Magic(magic) => write!(f, "it begins {magic:#x}, not {MAGIC:#x}"),
            Why::Version(version) => write!(f, "version {version}, not {VERSION}"),
            Why::Sector(bytes) => write!(f, "sectors of {bytes} bytes"),
            Why::Flags(flags) => write!(f, "flags {flags:#x} say nothing known"),
            Why::Place => write!(f, "a place beyond every disk"),
        }
    }
}

impl std::error::Error for LogError {}

/// A log: its operations, in the order in which they were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteLog<'a> {
    /// Bytes of a sector: what a disk writes wholly or not at all.
    pub sector: usize,
    /// All of them.
    pub operations: Vec<Operation<'a>>,
}

impl<'a> WriteLog<'a> {
    /// Reads a log.
    ///
    /// # Errors
    /// It is none, or it is damaged.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, LogError> {
        let fails = |why| LogError { at: 0, entry: None, why };
        if bytes.iter().take(SUPERBLOCK).all(|byte| *byte == 0) {
            return Err(fails(Why::Empty));
        }
        let superblock = bytes.get(..SUPERBLOCK).ok_or(fails(Why::Short))?;
        let (magic, version) = (number(superblock, 0), number(superblock, 8));
        if magic != MAGIC {
            return Err(fails(Why::Magic(magic)));
        }
        if version != VERSION {
            return Err(fails(Why::Version(version)));
        }
        let entries = number(superblock, 16);
        let sector = number(superblock, 20) >> 32;
        let bad = fails(Why::Sector(sector as u32));
        let sector = usize::try_from(sector).map_err(|_| bad)?;
        // As large as QEMU makes them, and large enough for an entry.
        if !sector.is_power_of_two() || !(512..1 << 24).contains(&sector) {
            return Err(bad);
        }
        let mut log = Self { sector, operations: Vec::new() };
        let mut at = sector;
        for entry in 0..entries {
            at = log.entry(bytes, at).map_err(|why| LogError { at, entry: Some(entry), why })?;
        }
        Ok(log)
    }

    /// Reads the entry at byte `at`; the place of the next.
    fn entry(&mut self, bytes: &'a [u8], at: usize) -> Result<usize, Why> {
        let end = at.checked_add(ENTRY).ok_or(Why::Short)?;
        let head = bytes.get(at..end).ok_or(Why::Short)?;
        let [first, sectors, flags, text] = [0, 8, 16, 24].map(|field| number(head, field));
        if flags & !flag::ALL != 0 {
            return Err(Why::Flags(flags));
        }
        let size = self.sector as u64;
        let offset = first.checked_mul(size).ok_or(Why::Place)?;
        let length = sectors.checked_mul(size).ok_or(Why::Place)?;
        offset.checked_add(length).ok_or(Why::Place)?;
        if flags & flag::FLUSH != 0 {
            self.operations.push(Operation::Flush);
        }
        let next = at.checked_add(self.sector).ok_or(Why::Short)?;
        if flags & flag::DISCARD != 0 {
            self.operations.push(Operation::Discard { offset, length });
            return Ok(next);
        }
        let length = if flags & flag::MARK != 0 { text } else { length };
        let length = usize::try_from(length).map_err(|_| Why::Short)?;
        let end = next.checked_add(length).ok_or(Why::Short)?;
        // The last sector of a mark need not be whole.
        let data = bytes.get(next..end).ok_or(Why::Short)?;
        if flags & flag::MARK == 0 && !data.is_empty() {
            let stays = if flags & flag::FUA != 0 { Stays::AtOnce } else { Stays::AfterFlush };
            self.operations.push(Operation::Write { offset, data, stays });
        }
        end.checked_next_multiple_of(self.sector).ok_or(Why::Short)
    }

    /// How many of them are flushes.
    pub fn flushes(&self) -> usize {
        self.operations.iter().filter(|one| **one == Operation::Flush).count()
    }
}

/// The eight bytes at `at`; those that are missing count as zero.
fn number(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    let from = bytes.get(at..).unwrap_or_default();
    for (to, from) in eight.iter_mut().zip(from) {
        *to = *from;
    }
    u64::from_le_bytes(eight)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log in the making.
    pub struct Maker {
        sector: usize,
        entries: u64,
        bytes: Vec<u8>,
    }

    impl Maker {
        pub fn new(sector: usize) -> Self {
            Self { sector, entries: 0, bytes: vec![0; sector] }
        }

        pub fn entry(&mut self, offset: u64, flags: u64, data: &[u8]) {
            let size = self.sector as u64;
            let text = if flags & flag::MARK != 0 { data.len() as u64 } else { 0 };
            for field in [offset / size, data.len() as u64 / size, flags, text] {
                self.bytes.extend(field.to_le_bytes());
            }
            self.bytes.resize(self.bytes.len().next_multiple_of(self.sector), 0);
            if flags & flag::DISCARD == 0 {
                self.bytes.extend(data);
                self.bytes.resize(self.bytes.len().next_multiple_of(self.sector), 0);
            }
            self.entries += 1;
        }

        pub fn finish(mut self) -> Vec<u8> {
            let mut head: Vec<u8> = Vec::new();
            [MAGIC, VERSION, self.entries]
                .iter()
                .for_each(|field| head.extend(field.to_le_bytes()));
            head.extend((self.sector as u32).to_le_bytes());
            self.bytes[..SUPERBLOCK].copy_from_slice(&head);
            self.bytes
        }
    }

    fn sample() -> Vec<u8> {
        let mut maker = Maker::new(512);
        maker.entry(1024, 0, &[1; 1024]);
        maker.entry(0, flag::FLUSH, &[]);
        maker.entry(512, flag::FUA, &[2; 512]);
        maker.entry(0, flag::MARK, b"text");
        maker.entry(4096, flag::DISCARD, &[0; 4096]);
        maker.entry(512, flag::FLUSH, &[3; 512]);
        maker.finish()
    }

    #[test]
    fn operations_come_in_their_order() {
        let bytes = sample();
        let log = WriteLog::new_checked(&bytes).unwrap();
        let write = |offset, data, stays| Operation::Write { offset, data, stays };
        let expected = [
            write(1024, &[1; 1024][..], Stays::AfterFlush),
            Operation::Flush,
            write(512, &[2; 512], Stays::AtOnce),
            Operation::Discard { offset: 4096, length: 4096 },
            Operation::Flush,
            write(512, &[3; 512], Stays::AfterFlush),
        ];
        assert_eq!((log.sector, &log.operations[..]), (512, &expected[..]));
        assert_eq!(log.flushes(), 2);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let spoilt = |at: usize, value: u8| {
            let mut bytes = sample();
            bytes[at] = value;
            WriteLog::new_checked(&bytes).unwrap_err().to_string()
        };
        assert!(spoilt(0, 1).contains("it begins 0x6a736677736801"));
        assert!(spoilt(8, 2).contains("version 2"));
        assert!(
            spoilt(16, 99).contains("entry 6 (byte 6144): the file ends"),
            "{}",
            spoilt(16, 99)
        );
        assert!(spoilt(25, 3).contains("sectors of 768 bytes"));
        assert!(spoilt(512 + 16, 0x10).contains("entry 0 (byte 512): flags 0x10"));
        assert!(spoilt(512 + 7, 0xff).contains("beyond every disk"));
        assert!(spoilt(512 + 9, 0xff).contains("the file ends before"));
        for (bytes, why) in [(&[][..], "QEMU did not leave"), (&sample()[..20], "the file ends")] {
            let error = WriteLog::new_checked(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(WriteLog::new_checked(&[0; 4096]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _ = WriteLog::new_checked(&bytes);
        }

        #[test]
        fn no_damage_is_a_surprise(
            damage in proptest::collection::vec((0..5632usize, any::<u8>()), 1..12),
            length in 0..5632usize,
        ) {
            let mut bytes = sample();
            for (at, value) in damage {
                let at = at.min(bytes.len() - 1);
                bytes[at] = value;
            }
            if let Ok(log) = WriteLog::new_checked(&bytes) {
                for operation in &log.operations {
                    if let Operation::Write { data, .. } = operation {
                        prop_assert!(data.len().is_multiple_of(log.sector));
                    }
                }
            }
            bytes.truncate(length);
            let _ = WriteLog::new_checked(&bytes);
        }
    }
}
