//! What a disk says of itself (ACS-3, 7.12.7: IDENTIFY DEVICE, 256 words).

use super::{Addressing, SECTOR_BYTES};
use crate::fields::{array_at, u8_at, u16_at, u32_at, u64_at};

/// Why identify data cannot be used. The disk is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum IdentifyError {
    /// Not 512 bytes.
    #[error("identify data have {SECTOR_BYTES} bytes")]
    Length,
    /// The checksum they carry is not theirs.
    #[error("its identify data were damaged on the way")]
    Checksum,
    /// It is no disk: a CD drive, a tape, something else that takes packets.
    #[error("not a disk (an ATAPI device)")]
    Packet,
    /// It addresses blocks by cylinder, head and sector only, or knows no DMA.
    #[error("too old: it knows no LBA, or no DMA")]
    Old,
    /// The block size is none of 512, 1024, 2048, 4096.
    #[error("blocks of {0} bytes are not supported")]
    BlockSize(u32),
    /// It has no blocks.
    #[error("it has no blocks")]
    Empty,
    /// A password keeps everyone out.
    #[error("it is locked by a password: unlock it elsewhere")]
    Locked,
}

/// The disk's write cache, which a loss of power empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// It has none.
    None,
    /// It has one that is switched off.
    Off,
    /// It has one that is on: writes survive a loss of power only after a flush.
    On,
}

/// How the disk counts its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many blocks it has; never 0.
    pub blocks: u64,
    /// Bytes of a block as it is addressed: 512, 1024, 2048 or 4096.
    pub block_bytes: u32,
    /// Bytes of a block as it lies on the medium; at least `block_bytes`.
    pub physical_bytes: u32,
}

/// What a disk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    serial: [u8; 20],
    firmware: [u8; 8],
    model: [u8; 40],
    /// Its blocks.
    pub geometry: Geometry,
    /// How long its block numbers are.
    pub addressing: Addressing,
    /// How many queued commands it takes at once (1 to 32); `None`: it knows none.
    pub queue_depth: Option<u8>,
    /// Its write cache.
    pub cache: Cache,
    /// Whether it takes lists of ranges whose data nobody wants any more.
    pub has_trim: bool,
    /// Whether it watches its own health, and is doing so.
    pub has_smart: bool,
    /// Whether it has no moving parts.
    pub is_solid_state: bool,
}

/// The word that a device which takes packets, or a CompactFlash card, begins with.
const PACKET: u16 = 1 << 15;
const COMPACT_FLASH: u16 = 0x848a;

impl Identity {
    /// Reads the data, and refuses what cannot be used.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, IdentifyError> {
        if bytes.len() != SECTOR_BYTES {
            return Err(IdentifyError::Length);
        }
        let short = IdentifyError::Length;
        let word = |index: usize| u16_at(bytes, 2 * index).ok_or(short);
        let has = |index: usize, bit: u32| Ok(word(index)? >> bit & 1 == 1);
        // Words 83, 87, 106 say in their top bits that they, and those they speak for, are valid.
        let is_valid = |index: usize| Ok(word(index)? >> 14 == 0b01);
        if u8_at(bytes, 510) == Some(0xa5)
            && bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != 0
        {
            return Err(IdentifyError::Checksum);
        }
        let kind = word(0)?;
        if kind & PACKET != 0 && kind != COMPACT_FLASH {
            return Err(IdentifyError::Packet);
        }
        if !has(49, 9)? || !has(49, 8)? {
            return Err(IdentifyError::Old);
        }
        if has(128, 2)? {
            return Err(IdentifyError::Locked);
        }
        let features = is_valid(83)?;
        let addressing =
            if features && has(83, 10)? { Addressing::Bits48 } else { Addressing::Bits28 };
        let blocks = match addressing {
            Addressing::Bits28 => u64::from(u32_at(bytes, 120).ok_or(short)?) & 0xfff_ffff,
            Addressing::Bits48 => u64_at(bytes, 200).ok_or(short)? & 0xffff_ffff_ffff,
        };
        if blocks == 0 {
            return Err(IdentifyError::Empty);
        }
        let sizes = is_valid(106)?;
        let block_bytes = if sizes && has(106, 12)? {
            u32_at(bytes, 234).ok_or(short)?.saturating_mul(2)
        } else {
            512
        };
        if !matches!(block_bytes, 512 | 1024 | 2048 | 4096) {
            return Err(IdentifyError::BlockSize(block_bytes));
        }
        let shift = if sizes && has(106, 13)? { word(106)? & 0xf } else { 0 };
        let cache = match (features && has(82, 5)?, is_valid(87)? && has(85, 5)?) {
            (false, _) => Cache::None,
            (true, false) => Cache::Off,
            (true, true) => Cache::On,
        };
        let queued =
            !matches!(word(76)?, 0 | u16::MAX) && has(76, 8)? && addressing == Addressing::Bits48;
        Ok(Self {
            serial: text_field(array_at(bytes, 20).ok_or(short)?),
            firmware: text_field(array_at(bytes, 46).ok_or(short)?),
            model: text_field(array_at(bytes, 54).ok_or(short)?),
            geometry: Geometry { blocks, block_bytes, physical_bytes: block_bytes << shift },
            addressing,
            queue_depth: if queued { Some((word(75)? & 0x1f) as u8 + 1) } else { None },
            cache,
            has_trim: has(169, 0)? && addressing == Addressing::Bits48,
            has_smart: features && has(82, 0)? && is_valid(87)? && has(85, 0)?,
            is_solid_state: word(217)? == 1,
        })
    }

    /// Its serial number.
    pub fn serial(&self) -> &str {
        text(&self.serial)
    }

    /// The version of its firmware.
    pub fn firmware(&self) -> &str {
        text(&self.firmware)
    }

    /// Its model.
    pub fn model(&self) -> &str {
        text(&self.model)
    }
}

/// Texts have their bytes swapped in each word.
fn text_field<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    bytes
}

/// The printable part of a padded text.
fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or("").trim()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A disk of 4096 blocks of 512 bytes that can do everything.
    pub(in super::super) fn disk() -> [u8; SECTOR_BYTES] {
        let mut bytes = [0; SECTOR_BYTES];
        let mut set = |index: usize, value: u16| {
            bytes[2 * index..2 * index + 2].copy_from_slice(&value.to_le_bytes());
        };
        set(0, 0x40);
        set(10, u16::from_be_bytes(*b"S1"));
        for word in 11..20 {
            set(word, 0x2020);
        }
        set(23, u16::from_be_bytes(*b"v2"));
        set(27, u16::from_be_bytes(*b"MO"));
        set(28, u16::from_be_bytes(*b"D "));
        set(49, 0x300);
        set(60, 4096);
        set(75, 31);
        set(76, 1 << 8);
        set(82, 1 << 5 | 1);
        set(83, 1 << 14 | 1 << 13 | 1 << 10);
        set(85, 1 << 5 | 1);
        set(87, 1 << 14);
        set(100, 4096);
        set(106, 1 << 14 | 1 << 13 | 3);
        set(169, 1);
        set(217, 1);
        bytes
    }

    #[test]
    fn a_disk_that_can_do_everything() {
        let identity = Identity::new_checked(&disk()).unwrap();
        assert_eq!((identity.serial(), identity.model()), ("S1", "MOD"));
        assert_eq!(identity.firmware(), "v2");
        let geometry = Geometry { blocks: 4096, block_bytes: 512, physical_bytes: 4096 };
        assert_eq!(identity.geometry, geometry);
        assert_eq!((identity.queue_depth, identity.cache), (Some(32), Cache::On));
        assert!(identity.has_trim && identity.has_smart && identity.is_solid_state);
        assert_eq!(identity.addressing, Addressing::Bits48);
    }

    #[test]
    fn less_able_disks_and_refusals() {
        let read = |changes: &[(usize, u16)]| {
            let mut bytes = disk();
            for (index, value) in changes {
                bytes[2 * index..2 * index + 2].copy_from_slice(&value.to_le_bytes());
            }
            Identity::new_checked(&bytes)
        };
        let large = read(&[(106, 1 << 14 | 1 << 12), (117, 2048)]).unwrap().geometry;
        assert_eq!((large.block_bytes, large.physical_bytes), (4096, 4096));
        let old = read(&[(83, 0), (60, 500)]).unwrap();
        assert_eq!((old.addressing, old.geometry.blocks), (Addressing::Bits28, 500));
        assert_eq!((old.queue_depth, old.cache, old.has_trim), (None, Cache::None, false));
        assert_eq!(read(&[(76, 0xffff)]).unwrap().queue_depth, None);
        assert_eq!(read(&[(85, 0)]).unwrap().cache, Cache::Off);
        assert_eq!(read(&[(0, 0x8580)]), Err(IdentifyError::Packet));
        assert!(read(&[(0, COMPACT_FLASH)]).is_ok());
        assert_eq!(read(&[(49, 0x200)]), Err(IdentifyError::Old));
        assert_eq!(read(&[(49, 0x100)]), Err(IdentifyError::Old));
        assert_eq!(read(&[(128, 0x7)]), Err(IdentifyError::Locked));
        assert_eq!(read(&[(100, 0)]), Err(IdentifyError::Empty));
        let odd = [(106, 1 << 14 | 1 << 12), (117, 260)];
        assert_eq!(read(&odd), Err(IdentifyError::BlockSize(520)));
        assert_eq!(read(&[(255, 0x00a5)]), Err(IdentifyError::Checksum));
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let rest = 0u8.wrapping_sub(sum(&disk()).wrapping_add(0xa5));
        assert!(read(&[(255, u16::from(rest) << 8 | 0xa5)]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            changes in proptest::collection::vec((0usize..SECTOR_BYTES, any::<u8>()), 0..40),
        ) {
            let _ = Identity::new_checked(&bytes);
            let mut near = disk();
            changes.iter().for_each(|(at, byte)| near[*at] = *byte);
            if let Ok(identity) = Identity::new_checked(&near) {
                prop_assert!(identity.geometry.blocks > 0);
                prop_assert!(identity.geometry.block_bytes.is_power_of_two());
                prop_assert!(identity.geometry.physical_bytes >= identity.geometry.block_bytes);
                prop_assert!(identity.queue_depth.is_none_or(|depth| (1..=32).contains(&depth)));
                prop_assert!(identity.serial().is_ascii() && identity.model().is_ascii());
            }
        }
    }
}
