//! Looking at the machine the way an attacker or a stray pointer would, for tests: does this
//! address fault, is any page writable and executable, does this vector arrive.
//!
//! Memory is only read, or written with what it holds already; device registers are left alone. So
//! probing is safe whatever the answer.

use core::arch::naked_asm;

use super::interrupt::Message;
use super::paging::tables::Visited;
use super::paging::{Access, Translation, kernel_tables, unchanged};
use super::{ipi, percpu, vectors};
use crate::memory::frames::memory_map;
use crate::memory::{FrameNumber, VirtAddr};

/// What came of touching an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touched {
    /// It went through.
    Fine,
    /// The CPU refused.
    Fault,
    /// Not tried: a device is mapped there.
    Device,
}

/// Reads a byte in ring 0, as kernel code would by mistake.
pub fn read(address: VirtAddr) -> Touched {
    touch(address, probe_read)
}

/// Writes a byte in ring 0 (the one that is there).
pub fn write(address: VirtAddr) -> Touched {
    touch(address, probe_write)
}

fn touch(address: VirtAddr, how: unsafe extern "C" fn(u64) -> u64) -> Touched {
    if let Some(found) = translation(address) {
        let end = FrameNumber(found.frame.0 + 1);
        if !memory_map().is_some_and(|map| map.overlaps_memory(found.frame, end)) {
            return Touched::Device;
        }
    }
    // SAFETY: a fault is caught by `fixup`; else a byte of memory is read, or or-ed with zero as
    // one locked operation, which changes nothing for anybody.
    if unsafe { how(address.0) } == 0 { Touched::Fine } else { Touched::Fault }
}

/// What the kernel's tables allow at `address`; `None`: nothing is mapped.
pub fn access(address: VirtAddr) -> Option<Access> {
    translation(address).map(|found| found.access)
}

fn translation(address: VirtAddr) -> Option<Translation> {
    unchanged(|| kernel_tables().translate(address))
}

/// Pages of the kernel's half that could be written and executed, and pages that ring 3 could
/// reach. Both are 0 or W^X is broken.
pub fn open_pages() -> (u64, u64) {
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const NO_EXECUTE: u64 = 1 << 63;
    let (mut writable_code, mut user) = (0, 0);
    let count = |visited| {
        if let Visited::Page(entry) = visited {
            writable_code += u64::from(entry.0 & (WRITABLE | NO_EXECUTE) == WRITABLE);
            user += u64::from(entry.0 & USER != 0);
        }
    };
    unchanged(|| kernel_tables().visit_upper_half(count));
    (writable_code, user)
}

/// Does what a device does that writes `message`: its vector arrives, whatever core was meant.
/// Whether the message is one for a device's vector.
pub fn deliver(message: &Message) -> bool {
    let vector = message.data as u8;
    let id = (message.address >> 12) as u8;
    let target = percpu::online().find(|block| block.lapic_id() == u32::from(id));
    match target {
        Some(block) if (vectors::DEVICE_FIRST..=vectors::DEVICE_LAST).contains(&vector) => {
            ipi::send(block.core(), vector);
            true
        }
        _ => false,
    }
}

/// Where to go on after a fault at kernel address `rip`, if a probe stood there.
pub fn fixup(rip: u64) -> Option<u64> {
    let reads = rip == (&raw const pollux_probe_read_at) as u64;
    let writes = rip == (&raw const pollux_probe_write_at) as u64;
    (reads || writes).then_some((&raw const pollux_probe_fault) as u64)
}

unsafe extern "C" {
    static pollux_probe_read_at: u8;
    static pollux_probe_write_at: u8;
    static pollux_probe_fault: u8;
}

/// Returns 0, or 1 after a fault.
///
/// # Safety
/// Reading the address has no effect.
#[unsafe(naked)]
unsafe extern "C" fn probe_read(address: u64) -> u64 {
    naked_asm!(
        "xor eax, eax",
        ".globl pollux_probe_read_at",
        "pollux_probe_read_at:",
        "cmp byte ptr [rdi], 0",
        "ret",
        ".globl pollux_probe_fault",
        "pollux_probe_fault:",
        "mov eax, 1",
        "ret",
    )
}

/// Returns 0, or 1 after a fault.
///
/// # Safety
/// Writing back what stands at the address has no effect.
#[unsafe(naked)]
unsafe extern "C" fn probe_write(address: u64) -> u64 {
    naked_asm!(
        "xor eax, eax",
        ".globl pollux_probe_write_at",
        "pollux_probe_write_at:",
        "lock or byte ptr [rdi], 0",
        "ret",
    )
}
