//! Boots with disks beside the boot disk: what the kernel writes is checked by the host, what the
//! host wrote is checked by the kernel.
//!
//! Several things are shown by one boot, since starting a machine takes longer than all of them.

use super::{Boot, Needs, PLAIN};
use crate::disks::{Area, BLANK, Data, Disk, Layout, Piece, pattern};
use crate::drives::{Fails, Fault, Port};
use crate::script::Step::{self, Ask, Await, Plug, Type, Unplug};
use crate::volumes::{Kept, Volume, pattern_file, text_file};

/// The last block of 64 MiB, in blocks of 512 and of 4096 bytes.
const LAST: u64 = 131_071;
const LAST_4096: u64 = 16_383;

/// Blocks in use on a disk of 64 MiB once [`NVME`] has run: the first, some that begin and end
/// inside a page, more than a command can carry, the last, some written twice, and some erased.
const WRITTEN_AND_ERASED: &[Piece] = &[
    pattern(0, 1, 1),
    pattern(1, 7, 2),
    pattern(13, 3, 3),
    pattern(1000, 8192, 4),
    pattern(20_001, 2049, 5),
    pattern(LAST, 1, 6),
    pattern(1500, 9, 7),
    Piece { lba: 2001, blocks: 30, data: Data::Zero },
];

/// The same once [`AHCI`] has run: SATA disks have no command that zeroes.
const WRITTEN: &[Piece] = WRITTEN_AND_ERASED.split_at(WRITTEN_AND_ERASED.len() - 1).0;

/// Blocks of 4096 bytes in use then.
const WRITTEN_4096: &[Piece] = &[pattern(0, 1, 11), pattern(3, 700, 12), pattern(LAST_4096, 1, 13)];

/// What the host writes for the kernel to check.
const BY_HOST: &[Piece] = &[pattern(0, 16, 21), pattern(4097, 3000, 22), pattern(LAST, 1, 23)];

pub(super) const fn blocks(before: &'static [Piece], after: &'static [Piece]) -> Layout {
    Layout::Whole(Area::Blocks { before, after })
}

/// Whatever the kernel makes of it.
const SCRATCH: Layout = blocks(&[], &[Piece { lba: 0, blocks: LAST + 1, data: Data::Anything }]);

/// As [`SCRATCH`], with blocks of 4096 bytes.
const SCRATCH_4096: Layout =
    blocks(&[], &[Piece { lba: 0, blocks: LAST_4096 + 1, data: Data::Anything }]);

/// Two controllers; three namespaces at the second.
const NVME: &[Step] = &[
    Ask("disks", "nvme1n3"),
    Ask("irq nvme1n1 msix", ": msix"),
    Ask("pattern write nvme1n1 0 1 1", "pattern: 1 block"),
    Ask("pattern write nvme1n1 1 7 2", "pattern: 7 blocks written"),
    Ask("pattern write nvme1n1 13 3 3", "pattern: 3 blocks written"),
    Ask("pattern write nvme1n1 1000 8192 4", "pattern: 8192 blocks written"),
    Ask("pattern check nvme1n1 1000 8192 4", "pattern: 8192 blocks as they should be"),
    Ask("irq nvme1n1 poll", ": poll"),
    Ask("pattern write nvme1n1 20001 2049 5", "pattern: 2049 blocks written"),
    Ask("pattern check nvme1n1 20001 2049 5", "pattern: 2049 blocks as they should be"),
    Ask("irq all adaptive", ": adaptive"),
    Ask("pattern write nvme1n1 131071 1 6", "pattern: 1 block"),
    Ask("pattern write nvme1n1 1500 9 7", "pattern: 9 blocks written"),
    Ask("erase zero nvme1n1 2001 30", "erase: 30 blocks"),
    Ask("pattern check nvme1n1 0 1 1", "pattern: 1 block"),
    Ask("pattern check nvme1n1 131071 1 6", "pattern: 1 block"),
    Ask("pattern check nvme1n1 40000 1 1", "pattern: byte 20480000 differs"),
    Ask("pattern write nvme1n1 131071 2 8", "beyond the end"),
    Ask("pattern write nvme1n2 0 1 11", "pattern: 1 block"),
    Ask("pattern write nvme1n2 3 700 12", "pattern: 700 blocks written"),
    Ask("pattern write nvme1n2 16383 1 13", "pattern: 1 block"),
    Ask("pattern check nvme1n2 3 700 12", "pattern: 700 blocks as they should be"),
    Ask("pattern check nvme1n3 0 16 21", "pattern: 16 blocks as they should be"),
    Ask("pattern check nvme1n3 4097 3000 22", "pattern: 3000 blocks as they should be"),
    Ask("pattern check nvme1n3 131071 1 23", "pattern: 1 block"),
    Ask("pattern write nvme1n3 0 1 9", "read-only"),
    Ask("flush nvme1n1", "will stay"),
    Ask("health nvme1n1", "warnings: none"),
    Type("poweroff"),
];

/// One controller beside the boot disk's; that one has two disks.
const AHCI: &[Step] = &[
    Ask("disks", "sata1"),
    Ask("irq sata0 msix", ": msix"),
    Ask("pattern write sata0 0 1 1", "pattern: 1 block"),
    Ask("pattern write sata0 1 7 2", "pattern: 7 blocks written"),
    Ask("pattern write sata0 13 3 3", "pattern: 3 blocks written"),
    Ask("pattern write sata0 1000 8192 4", "pattern: 8192 blocks written"),
    Ask("pattern check sata0 1000 8192 4", "pattern: 8192 blocks as they should be"),
    Ask("irq sata0 poll", ": poll"),
    Ask("pattern write sata0 20001 2049 5", "pattern: 2049 blocks written"),
    Ask("pattern check sata0 20001 2049 5", "pattern: 2049 blocks as they should be"),
    Ask("irq all adaptive", ": adaptive"),
    Ask("pattern write sata0 131071 1 6", "pattern: 1 block"),
    Ask("pattern write sata0 1500 9 7", "pattern: 9 blocks written"),
    Ask("erase zero sata0 2001 30", "cannot do this"),
    Ask("pattern check sata0 0 1 1", "pattern: 1 block"),
    Ask("pattern check sata0 131071 1 6", "pattern: 1 block"),
    Ask("pattern check sata0 40000 1 1", "pattern: byte 20480000 differs"),
    Ask("pattern write sata0 131071 2 8", "beyond the end"),
    Ask("pattern check sata1 0 16 21", "pattern: 16 blocks as they should be"),
    Ask("pattern check sata1 4097 3000 22", "pattern: 3000 blocks as they should be"),
    Ask("pattern check sata1 131071 1 23", "pattern: 1 block"),
    Ask("pattern write sata1 0 1 9", "read-only"),
    Ask("flush sata0", "will stay"),
    Ask("health sata0", "SMART: all is well"),
    Type("poweroff"),
];

/// Four NVMe controllers and two of AHCI, each in another mode; one namespace is refused.
const MANY: &[Step] = &[
    Await("namespace 2 is not used: blocks carry 8 bytes of metadata each"),
    Ask("irq nvme1n1 poll", ": poll"),
    Ask("irq nvme2n1 msix", ": msix"),
    Ask("irq nvme3n1 adaptive", ": adaptive"),
    Ask("irq sata0 poll", ": poll"),
    Ask("pattern write nvme1n1 8 2000 1", "pattern: 2000 blocks written"),
    Ask("pattern write nvme2n1 8 2000 2", "pattern: 2000 blocks written"),
    Ask("pattern write nvme3n1 8 2000 3", "pattern: 2000 blocks written"),
    Ask("pattern write sata0 8 2000 4", "pattern: 2000 blocks written"),
    Ask("pattern write sata1 8 2000 5", "pattern: 2000 blocks written"),
    Ask("irq all msix", ": msix"),
    Ask("pattern check nvme1n1 8 2000 1", "pattern: 2000 blocks as they should be"),
    Ask("pattern check nvme2n1 8 2000 2", "pattern: 2000 blocks as they should be"),
    Ask("irq all poll", ": poll"),
    Ask("pattern check nvme3n1 8 2000 3", "pattern: 2000 blocks as they should be"),
    Ask("pattern check sata0 8 2000 4", "pattern: 2000 blocks as they should be"),
    Ask("pattern check sata1 8 2000 5", "pattern: 2000 blocks as they should be"),
    Type("poweroff"),
];

/// Errors in the middle of the disk, where no firmware looks.
const FAULTS: &[Fault] = &[
    Fault { on: Fails::Read, sector: Some(50_005) },
    Fault { on: Fails::Write, sector: Some(60_006) },
];

/// What may be there after a failed write of several blocks.
const FAILED: Piece = Piece { lba: 60_000, blocks: 16, data: Data::Anything };

const FAULTY: &[Step] = &[
    Ask("pattern check nvme1n1 50000 16 1", "failed"),
    Ask("pattern check nvme1n1 50016 16 1", "differs"),
    Ask("pattern write nvme1n1 60000 16 1", "failed"),
    Ask("pattern write nvme1n1 60016 16 2", "pattern: 16 blocks written"),
    Ask("pattern check nvme1n1 60016 16 2", "pattern: 16 blocks as they should be"),
    // What cannot be made to stay is not called written.
    Ask("pattern write nvme1n2 0 8 3", "failed"),
    Ask("pattern check nvme1n2 0 8 3", "pattern: 8 blocks as they should be"),
    Ask("pattern check sata0 50000 16 1", "failed"),
    Ask("pattern check sata0 50016 16 1", "differs"),
    Ask("pattern write sata0 60000 16 1", "failed"),
    Ask("pattern write sata0 60016 16 2", "pattern: 16 blocks written"),
    Ask("pattern check sata0 60016 16 2", "pattern: 16 blocks as they should be"),
    Ask("health nvme1n1", "error log: "),
    Type("poweroff"),
];

/// Out and in again, twice, with data that has to be there afterwards.
const HOT_PLUG: &[Step] = &[
    Ask("pattern write nvme1n1 0 3000 1", "pattern: 3000 blocks written"),
    Unplug,
    Await("may be taken out"),
    Ask("pattern check nvme1n1 0 3000 1", "pattern: "),
    Plug,
    Await("nvme1n1: 131072 blocks of 512"),
    Ask("pattern check nvme1n1 0 3000 1", "pattern: 3000 blocks as they should be"),
    // What was said of the disk before is not said of what has its name now.
    Ask("disk nvme1n1 read-only", "nvme1n1"),
    Ask("pattern write nvme1n1 5000 3000 3", "read-only until"),
    Unplug,
    Await("may be taken out"),
    Plug,
    Await("nvme1n1: 131072 blocks of 512"),
    Ask("pattern write nvme1n1 5000 3000 2", "pattern: 3000 blocks written"),
    Unplug,
    Await("may be taken out"),
    Plug,
    Await("nvme1n1: 131072 blocks of 512"),
    Ask("pattern check nvme1n1 5000 3000 2", "pattern: 3000 blocks as they should be"),
    Type("poweroff"),
];

const HELLO: Kept = text_file("HELLO.TXT", "hello from the host\n");
const LONG: Kept = pattern_file("notes/deep/a-long-name.data", 300_001, 31);
const SMALL: Kept = pattern_file("SMALL.BIN", 513, 32);
const EMPTY: Kept = text_file("EMPTY", "");
const OLD: Kept = pattern_file("OLD.BIN", 70_000, 33);
/// As [`LONG`], at the root.
const COPY: Kept = pattern_file("a-copy.data", 300_001, 31);

/// On a partition of an NVMe disk.
const FAT32: Volume = Volume {
    bits: 32,
    before: &[HELLO, LONG, SMALL, EMPTY, OLD],
    after: &[HELLO, LONG, SMALL, EMPTY, COPY],
};
const FAT12: Volume = Volume { bits: 12, before: &[SMALL], after: &[SMALL, HELLO] };
/// On whole disks, of NVMe and 4096-byte blocks, and of AHCI.
const FAT16_4096: Volume =
    Volume { bits: 16, before: &[], after: &[COPY, SMALL, text_file("new/nothing.text", "")] };
const FAT16: Volume = Volume { bits: 16, before: &[OLD], after: &[OLD, COPY, HELLO] };

const PARTITIONS: &[(u64, Area)] = &[
    (40, Area::Fat(&FAT32)),
    (8, Area::Blocks { before: &[pattern(16_000, 384, 41)], after: &[pattern(0, 1000, 42)] }),
    (2, Area::Fat(&FAT12)),
];

const FAT: &[Step] = &[
    Ask("ls nvme1n1p1", "HELLO.TXT"),
    Ask("cat nvme1n1p1:/HELLO.TXT", "hello from the host"),
    Ask("ls nvme1n1p1:/notes/deep", "a-long-name.data"),
    Ask("cp nvme1n1p1:/notes/deep/a-long-name.data sata0:/a-copy.data", "cp: 300,001 bytes"),
    Ask("cp nvme1n1p1:/HELLO.TXT sata0:/HELLO.TXT", "cp: 20 bytes"),
    Ask("ls sata0", "a-copy.data"),
    // By whatever name: a file is not emptied to be copied onto itself.
    Ask("cp sata0:/HELLO.TXT sata0:hello.txt", "the same file"),
    Ask("cp sata0:/a-copy.data sata0:/A-COPY~1.DAT", "the same file"),
    Ask("cp sata0:/a-copy.data nvme2n1:/a-copy.data", "cp: 300,001 bytes"),
    Ask("cp nvme1n1p1:/SMALL.BIN nvme2n1:/SMALL.BIN", "cp: 513 bytes"),
    Ask("ls nvme2n1", "SMALL.BIN"),
    Ask("cp nvme2n1:/a-copy.data nvme1n1p1:/a-copy.data", "cp: 300,001 bytes"),
    Ask("cp sata0:/HELLO.TXT nvme1n1p3:/HELLO.TXT", "cp: 20 bytes"),
    Ask("mkdir nvme2n1:/new", "mkdir: "),
    Ask("cp nvme1n1p1:/EMPTY nvme2n1:/new/nothing.text", "cp: 0 bytes"),
    Ask("rm nvme1n1p1:/OLD.BIN", "rm: "),
    Ask("cat nvme1n1p3:/HELLO.TXT", "hello from the host"),
    Ask("cat nvme1n1p1:/OLD.BIN", "cat: "),
    // The partition between them is raw; it ends where the last begins.
    Ask("pattern check nvme1n1p2 16000 384 41", "pattern: 384 blocks as they should be"),
    Ask("pattern write nvme1n1p2 0 1000 42", "pattern: 1000 blocks written"),
    Ask("pattern write nvme1n1p2 16383 2 43", "beyond the end"),
    Ask("hexdump nvme1n1p1:/HELLO.TXT", "68 65 6c 6c 6f"),
    Ask("cp nvme1n1p1:/HELLO.TXT nvme0n1p1:/HELLO.TXT", "read-only"),
    Type("poweroff"),
];

/// What the in-kernel checks get to work on.
const TEST_DISKS: &[Disk] = &[
    Disk { holds: SCRATCH, ..BLANK },
    Disk { port: Port::Nvme(1, 2), block: 4096, holds: SCRATCH_4096, ..BLANK },
    Disk { port: Port::Nvme(2, 1), holds: SCRATCH, ..BLANK },
    Disk { port: Port::Ahci(0), holds: SCRATCH, ..BLANK },
    Disk { port: Port::Ahci(1), holds: SCRATCH, ..BLANK },
];
const TESTS: &str = "test=storage disk.write=nvme1n1,nvme1n2,nvme2n1,sata0,sata1 exit=qemu";

/// Disks that keep nothing, one of each kind, for boots that measure.
pub const NULL_DISKS: &[Disk] = &[
    Disk { holds: Layout::Null, ..BLANK },
    Disk { port: Port::Ahci(0), holds: Layout::Null, ..BLANK },
];

/// All of them.
pub const BOOTS: &[Boot] = &[
    Boot {
        name: "storage.nvme",
        words: "disk.write=nvme1n1,nvme1n2 exit=qemu",
        disks: &[
            Disk { holds: blocks(&[], WRITTEN_AND_ERASED), ..BLANK },
            Disk { port: Port::Nvme(1, 2), block: 4096, holds: blocks(&[], WRITTEN_4096), ..BLANK },
            Disk { port: Port::Nvme(1, 3), holds: blocks(BY_HOST, &[]), ..BLANK },
        ],
        script: NVME,
        ..PLAIN
    },
    Boot {
        name: "storage.ahci",
        words: "disk.write=sata0 exit=qemu",
        disks: &[
            Disk { port: Port::Ahci(0), holds: blocks(&[], WRITTEN), ..BLANK },
            Disk { port: Port::Ahci(1), holds: blocks(BY_HOST, &[]), ..BLANK },
        ],
        script: AHCI,
        ..PLAIN
    },
    Boot {
        name: "storage.six-controllers",
        words: "disk.write=nvme1n1,nvme2n1,nvme3n1,sata0,sata1 exit=qemu",
        disks: &[
            Disk { holds: blocks(&[], &[pattern(8, 2000, 1)]), ..BLANK },
            Disk { port: Port::Nvme(2, 1), holds: blocks(&[], &[pattern(8, 2000, 2)]), ..BLANK },
            Disk { port: Port::Nvme(2, 2), properties: "ms=8", ..BLANK },
            Disk { port: Port::Nvme(3, 1), holds: blocks(&[], &[pattern(8, 2000, 3)]), ..BLANK },
            Disk { port: Port::OtherAhci(2), holds: blocks(&[], &[pattern(8, 2000, 4)]), ..BLANK },
            Disk { port: Port::Ahci(3), holds: blocks(&[], &[pattern(8, 2000, 5)]), ..BLANK },
        ],
        script: MANY,
        ..PLAIN
    },
    Boot {
        name: "storage.faults",
        words: "disk.write=nvme1n1,nvme1n2,sata0 exit=qemu",
        disks: &[
            Disk { holds: blocks(&[], &[FAILED, pattern(60_016, 16, 2)]), faults: FAULTS, ..BLANK },
            Disk {
                port: Port::Nvme(1, 2),
                holds: blocks(&[], &[pattern(0, 8, 3)]),
                faults: &[Fault { on: Fails::Flush, sector: None }],
                ..BLANK
            },
            Disk {
                port: Port::Ahci(0),
                holds: blocks(&[], &[FAILED, pattern(60_016, 16, 2)]),
                faults: FAULTS,
                ..BLANK
            },
        ],
        script: FAULTY,
        ..PLAIN
    },
    Boot {
        name: "storage.hot-plug",
        words: "disk.write=nvme1n1 exit=qemu",
        disks: &[Disk {
            port: Port::HotPlug,
            holds: blocks(&[], &[pattern(0, 3000, 1), pattern(5000, 3000, 2)]),
            ..BLANK
        }],
        script: HOT_PLUG,
        ..PLAIN
    },
    Boot {
        name: "storage.fat",
        words: "disk.write=nvme1n1,nvme2n1,sata0 exit=qemu",
        disks: &[
            Disk { holds: Layout::Partitions(PARTITIONS), ..BLANK },
            Disk {
                port: Port::Nvme(2, 1),
                block: 4096,
                holds: Layout::Whole(Area::Fat(&FAT16_4096)),
                ..BLANK
            },
            Disk { port: Port::Ahci(0), mib: 16, holds: Layout::Whole(Area::Fat(&FAT16)), ..BLANK },
        ],
        script: FAT,
        ..PLAIN
    },
    Boot {
        name: "storage.tests.1-core",
        cores: 1,
        words: TESTS,
        disks: TEST_DISKS,
        limit: 300,
        ..PLAIN
    },
    Boot {
        name: "storage.tests.4-cores",
        words: TESTS,
        disks: TEST_DISKS,
        devices: &["edu,addr=0x1a"],
        limit: 300,
        ..PLAIN
    },
    Boot {
        name: "storage.tests.limine",
        cores: 2,
        words: TESTS,
        needs: Needs::Limine,
        disks: TEST_DISKS,
        limit: 300,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boots::all;
    use crate::drives::name;

    /// The names in words of the command line are those that disks have.
    #[test]
    fn disks_have_the_names_that_are_used() {
        for boot in all() {
            let ports: Vec<Port> = boot.disks.iter().map(|disk| disk.port).collect();
            let names: Vec<String> = ports.iter().map(|port| name(*port, &ports)).collect();
            let lists = boot.words.split(' ').filter_map(|word| {
                word.strip_prefix("disk.write=").or(word.strip_prefix("bench.disk="))
            });
            for used in lists.flat_map(|list| list.split(',')) {
                assert!(names.iter().any(|name| name == used), "{}: {used}", boot.name);
            }
        }
    }
}
