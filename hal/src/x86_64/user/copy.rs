//! Copies between the kernel and the current address space's user half. A fault on the way is not
//! an accident but an answer: the fixup sends it to the end of the copy, which returns an error.
//!
//! Relies on: the page-fault handler asking [`fixup`] first; user space lying below
//! `protocols::abi::USER_END`.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicBool, Ordering};
use protocols::abi::{Error, USER_END, USER_START};

/// Whether SMAP is on, so that `stac`/`clac` exist and are needed.
static SMAP: AtomicBool = AtomicBool::new(false);

/// Tells the copies whether SMAP is on. Called once, before the first process.
pub fn set_smap(on: bool) {
    SMAP.store(on, Ordering::Relaxed);
}

/// Checks that `[ptr, ptr + len)` lies in user space (not that it is mapped).
#[inline]
pub fn check_range(ptr: u64, len: usize) -> Result<(), Error> {
    let end = ptr.checked_add(len as u64).ok_or(Error::BadAddress)?;
    if ptr < USER_START || end > USER_END { Err(Error::BadAddress) } else { Ok(()) }
}

/// Copies `into.len()` bytes from user address `from`.
pub fn from_user(into: &mut [u8], from: u64) -> Result<(), Error> {
    check_range(from, into.len())?;
    // SAFETY: the destination is ours; the source is in user space, where a fault is caught by the
    // fixup.
    let left = unsafe {
        raw_copy(into.as_mut_ptr(), from as *const u8, into.len(), SMAP.load(Ordering::Relaxed))
    };
    if left == 0 { Ok(()) } else { Err(Error::BadAddress) }
}

/// Copies `from` to user address `into`. On error some of it may have been written.
pub fn to_user(into: u64, from: &[u8]) -> Result<(), Error> {
    check_range(into, from.len())?;
    // SAFETY: the source is ours; the destination is in user space, so the write can only reach
    // what the process itself can (CR0.WP is on) and a fault is caught by the fixup.
    let left = unsafe {
        raw_copy(into as *mut u8, from.as_ptr(), from.len(), SMAP.load(Ordering::Relaxed))
    };
    if left == 0 { Ok(()) } else { Err(Error::BadAddress) }
}

/// Where to go on after a fault at kernel address `rip`, if it was a user copy's.
pub fn fixup(rip: u64) -> Option<u64> {
    (rip == (&raw const pollux_user_copy_at) as u64)
        .then_some((&raw const pollux_user_copy_end) as u64)
}

unsafe extern "C" {
    static pollux_user_copy_at: u8;
    static pollux_user_copy_end: u8;
}

/// Copies `len` bytes; returns how many were left when it faulted.
///
/// # Safety
/// One side is the kernel's own memory of `len` bytes, the other lies in user space.
#[unsafe(naked)]
unsafe extern "C" fn raw_copy(into: *mut u8, from: *const u8, len: usize, smap: bool) -> usize {
    naked_asm!(
        "mov r8d, ecx", // smap
        "mov rcx, rdx",
        "test r8b, r8b",
        "jz 2f",
        "stac",
        "2:",
        ".globl pollux_user_copy_at",
        "pollux_user_copy_at:",
        "rep movsb",
        ".globl pollux_user_copy_end",
        "pollux_user_copy_end:",
        "test r8b, r8b",
        "jz 3f",
        "clac",
        "3:",
        "mov rax, rcx",
        "ret",
    )
}
