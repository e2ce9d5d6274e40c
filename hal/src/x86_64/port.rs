//! I/O ports.

use core::arch::asm;

/// Reads a byte from a port.
///
/// # Safety
/// Reading this port has no effect its owner does not expect.
#[inline]
pub unsafe fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller vouches for the port.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) };
    value
}

/// Writes a byte to a port.
///
/// # Safety
/// The caller owns what is behind the port.
#[inline]
pub unsafe fn write8(port: u16, value: u8) {
    // SAFETY: the caller vouches for the port.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

/// Reads 16 bits from a port.
///
/// # Safety
/// As for [`read8`].
#[inline]
pub unsafe fn read16(port: u16) -> u16 {
    let value;
    // SAFETY: the caller vouches for the port.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nostack, preserves_flags)) };
    value
}

/// Writes 16 bits to a port.
///
/// # Safety
/// As for [`write8`].
#[inline]
pub unsafe fn write16(port: u16, value: u16) {
    // SAFETY: the caller vouches for the port.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags)) };
}

/// Reads 32 bits from a port.
///
/// # Safety
/// As for [`read8`].
#[inline]
pub unsafe fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller vouches for the port.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags));
    };
    value
}

/// Writes 32 bits to a port.
///
/// # Safety
/// As for [`write8`].
#[inline]
pub unsafe fn write32(port: u16, value: u32) {
    // SAFETY: the caller vouches for the port.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags));
    };
}
