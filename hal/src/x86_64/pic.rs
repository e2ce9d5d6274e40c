//! The two 8259 PICs of old: out of the way, for good.
//!
//! Even masked they may raise their spurious interrupts (lines 7 and 15), so they must not point at
//! exception vectors.

use super::{port, vectors};

/// Points both 8259 PICs away from the exception vectors and masks all of their lines for good.
pub(super) fn mask() {
    const COMMAND: [u16; 2] = [0x20, 0xa0];
    const DATA: [u16; 2] = [0x21, 0xa1];
    // Initialisation words 1 to 4 (Intel 8259A data sheet): cascade, vectors, wiring, 8086 mode.
    let offsets = [vectors::PIC_FIRST, vectors::PIC_FIRST + 8];
    let wiring = [1 << 2, 2];
    // SAFETY: the PICs belong to this module alone; machines without them ignore these ports.
    unsafe {
        for pic in 0..2 {
            port::write8(COMMAND[pic], 0x11);
            port::write8(DATA[pic], offsets[pic]);
            port::write8(DATA[pic], wiring[pic]);
            port::write8(DATA[pic], 1);
            port::write8(DATA[pic], 0xff);
        }
    }
}
