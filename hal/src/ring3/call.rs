//! The system calls on devices, and the two that give back what those gave.

use alloc::vec::Vec;
use core::ptr::NonNull;

use protocols::abi::device::{Command, InterruptAction, InterruptKind, Range};
use protocols::abi::{Error, Handle, PAGE, Syscall, decode};
use spin::Mutex;

use crate::dma::AddressLimit;

/// Pieces of memory that are kept for the next buffer, at most, and their bytes.
const KEPT_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 2 << 20;

/// The `syscall` instruction, as `protocols::abi` lays its registers out.
///
/// # Safety
/// What the call does to this process's memory is sound: pointers are valid for what it writes,
/// unmapped ranges unused.
unsafe fn call(number: Syscall, [a, b, c, d, e]: [u64; 5]) -> Result<(u64, u64), Error> {
    let (rax, rdx): (u64, u64);
    // SAFETY: the kernel preserves every register but those declared here and leaves the stack
    // alone; what it does to memory is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as u64 => rax,
            inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => rdx,
            inlateout("r10") d => _, inlateout("r8") e => _, lateout("r9") _,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    Ok((decode(rax)?, rdx))
}

/// A device capability, given up when everything that came from it is gone.
pub struct Lease {
    handle: Handle,
    kept: Mutex<Vec<Run>>,
}

/// Pages that lie one behind the other.
pub struct Run {
    pub base: NonNull<u8>,
    pub bytes: usize,
    /// Where the device finds them.
    pub device: u64,
}

// SAFETY: it is a name for memory; whoever owns it decides who looks there.
unsafe impl Send for Run {}
// SAFETY: as above.
unsafe impl Sync for Run {}

impl Lease {
    pub fn new(handle: Handle) -> Self {
        Self { handle, kept: Mutex::default() }
    }

    /// A call that changes none of this program's memory.
    fn plain(&self, number: Syscall, a: u64, b: u64, c: u64) -> Result<(u64, u64), Error> {
        // SAFETY: none of the calls made this way touches memory.
        unsafe { call(number, [u64::from(self.handle.0), a, b, c, 0]) }
    }

    /// A double word of the header.
    pub fn config(&self, offset: u16) -> Result<u32, Error> {
        self.plain(Syscall::DeviceConfig, u64::from(offset), 0, 0).map(|(word, _)| word as u32)
    }

    pub fn command(&self, command: Command) -> Result<(), Error> {
        self.plain(Syscall::DeviceCommand, u64::from(command.bits()), 0, 0).map(drop)
    }

    /// How many bytes are behind that base address register, and of what kind.
    pub fn range(&self, index: u8) -> Result<(u64, Range), Error> {
        let (bytes, kind) = self.plain(Syscall::DeviceRange, u64::from(index), 0, 0)?;
        Ok((bytes, Range::from_raw(kind).ok_or(Error::NotSupported)?))
    }

    /// Maps registers from the first one on: whole pages.
    pub fn map(&self, index: u8, bytes: usize) -> Result<NonNull<u8>, Error> {
        let (address, _) = self.plain(Syscall::DeviceMap, u64::from(index), 0, bytes as u64)?;
        NonNull::new(address as *mut u8).ok_or(Error::BadAddress)
    }

    pub fn interrupts(&self, count: usize) -> Result<(usize, InterruptKind), Error> {
        let (count, kind) = self.plain(Syscall::DeviceInterrupts, count as u64, 0, 0)?;
        Ok((count as usize, InterruptKind::from_raw(kind).ok_or(Error::NotSupported)?))
    }

    pub fn wire(&self, index: usize, notification: Handle, bits: u64) -> Result<(), Error> {
        let notification = u64::from(notification.0);
        self.plain(Syscall::DeviceInterruptWire, index as u64, notification, bits).map(drop)
    }

    pub fn interrupt(&self, index: usize, action: InterruptAction) -> Result<(), Error> {
        self.plain(Syscall::DeviceInterrupt, index as u64, action as u64, 0).map(drop)
    }

    pub fn reset(&self) -> Result<(), Error> {
        self.plain(Syscall::DeviceReset, 0, 0, 0).map(drop)
    }

    /// Zeroed pages one behind the other, below the limit.
    pub fn run(&self, bytes: usize, limit: AddressLimit) -> Result<Run, Error> {
        let bytes = bytes.next_multiple_of(PAGE);
        let fits =
            |run: &Run| run.bytes == bytes && run.device + (bytes as u64 - 1) <= limit.highest();
        // Nobody waits here: another thread may hold it and not be running.
        let kept = self.kept.try_lock().and_then(|mut kept| {
            let place = kept.iter().position(fits)?;
            Some(kept.swap_remove(place))
        });
        if let Some(run) = kept {
            // SAFETY: mapped and nobody's, or it would not have been kept.
            unsafe { run.base.as_ptr().write_bytes(0, bytes) };
            return Ok(run);
        }
        let (address, device) = self.memory(bytes, limit, None)?;
        Ok(Run { base: NonNull::new(address as *mut u8).ok_or(Error::BadAddress)?, bytes, device })
    }

    /// Zeroed pages anywhere below the limit, seen as one range; where the device finds each.
    pub fn listed(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<(NonNull<u8>, Vec<u64>), Error> {
        let bytes = bytes.next_multiple_of(PAGE);
        let mut list = alloc::vec![0; bytes / PAGE];
        let (address, _) = self.memory(bytes, limit, Some(&mut list))?;
        Ok((NonNull::new(address as *mut u8).ok_or(Error::BadAddress)?, list))
    }

    fn memory(
        &self,
        bytes: usize,
        limit: AddressLimit,
        list: Option<&mut [u64]>,
    ) -> Result<(u64, u64), Error> {
        // A limit is all ones up to some bit.
        let bits = u64::from(limit.highest().count_ones());
        let list = list.map_or(0, |list| list.as_mut_ptr() as u64);
        let handle = u64::from(self.handle.0);
        // SAFETY: fresh memory is mapped; the list has a word for each of its pages.
        unsafe { call(Syscall::DeviceMemory, [handle, bytes as u64, bits, list, 0]) }
    }

    /// Takes back what [`run`](Self::run) gave.
    pub fn free(&self, run: Run) {
        let mut run = Some(run);
        if let Some(mut kept) = self.kept.try_lock() {
            let bytes: usize = kept.iter().map(|run| run.bytes).sum();
            if kept.len() < KEPT_MAX
                && run.as_ref().is_some_and(|run| bytes + run.bytes <= KEPT_BYTES_MAX)
            {
                kept.extend(run.take());
            }
        }
        if let Some(run) = run {
            self.give_back(run.base, run.bytes, run.device);
        }
    }

    /// Gives memory back to the kernel that the device does not use any more, and nobody here.
    pub fn give_back(&self, base: NonNull<u8>, bytes: usize, device: u64) {
        unmap(base, bytes);
        // A device that is gone has given it back already.
        let _ = self.plain(Syscall::DeviceRelease, device, 0, 0);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for run in core::mem::take(&mut *self.kept.lock()) {
            self.give_back(run.base, run.bytes, run.device);
        }
        let _ = self.plain(Syscall::CapabilityDrop, 0, 0, 0);
    }
}

/// Unmaps what one of the calls above has mapped, and nobody uses any more.
pub fn unmap(base: NonNull<u8>, bytes: usize) {
    let bytes = bytes.next_multiple_of(PAGE) as u64;
    // SAFETY: the owner of the range gave it up. If the kernel refuses, it stays mapped.
    let _ = unsafe { call(Syscall::MemoryUnmap, [base.as_ptr() as u64, bytes, 0, 0, 0]) };
}
