//! Memory by the page.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use super::capability::Memory;
use super::syscall::{call2, call3, call5};
use crate::abi::{Error, PAGE, Protection, Syscall};
use crate::shared::{self, Bytes, Words};

/// Maps zeroed memory at `address` (0: the kernel chooses). Nothing existing is replaced.
pub fn map(address: u64, len: usize, protection: Protection) -> Result<*mut u8, Error> {
    // SAFETY: the kernel refuses ranges in use, so no existing memory changes.
    unsafe { call3(Syscall::MemoryMap, address, len as u64, u64::from(protection.bits())) }
        .map(|(address, _)| address as *mut u8)
}

/// Unmaps a range.
///
/// # Safety
/// Nothing may use the range from now on.
pub unsafe fn unmap(address: *mut u8, len: usize) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { call2(Syscall::MemoryUnmap, address as u64, len as u64) }.map(|_| ())
}

/// Changes the protection of a range.
///
/// # Safety
/// No live reference may rely on an access that the new protection takes away.
pub unsafe fn protect(address: *mut u8, len: usize, protection: Protection) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe {
        call3(Syscall::MemoryProtect, address as u64, len as u64, u64::from(protection.bits()))
    }
    .map(|_| ())
}

/// A range of zeroed read-write memory, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is plain memory of the process, reachable from all its threads.
unsafe impl Send for Mapping {}
// SAFETY: shared access to it is read-only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes (a multiple of `PAGE`) where the kernel likes.
    pub fn new(len: usize) -> Result<Self, Error> {
        let base = NonNull::new(map(0, len, Protection::WRITE)?).ok_or(Error::BadAddress)?;
        Ok(Self { base, len })
    }

    /// Makes the first `len` bytes read-only: a guard below a stack, which is written before it is
    /// read. [`Mapping::bytes`] must not be used any more, so this takes and gives the mapping.
    pub(super) fn guard(self, len: usize) -> Result<Self, Error> {
        // SAFETY: nobody has a reference into the mapping, which is owned here.
        unsafe { protect(self.base.as_ptr(), len, Protection::READ) }?;
        Ok(self)
    }

    /// Unmaps it, as dropping it does, and says whether that worked.
    pub fn unmap(self) -> Result<(), Error> {
        let (base, len) = (self.base, self.len);
        core::mem::forget(self);
        // SAFETY: the mapping is owned and its borrows have ended.
        unsafe { unmap(base.as_ptr(), len) }
    }

    /// First address.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The address after the last.
    pub fn end(&self) -> *mut u8 {
        self.base.as_ptr().wrapping_add(self.len)
    }

    /// The memory. Not for a guarded mapping.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped read-write for `len` bytes, and borrowed as this value is.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned and its borrows have ended. An error leaves it mapped.
        let _ = unsafe { unmap(self.base.as_ptr(), self.len) };
    }
}

/// Maps part of a memory object at `address` (0: the kernel chooses). Nothing existing is replaced.
pub fn attach(
    memory: &Memory,
    address: u64,
    offset: usize,
    len: usize,
    protection: Protection,
) -> Result<*mut u8, Error> {
    let (handle, protection) = (u64::from(memory.handle().0), u64::from(protection.bits()));
    let call = Syscall::MemoryAttach;
    // SAFETY: the kernel refuses ranges in use, so no existing memory changes.
    unsafe { call5(call, handle, address, offset as u64, len as u64, protection) }
        .map(|(address, _)| address as *mut u8)
}

/// Part of a memory object, unmapped when dropped. Others may write to it at any time, so it has no
/// slices: words are read and written one at a time.
#[derive(Debug)]
pub struct SharedMapping {
    base: NonNull<AtomicU64>,
    len: usize,
    writable: bool,
}

// SAFETY: a mapping is memory of the process, reachable from all its threads, and only ever used as
// atomics here.
unsafe impl Send for SharedMapping {}
// SAFETY: as above.
unsafe impl Sync for SharedMapping {}

impl SharedMapping {
    /// Maps `len` bytes of `memory` from `offset` on, both multiples of `PAGE`.
    pub fn new(
        memory: &Memory,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<Self, Error> {
        let base = attach(memory, 0, offset, len, protection)?;
        let base = NonNull::new(base.cast()).ok_or(Error::BadAddress)?;
        let writable = protection.contains(Protection::WRITE);
        Ok(Self { base, len: len / PAGE * PAGE, writable })
    }

    /// First address.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr().cast()
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.len / 8 {
            return None;
        }
        // SAFETY: inside the mapping, which lives as long as this value; pages are aligned.
        Some(unsafe { &*self.base.as_ptr().wrapping_add(index) })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping, which lives as long as this value; pages are aligned.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len / 8) }
    }

    fn writable_word(&self, index: usize) -> Option<&AtomicU64> {
        self.word(index).filter(|_| self.writable)
    }
}

impl Words for SharedMapping {
    fn load(&self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.writable_word(index) {
            word.store(value, Ordering::Release);
        }
    }

    fn swap(&self, index: usize, value: u64) -> u64 {
        self.writable_word(index).map_or(0, |word| word.swap(value, Ordering::SeqCst))
    }
}

impl Bytes for SharedMapping {
    fn read(&self, at: usize, into: &mut [u8]) {
        shared::read(self.words(), at, into);
    }

    fn write(&self, at: usize, from: &[u8]) {
        if self.writable {
            shared::write(self.words(), at, from);
        }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned and its borrows have ended. An error leaves it mapped.
        let _ = unsafe { unmap(self.base(), self.len) };
    }
}
