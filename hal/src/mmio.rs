//! Device registers: a [`DeviceRegion`] is a window onto them, a [`Register`] one place in it.
//!
//! A register knows its width, so an access cannot have the wrong one. Every access happens exactly
//! once, in program order, and orders memory as well:
//!
//! - a `write` comes after everything written to DMA memory before it (ring a doorbell and the
//!   device sees the whole queue entry);
//! - a `read` comes before everything read from DMA memory after it.
//!
//! An access outside the region, or one not aligned to its width, does what the bus does where no
//! device answers: reads give all ones, writes are lost. It is logged once for each region and
//! counted ([`DeviceRegion::stray_accesses`]); the simulated machine reports it as a violation. So
//! an offset computed from what a broken device said can neither panic nor reach something else.

use alloc::sync::Arc;
#[cfg(not(ring3))]
use alloc::sync::Weak;
use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::machine;

/// How wide a register access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// One byte.
    Bits8,
    /// Two bytes.
    Bits16,
    /// Four bytes.
    Bits32,
    /// Eight bytes.
    Bits64,
}

impl Width {
    /// The width in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Width::Bits8 => 1,
            Width::Bits16 => 2,
            Width::Bits32 => 4,
            Width::Bits64 => 8,
        }
    }

    /// What a read of this width gives where no device answers.
    pub const fn all_ones(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A value a register can hold: `u8`, `u16`, `u32` or `u64`.
pub trait RegisterValue: Copy + Into<u64> + PartialEq + sealed::Sealed + 'static {
    /// The width of an access to it.
    const WIDTH: Width;
    /// What a read gives where no device answers: after an unplug, above all.
    const ALL_ONES: Self;
    /// The low bits of `value`.
    fn from_low_bits(value: u64) -> Self;
}

macro_rules! register_values {
    ($($type:ty => $width:expr),*) => {$(
        impl sealed::Sealed for $type {}
        impl RegisterValue for $type {
            const WIDTH: Width = $width;
            const ALL_ONES: Self = <$type>::MAX;
            fn from_low_bits(value: u64) -> Self {
                value as $type
            }
        }
    )*};
}
register_values!(u8 => Width::Bits8, u16 => Width::Bits16, u32 => Width::Bits32, u64 => Width::Bits64);

/// One register: an offset in bytes from the start of a region, and a width.
///
/// ```
/// use hal::mmio::Register;
/// const STATUS: Register<u32> = Register::at(0x1c);
/// const DOORBELLS: Register<u32> = Register::at(0x1000);
/// assert_eq!(DOORBELLS.nth(3, 8).offset(), 0x1018);
/// # let _ = STATUS;
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Register<T> {
    offset: usize,
    value: PhantomData<T>,
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Register<T> {}

impl<T: RegisterValue> Register<T> {
    /// The register at `offset` bytes.
    pub const fn at(offset: usize) -> Self {
        Self { offset, value: PhantomData }
    }

    /// The `index`-th of an array of such registers that lie `stride` bytes apart.
    pub const fn nth(self, index: usize, stride: usize) -> Self {
        Self::at(self.offset.saturating_add(index.saturating_mul(stride)))
    }

    /// Its offset in bytes.
    pub const fn offset(self) -> usize {
        self.offset
    }
}

/// Why a region could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum MmioError {
    /// The device offers fewer bytes than were asked for: it is not what its ids say. Refuse it.
    #[error("the region is smaller than asked for")]
    OutOfRange,
    /// No address space is left to map it. Refuse the device.
    #[error("no address space left for device registers")]
    NoSpace,
    /// The address belongs to memory, or to another driver. Refuse the device.
    #[error("the address is not a free device region")]
    NotDevice,
}

/// A window onto a device's registers, in memory or in I/O ports; unmapped when the last part of it
/// is dropped.
#[derive(Clone)]
pub struct DeviceRegion {
    window: machine::Window,
    start: usize,
    bytes: usize,
    strays: Arc<AtomicU32>,
}

impl DeviceRegion {
    pub(crate) fn new(window: machine::Window, bytes: usize) -> Self {
        Self { window, start: 0, bytes, strays: Arc::new(AtomicU32::new(0)) }
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A part of it, sharing the mapping: for the doorbells of one queue, say.
    pub fn part(&self, range: Range<usize>) -> Result<Self, MmioError> {
        if range.start > range.end || range.end > self.bytes {
            return Err(MmioError::OutOfRange);
        }
        let mut part = self.clone();
        part.start += range.start;
        part.bytes = range.end - range.start;
        Ok(part)
    }

    #[cfg(not(ring3))]
    /// A reference that keeps nothing mapped, for whoever hands out further parts.
    pub(crate) fn downgrade(&self) -> WeakRegion {
        WeakRegion {
            window: self.window.downgrade(),
            start: self.start,
            bytes: self.bytes,
            strays: Arc::downgrade(&self.strays),
        }
    }

    #[cfg(not(ring3))]
    pub(crate) fn window(&self) -> &machine::Window {
        &self.window
    }

    /// Reads `register`, once; memory read after this is read after it.
    #[inline]
    pub fn read<T: RegisterValue>(&self, register: Register<T>) -> T {
        let Some(offset) = self.locate(register) else { return T::ALL_ONES };
        let value = self.window.read::<T>(offset);
        core::sync::atomic::fence(Ordering::Acquire);
        value
    }

    /// Writes `register`, once; memory written before this is written before it.
    #[inline]
    pub fn write<T: RegisterValue>(&self, register: Register<T>, value: T) {
        let Some(offset) = self.locate(register) else { return };
        core::sync::atomic::fence(Ordering::Release);
        self.window.write::<T>(offset, value);
    }

    /// Reads `register`, changes the value, writes it back. Not atomic towards the device.
    #[inline]
    pub fn modify<T: RegisterValue>(&self, register: Register<T>, change: impl FnOnce(T) -> T) {
        let value = self.read(register);
        self.write(register, change(value));
    }

    /// How many accesses went outside the region or were not aligned. Anything but 0 is a bug in
    /// the driver or nonsense from the device.
    pub fn stray_accesses(&self) -> u32 {
        self.strays.load(Ordering::Relaxed)
    }

    #[inline]
    fn locate<T: RegisterValue>(&self, register: Register<T>) -> Option<usize> {
        let (offset, width) = (register.offset, T::WIDTH.bytes());
        if offset <= self.bytes && width <= self.bytes - offset && offset.is_multiple_of(width) {
            return Some(self.start + offset);
        }
        self.stray(offset, T::WIDTH);
        None
    }

    #[cold]
    #[inline(never)]
    fn stray(&self, offset: usize, width: Width) {
        if self.strays.fetch_add(1, Ordering::Relaxed) == 0 {
            log::error!(
                "hal: a driver reached for {width:?} at {offset:#x} of a device region of {:#x} bytes; ignored",
                self.bytes
            );
        }
        self.window.report_stray(self.start.saturating_add(offset), width);
    }
}

#[cfg(not(ring3))]
/// A [`DeviceRegion`] as long as somebody else keeps it mapped.
#[derive(Clone)]
pub(crate) struct WeakRegion {
    window: machine::WeakWindow,
    start: usize,
    bytes: usize,
    strays: Weak<AtomicU32>,
}

#[cfg(not(ring3))]
impl WeakRegion {
    /// The region, if any part of it is still in use.
    pub(crate) fn upgrade(&self) -> Option<DeviceRegion> {
        let strays = self.strays.upgrade()?;
        let window = self.window.upgrade()?;
        Some(DeviceRegion { window, start: self.start, bytes: self.bytes, strays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Bus, DeviceModel, SimMachine, Violation};
    use std::vec;
    use std::vec::Vec;

    /// 256 bytes of registers that remember what was written, at any width.
    struct Memory([u8; 256]);

    impl DeviceModel for Memory {
        fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
            let mut bytes = [0; 8];
            bytes[..width.bytes()].copy_from_slice(&self.0[offset..offset + width.bytes()]);
            u64::from_le_bytes(bytes)
        }

        fn write(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
            let bytes = value.to_le_bytes();
            self.0[offset..offset + width.bytes()].copy_from_slice(&bytes[..width.bytes()]);
        }
    }

    #[test]
    fn widths_reach_the_device() {
        let machine = SimMachine::new();
        let region = machine.add("memory", Memory([0; 256])).region(256);
        region.write(Register::<u64>::at(8), 0x1122_3344_5566_7788);
        assert_eq!(region.read(Register::<u8>::at(8)), 0x88);
        assert_eq!(region.read(Register::<u16>::at(10)), 0x5566);
        assert_eq!(region.read(Register::<u32>::at(12)), 0x1122_3344);
        region.modify(Register::<u16>::at(8), |value| value | 0xff00);
        assert_eq!(region.read(Register::<u64>::at(8)), 0x1122_3344_5566_ff88);
    }

    #[test]
    fn parts_share_and_confine() {
        let machine = SimMachine::new();
        let region = machine.add("memory", Memory([0; 256])).region(256);
        let part = region.part(16..32).expect("in range");
        assert_eq!(part.bytes(), 16);
        part.write(Register::<u32>::at(4), 7);
        assert_eq!(region.read(Register::<u32>::at(20)), 7);
        assert_eq!(part.part(8..17).err(), Some(MmioError::OutOfRange));
        let backwards = std::ops::Range { start: 9, end: 8 };
        assert_eq!(part.part(backwards).err(), Some(MmioError::OutOfRange));
        let weak = region.downgrade();
        drop(region);
        assert_eq!(part.read(Register::<u32>::at(4)), 7);
        assert_eq!(weak.upgrade().map(|region| region.bytes()), Some(256));
        drop(part);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn stray_accesses_go_nowhere_and_are_reported() {
        let machine = SimMachine::new();
        let device = machine.add("memory", Memory([0; 256]));
        let region = device.region(16);
        for offset in [13, 14, 16, 1 << 40, usize::MAX - 3, usize::MAX] {
            assert_eq!(region.read(Register::<u32>::at(offset)), u32::MAX);
            region.write(Register::<u32>::at(offset), 5);
        }
        assert_eq!(region.read(Register::<u64>::at(4)), u64::MAX, "not aligned");
        assert_eq!(region.stray_accesses(), 13);
        assert_eq!(region.clone().stray_accesses(), 13);
        assert!(device.act(|model, _| model.0.iter().all(|&byte| byte == 0)));
        let seen: Vec<_> = machine.take_violations();
        assert_eq!(seen.len(), 13);
        let first = Violation::StrayAccess { device: "memory", offset: 13, width: Width::Bits32 };
        assert_eq!(seen[..2], vec![first.clone(), first]);
    }

    #[test]
    fn an_array_index_from_a_broken_device_cannot_wrap() {
        let register = Register::<u32>::at(0x1000).nth(usize::MAX, 8);
        assert_eq!(register.offset(), usize::MAX);
    }
}
