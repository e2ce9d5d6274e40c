//! Disks from ring 3: what a program writes over the shared ring is checked by the kernel, and by the
//! host afterwards.

use super::storage::blocks;
use super::{Boot, PLAIN};
use crate::disks::{BLANK, Disk, pattern};
use crate::drives::Port;
use crate::script::Step::{self, Ask, Type};

/// From ring 3 over the shared ring: pages of 4 KiB in pieces of four, 64 under way; a disk that was
/// given for reading only refuses.
const RING3: &[Step] = &[
    Ask("run blockio --disk nvme1n1:rw write=0:2048 check=0:2048 depth=64 piece=4", "ended well"),
    Ask("run blockio --disk nvme1n2:rw write=8:256 check=8:256 depth=64", "ended well"),
    Ask("run blockio --disk sata0:rw write=16:512 check=16:512 depth=32 piece=4", "ended well"),
    Ask("run blockio --disk sata0 check=16:512", "ended well"),
    Ask("pattern check sata0 16 4096 1", "4096 blocks as they should be"),
    Ask("run blockio --disk nvme1n1 write=0:8", "left with code"),
    Ask("pattern check nvme1n1 0 16384 1", "16384 blocks as they should be"),
    Type("poweroff"),
];

/// All of them.
pub const BOOTS: &[Boot] = &[Boot {
    name: "storage.ring3",
    words: "disk.write=nvme1n1,nvme1n2,sata0 exit=qemu",
    disks: &[
        Disk { holds: blocks(&[], &[pattern(0, 16_384, 1)]), ..BLANK },
        Disk {
            port: Port::Nvme(1, 2),
            block: 4096,
            holds: blocks(&[], &[pattern(8, 256, 1)]),
            ..BLANK
        },
        Disk { port: Port::Ahci(0), holds: blocks(&[], &[pattern(16, 4096, 1)]), ..BLANK },
    ],
    script: RING3,
    ..PLAIN
}];
