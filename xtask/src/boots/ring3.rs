//! Disks and sockets from ring 3: what a program writes over the shared ring of a disk is checked by
//! the kernel, and by the host afterwards; what it sends over a socket's comes back.

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

/// Sockets, without and with the network given.
const SOCKETS: &[Step] = &[
    Ask("run ping 10.0.2.2 count=3 --net", "3 of 3 answered"),
    Ask("run netio --net", "interface 0: 10.0.2.15/24"),
    Ask(
        "run netio peer=10.0.2.100 send=3000000 echo=3000000 --net",
        "3000000 bytes to 10.0.2.100:7 and back",
    ),
    Ask(
        "run netio peer=10.0.2.100 echo=500000 ring=4096 --net",
        "500000 bytes to 10.0.2.100:7 and back",
    ),
    Ask("run netio peer=10.0.2.2 echo=1:81 --net", "FAILED: connection"),
    Ask("run netio peer=10.0.2.100 echo=1", "no network"),
    Type("poweroff"),
];

/// All of them.
pub const BOOTS: &[Boot] = &[
    Boot {
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
    },
    Boot { name: "net.ring3.4-cores", script: SOCKETS, ..PLAIN },
    Boot { name: "net.ring3.1-core", cores: 1, script: SOCKETS, ..PLAIN },
];
