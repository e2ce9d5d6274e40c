//! Boots with a CommitLog on a disk of their own: one that goes on, ones that are refused, a disk
//! that fails. The boot disk has a partition for it too, so the command line says which.

use super::{Boot, PLAIN};
use crate::boot::SUCCESS;
use crate::commits::{After, Before};
use crate::disks::{Area, BLANK, Disk, Layout};
use crate::drives::{Fails, Fault, Port};
use crate::expect::Expect;
use crate::script::Step::{self, Ask, Type};

const fn log(port: Port, block: u32, parts: &'static [(u64, Area)]) -> Disk {
    Disk { port, block, mib: 8, holds: Layout::Partitions(parts), ..BLANK }
}

/// One MiB is small enough for the kernel's tests to fill it several times over.
const SOUND: &[Disk] =
    &[log(Port::Nvme(1, 1), 512, &[(1, Area::Commits(Before::Sound, After::Boots(2)))])];
const TORN: &[Disk] =
    &[log(Port::Nvme(1, 1), 4096, &[(4, Area::Commits(Before::Torn, After::Boots(2)))])];
const BLANK_SATA: &[Disk] =
    &[log(Port::Ahci(0), 512, &[(1, Area::Commits(Before::Blank, After::Boots(1)))])];
const TAMPERED: &[Disk] =
    &[log(Port::Nvme(1, 1), 512, &[(2, Area::Commits(Before::Tampered, After::Untouched))])];
const FOREIGN: &[Disk] =
    &[log(Port::Nvme(1, 1), 512, &[(2, Area::Commits(Before::Foreign, After::Boots(1)))])];
const OTHER: &[Disk] =
    &[log(Port::Nvme(1, 1), 512, &[(2, Area::Commits(Before::Sound, After::Untouched))])];

/// The ring's first block: nothing is ever written there.
const FIRST_FAILS: &[Fault] = &[Fault { on: Fails::Write, sector: Some(2048 + 16) }];
const FAILING: &[Disk] = &[Disk {
    faults: FIRST_FAILS,
    ..log(Port::Nvme(1, 1), 512, &[(2, Area::Commits(Before::Blank, After::Empty))])
}];

const IN_USE: &[Disk] =
    &[log(Port::Nvme(1, 1), 512, &[(2, Area::Commits(Before::Blank, After::Boots(1)))])];
const BUSY: &str = "read-only while the kernel keeps its commits on nvme1n1p1";
/// Nobody else gets to write there, whatever was said.
const REFUSED: &[Step] = &[
    // It waits until the log has its place.
    Ask("commits sync", "durable up to"),
    Ask("disk nvme1n1p1 writable", BUSY),
    Ask("disk nvme1n1 writable", BUSY),
    Ask("run blockio --disk nvme1n1p1:rw write=0:8", BUSY),
    Ask("run blockio --disk nvme1n1:rw write=0:8", BUSY),
    Ask("pattern write nvme1n1 0 100 7", BUSY),
    Type("poweroff"),
];

const TESTS: &str = "commits=nvme1n1p1 test=commits exit=qemu";
const HELLO: &str = "commits=nvme1n1p1 run=hello headless exit=qemu";

pub(super) const BOOTS: &[Boot] = &[
    Boot {
        name: "commits.go-on",
        words: TESTS,
        disks: SOUND,
        expect: Expect::StatusAfter(SUCCESS, &["verified: epoch 1, 42 records"]),
        limit: 300,
        ..PLAIN
    },
    Boot {
        name: "commits.torn-tail",
        words: TESTS,
        disks: TORN,
        expect: Expect::StatusAfter(SUCCESS, &["a torn tail was dropped"]),
        ..PLAIN
    },
    Boot {
        name: "commits.sata",
        words: "commits=sata0p1 test=commits exit=qemu",
        disks: BLANK_SATA,
        expect: Expect::StatusAfter(SUCCESS, &["sata0p1: empty: a new log begins there"]),
        limit: 300,
        ..PLAIN
    },
    Boot {
        name: "commits.tampered",
        words: HELLO,
        disks: TAMPERED,
        expect: Expect::StatusAfterAll(
            SUCCESS,
            &[
                "NOT USED: tampered with or damaged: block 16 (segment 0), record 0: wrong checksum",
                "kept in memory only",
                "hello from core",
            ],
        ),
        ..PLAIN
    },
    // The kernel's tests begin a new one there.
    Boot {
        name: "commits.foreign",
        words: TESTS,
        disks: FOREIGN,
        expect: Expect::StatusAfterAll(
            SUCCESS,
            &["NOT USED: a foreign log", "a new log begins on nvme1n1p1"],
        ),
        ..PLAIN
    },
    Boot {
        name: "commits.several",
        words: "run=hello headless exit=qemu",
        disks: OTHER,
        expect: Expect::StatusAfterAll(
            SUCCESS,
            &["several partitions are made for it", "hello from core"],
        ),
        ..PLAIN
    },
    Boot {
        name: "commits.in-use",
        words: "commits=nvme1n1p1 disk.write=nvme1n1 exit=qemu",
        disks: IN_USE,
        script: REFUSED,
        ..PLAIN
    },
    Boot {
        name: "commits.failing-disk",
        words: TESTS,
        disks: FAILING,
        expect: Expect::StatusAfter(SUCCESS, &["from record 0 on they are kept in memory only"]),
        ..PLAIN
    },
];
