//! Devices lent to programs in ring 3: driven there by the kernel's own driver, taken back in the
//! middle of their work, and driven again.

use super::storage::blocks;
use super::{Boot, PLAIN};
use crate::disks::{BLANK, Disk, pattern};
use crate::script::Step::{self, Ask, Type};

/// `leave` ends the program while the device writes to its memory.
const EDU: &[Step] = &[
    Ask("run edu_driver --device edu", "`edu_driver` ended well"),
    Ask("run edu_driver leave --device edu", "`edu_driver` ended well"),
    Ask("run edu_driver --device 00:1a.0", "`edu_driver` ended well"),
    Ask("run attack_suite filter=device --device edu", "9 attacks, 0 wrong"),
    Ask("run edu_driver --device edu", "`edu_driver` ended well"),
    Ask("run edu_driver", "no device"),
    Ask("run edu_driver --device nothing", "no such device"),
    Ask("run edu_driver --device", "--device of what?"),
    Type("poweroff"),
];

/// The kernel reads the disk itself once it has the controller back.
const NVME: &[Step] = &[
    Ask("run nvme_driver --device nvme1 blocks=2048 seed=1", "`nvme_driver` ended well"),
    Ask("pattern check nvme1n1 0 2048 1", "2048 blocks as they should be"),
    Ask("run nvme_driver --device nvme1 blocks=64 seed=2", "other bytes than they should be"),
    Ask("pattern check nvme1n1 0 2048 1", "2048 blocks as they should be"),
    Type("poweroff"),
];

/// All of them.
pub const BOOTS: &[Boot] = &[
    Boot {
        name: "authority.ring3-nvme",
        disks: &[Disk { holds: blocks(&[pattern(0, 2048, 1)], &[pattern(0, 2048, 1)]), ..BLANK }],
        script: NVME,
        ..PLAIN
    },
    Boot { name: "authority.ring3-edu", devices: DEVICES, script: EDU, ..PLAIN },
    Boot { name: "authority.ring3-edu.1-core", cores: 1, devices: DEVICES, script: EDU, ..PLAIN },
];

const DEVICES: &[&str] = &["edu,addr=0x1a"];
