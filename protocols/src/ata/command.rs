//! Commands, as the registers a disk gets (ACS-3, chapter 7).

/// Command codes.
pub mod opcode {
    /// DATA SET MANAGEMENT.
    pub const DATA_SET_MANAGEMENT: u8 = 0x06;
    /// READ DMA EXT.
    pub const READ_DMA_EXT: u8 = 0x25;
    /// READ LOG EXT.
    pub const READ_LOG_EXT: u8 = 0x2f;
    /// WRITE DMA EXT.
    pub const WRITE_DMA_EXT: u8 = 0x35;
    /// READ FPDMA QUEUED.
    pub const READ_QUEUED: u8 = 0x60;
    /// WRITE FPDMA QUEUED.
    pub const WRITE_QUEUED: u8 = 0x61;
    /// SMART.
    pub const SMART: u8 = 0xb0;
    /// READ DMA.
    pub const READ_DMA: u8 = 0xc8;
    /// WRITE DMA.
    pub const WRITE_DMA: u8 = 0xca;
    /// STANDBY IMMEDIATE.
    pub const STANDBY_IMMEDIATE: u8 = 0xe0;
    /// FLUSH CACHE.
    pub const FLUSH_CACHE: u8 = 0xe7;
    /// FLUSH CACHE EXT.
    pub const FLUSH_CACHE_EXT: u8 = 0xea;
    /// IDENTIFY DEVICE.
    pub const IDENTIFY: u8 = 0xec;
}

/// The log that names the queued command that failed (ACS-3, A.14).
pub const QUEUE_LOG: u8 = 0x10;
/// The signature in bits 8 to 23 of the LBA that SMART commands carry, and that SMART RETURN
/// STATUS gives back when all is well.
pub const SMART_HEALTHY: u64 = 0xc2_4f00;
/// What SMART RETURN STATUS gives back when the disk expects to fail.
pub const SMART_UNHEALTHY: u64 = 0x2c_f400;

/// Device register: the address is a block number.
const BY_LBA: u8 = 1 << 6;
/// Feature of DATA SET MANAGEMENT: trim.
const TRIM: u16 = 1;
/// Features of SMART.
const SMART_READ_DATA: u16 = 0xd0;
const SMART_RETURN_STATUS: u16 = 0xda;

/// How long block numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// 28 bits, at most 256 blocks a command.
    Bits28,
    /// 48 bits, at most 65,536 blocks a command.
    Bits48,
}

impl Addressing {
    /// Most blocks in one command.
    pub const fn most_blocks(self) -> u32 {
        match self {
            Self::Bits28 => 256,
            Self::Bits48 => 65_536,
        }
    }
}

/// The registers of a command. 48 bits of `lba` count, fewer where a command has 28.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Command register.
    pub code: u8,
    /// Features register; the block count of a queued command.
    pub features: u16,
    /// Address.
    pub lba: u64,
    /// Count register; 0 stands for the most there can be. The tag of a queued command.
    pub count: u16,
    /// Device register.
    pub device: u8,
}

impl Command {
    const fn of(code: u8) -> Self {
        Self { code, features: 0, lba: 0, count: 0, device: 0 }
    }

    const fn at(code: u8, lba: u64, count: u16) -> Self {
        Self { code, features: 0, lba: lba & 0xffff_ffff_ffff, count, device: BY_LBA }
    }

    /// With the address in the registers of a 28-bit command.
    const fn short(code: u8, lba: u64, blocks: u32) -> Self {
        let high = (lba >> 24 & 0xf) as u8;
        Self {
            code,
            features: 0,
            lba: lba & 0xff_ffff,
            count: (blocks & 0xff) as u16,
            device: BY_LBA | high,
        }
    }

    /// What the disk is (512 bytes).
    pub const fn identify() -> Self {
        Self::of(opcode::IDENTIFY)
    }

    /// Reads `blocks` blocks (1 to [`Addressing::most_blocks`]), one command at a time.
    pub const fn read(addressing: Addressing, lba: u64, blocks: u32) -> Self {
        match addressing {
            Addressing::Bits28 => Self::short(opcode::READ_DMA, lba, blocks),
            Addressing::Bits48 => Self::at(opcode::READ_DMA_EXT, lba, blocks as u16),
        }
    }

    /// Writes `blocks` blocks, one command at a time.
    pub const fn write(addressing: Addressing, lba: u64, blocks: u32) -> Self {
        match addressing {
            Addressing::Bits28 => Self::short(opcode::WRITE_DMA, lba, blocks),
            Addressing::Bits48 => Self::at(opcode::WRITE_DMA_EXT, lba, blocks as u16),
        }
    }

    /// Reads `blocks` blocks (1 to 65,536) as a queued command, which needs a
    /// [`tag`](Self::tagged).
    pub const fn read_queued(lba: u64, blocks: u32) -> Self {
        let mut command = Self::at(opcode::READ_QUEUED, lba, 0);
        command.features = blocks as u16;
        command
    }

    /// Writes `blocks` blocks as a queued command.
    pub const fn write_queued(lba: u64, blocks: u32) -> Self {
        let mut command = Self::at(opcode::WRITE_QUEUED, lba, 0);
        command.features = blocks as u16;
        command
    }

    /// A queued command with its tag, below 32.
    #[must_use]
    pub const fn tagged(mut self, tag: u8) -> Self {
        self.count = (tag as u16 & 0x1f) << 3;
        self
    }

    /// Writes what is in the disk's cache to the medium.
    pub const fn flush(addressing: Addressing) -> Self {
        match addressing {
            Addressing::Bits28 => Self::of(opcode::FLUSH_CACHE),
            Addressing::Bits48 => Self::of(opcode::FLUSH_CACHE_EXT),
        }
    }

    /// Gives up the data of the ranges in `sectors` sectors of [lists](super::trim_list).
    pub const fn trim(sectors: u16) -> Self {
        let mut command = Self::at(opcode::DATA_SET_MANAGEMENT, 0, sectors);
        command.features = TRIM;
        command
    }

    /// The first page (512 bytes) of log `log`.
    pub const fn read_log(log: u8) -> Self {
        Self::at(opcode::READ_LOG_EXT, log as u64, 1)
    }

    /// Flushes, and lets the disk come to rest: power may go.
    pub const fn standby() -> Self {
        Self::of(opcode::STANDBY_IMMEDIATE)
    }

    /// Whether the disk expects to fail: the answer is in the LBA it ends with, see
    /// [`SMART_HEALTHY`].
    pub const fn smart_status() -> Self {
        let mut command = Self::of(opcode::SMART);
        command.features = SMART_RETURN_STATUS;
        command.lba = SMART_HEALTHY;
        command
    }

    /// The disk's attributes (512 bytes).
    pub const fn smart_data() -> Self {
        let mut command = Self::of(opcode::SMART);
        command.features = SMART_READ_DATA;
        command.lba = SMART_HEALTHY;
        command
    }

    /// Whether it is a queued command.
    pub const fn is_queued(&self) -> bool {
        matches!(self.code, opcode::READ_QUEUED | opcode::WRITE_QUEUED)
    }

    /// The tag of a queued command.
    pub const fn tag(&self) -> u8 {
        (self.count >> 3) as u8 & 0x1f
    }

    /// The first block and the number of blocks of a read or write; `None` for anything else.
    pub const fn range(&self) -> Option<(u64, u32)> {
        const fn or(count: u16, most: u32) -> u32 {
            if count == 0 { most } else { count as u32 }
        }
        match self.code {
            opcode::READ_QUEUED | opcode::WRITE_QUEUED => {
                Some((self.lba, or(self.features, 65_536)))
            }
            opcode::READ_DMA_EXT | opcode::WRITE_DMA_EXT => {
                Some((self.lba, or(self.count, 65_536)))
            }
            opcode::READ_DMA | opcode::WRITE_DMA => {
                let lba = self.lba & 0xff_ffff | (self.device as u64 & 0xf) << 24;
                Some((lba, or(self.count & 0xff, 256)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn registers_of_commands() {
        let read = Command::read(Addressing::Bits48, 0x1234_5678_9abc, 65_536);
        assert_eq!((read.code, read.lba, read.count, read.device), (0x25, 0x1234_5678_9abc, 0, 64));
        let short = Command::write(Addressing::Bits28, 0xfab_cdef, 256);
        assert_eq!((short.code, short.lba, short.count), (0xca, 0xab_cdef, 0));
        assert_eq!(short.device, 0x4f);
        let queued = Command::write_queued(7, 8).tagged(31);
        assert_eq!((queued.features, queued.count, queued.tag()), (8, 31 << 3, 31));
        assert!(queued.is_queued() && !read.is_queued());
        assert_eq!(Command::smart_status().lba, 0xc2_4f00);
    }

    proptest! {
        /// What is asked for is what the registers say.
        #[test]
        fn ranges(lba in 0u64..1 << 48, blocks in 1u32..=65_536, tag in 0u8..32) {
            for command in [
                Command::read(Addressing::Bits48, lba, blocks),
                Command::write(Addressing::Bits48, lba, blocks),
                Command::read_queued(lba, blocks).tagged(tag),
                Command::write_queued(lba, blocks).tagged(tag),
            ] {
                prop_assert_eq!(command.range(), Some((lba, blocks)));
                prop_assert!(!command.is_queued() || command.tag() == tag);
            }
            let (lba, blocks) = (lba & 0xfff_ffff, blocks.min(256));
            for command in [
                Command::read(Addressing::Bits28, lba, blocks),
                Command::write(Addressing::Bits28, lba, blocks),
            ] {
                prop_assert_eq!(command.range(), Some((lba, blocks)));
            }
        }
    }
}
