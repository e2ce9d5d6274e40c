//! Interrupt lines of PCI functions, on both boards: network cards that have no messages, two of them
//! on one line, and one each behind what bridges there are.

use super::{Boot, PLAIN};
use crate::qemu::Board;

const WORDS: &str = "test=lines exit=qemu";

/// Slots 0x11 and 0x15 are four apart: one line.
const ON_Q35: &[&str] = &[
    "e1000,addr=0x11",
    "e1000,addr=0x15",
    "pcie-root-port,id=root,chassis=9,addr=0x12",
    "e1000,bus=root",
    "pcie-pci-bridge,id=old,addr=0x13",
    "e1000,bus=old,addr=4",
    "pci-bridge,id=older,bus=old,chassis_nr=10,addr=5",
    "e1000,bus=older,addr=6",
];
const ON_I440FX: &[&str] = &[
    "e1000,addr=0x11",
    "e1000,addr=0x15",
    "pci-bridge,id=old,chassis_nr=9,addr=0x12",
    "e1000,bus=old,addr=4",
    "pci-bridge,id=older,bus=old,chassis_nr=10,addr=5",
    "e1000,bus=older,addr=6",
];

/// All of them.
pub const BOOTS: &[Boot] = &[
    Boot { name: "lines.q35", words: WORDS, devices: ON_Q35, ..PLAIN },
    Boot { name: "lines.q35.1-core", cores: 1, words: WORDS, devices: ON_Q35, ..PLAIN },
    Boot { name: "lines.i440fx", board: Board::I440Fx, words: WORDS, devices: ON_I440FX, ..PLAIN },
];
