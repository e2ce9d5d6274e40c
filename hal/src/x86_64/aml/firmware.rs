//! What firmware's code may touch: memory that is firmware's or a device's, I/O ports, PCI
//! configuration space; and how it waits.
//!
//! Memory that the kernel hands out is never written for it, whatever the code says. Waiting has
//! limits. Nobody else runs firmware's code at the same time, so its mutexes are always free; the
//! lock it shares with the firmware itself (SMM) is not taken, since nothing asked here needs it.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use ::acpi::aml::AmlError;
use ::acpi::aml::object::Object;
use ::acpi::{Handle, Handler, PciAddress, PhysicalMapping};
use protocols::pci::Address;
use spin::Mutex;

use super::guard::in_kernel;
use super::pci_regions;
use crate::boot::RegionKind;
use crate::memory::frames::memory_map;
use crate::memory::{FRAME_SIZE, FrameNumber};
use crate::mmio::{Register, RegisterValue};
use crate::pci;
use crate::x86_64::paging::windows::Mapping;
use crate::x86_64::paging::{Access, Caching, physical_bits};
use crate::x86_64::port;
use crate::x86_64::time::clock;

/// Longest that code may wait at once, in microseconds.
const LONGEST_WAIT_US: u64 = 100_000;

/// The machine, for firmware's code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Firmware;

/// The page of memory that was looked at last.
static PAGE_IN_USE: Mutex<Option<(u64, Mapping)>> = Mutex::new(None);

/// Lets go of what was mapped for firmware's code.
pub(super) fn let_go() {
    *PAGE_IN_USE.lock() = None;
}

/// How memory may be touched for firmware's code. `None`: not at all.
fn terms(frame: u64) -> Option<(Access, Caching)> {
    if frame >= 1 << (physical_bits() - 12) {
        return None;
    }
    Some(match memory_map()?.kind_of(FrameNumber(frame)) {
        Some(RegionKind::AcpiNvs | RegionKind::AcpiReclaimable) => {
            (Access::ReadWrite, Caching::WriteBack)
        }
        // Firmware's own, devices, or nothing.
        Some(RegionKind::Reserved) | None => (Access::ReadWrite, Caching::Uncacheable),
        Some(_) => (Access::Read, Caching::WriteBack),
    })
}

/// Has `touch` done at a physical address, where `wanted` is allowed. `None`: it is not, or the
/// memory cannot be mapped.
fn at<R>(
    physical: usize,
    bytes: usize,
    wanted: Access,
    touch: impl FnOnce(*mut u8) -> R,
) -> Option<R> {
    let (frame, offset) = ((physical / FRAME_SIZE) as u64, physical % FRAME_SIZE);
    let (access, caching) = terms(frame)?;
    if wanted == Access::ReadWrite && access != Access::ReadWrite || offset + bytes > FRAME_SIZE {
        return None;
    }
    in_kernel(|| {
        let mut in_use = PAGE_IN_USE.lock();
        if in_use.as_ref().is_none_or(|(mapped, _)| *mapped != frame) {
            *in_use = None;
            // SAFETY: firmware's memory or a device's, by the sanitised map; other memory is only
            // read.
            let mapping = unsafe { Mapping::over(FrameNumber(frame), 1, access, caching) }.ok()?;
            *in_use = Some((frame, mapping));
        }
        let start = in_use.as_ref()?.1.start();
        Some(touch((start.0 as usize + offset) as *mut u8))
    })
}

/// A value in memory; all ones where there is none.
fn read<T: RegisterValue>(physical: usize) -> T {
    let bytes = size_of::<T>();
    let value = at(physical, bytes, Access::Read, |place| {
        let place = place.cast::<T>();
        // SAFETY: `at` mapped it for that. What is not aligned is no register.
        unsafe { if place.is_aligned() { place.read_volatile() } else { place.read_unaligned() } }
    });
    value.unwrap_or_else(|| {
        complain("read", physical);
        T::ALL_ONES
    })
}

fn write<T: RegisterValue>(physical: usize, value: T) {
    let bytes = size_of::<T>();
    let written = at(physical, bytes, Access::ReadWrite, |place| {
        let place = place.cast::<T>();
        // SAFETY: as in `read`, and nothing of the kernel's is there.
        unsafe {
            if place.is_aligned() {
                place.write_volatile(value);
            } else {
                place.write_unaligned(value);
            }
        }
    });
    if written.is_none() {
        complain("written", physical);
    }
}

/// Says that something was refused; not for ever.
fn complain(what: &str, address: usize) {
    static SAID: AtomicU32 = AtomicU32::new(0);
    if SAID.fetch_add(1, Ordering::Relaxed) < 8 {
        log::warn!("aml: memory at {address:#x} is not to be {what} by firmware's code");
    }
}

fn function(address: PciAddress) -> Address {
    Address {
        segment: address.segment(),
        bus: address.bus(),
        device: address.device(),
        function: address.function(),
    }
}

/// A register of a function; all ones where there is none.
fn read_pci<T: RegisterValue>(address: PciAddress, offset: u16) -> T {
    let register = Register::at(usize::from(offset));
    in_kernel(|| {
        pci::machine_ports().map_or(T::ALL_ONES, |ports| ports.read(function(address), register))
    })
}

fn write_pci<T: RegisterValue>(address: PciAddress, offset: u16, value: T) {
    if !in_kernel(|| pci_regions::may_write(function(address), offset)) {
        return log::debug!("aml: {address}, offset {offset:#x}, is in no region: not written");
    }
    in_kernel(|| {
        if let Some(ports) = pci::machine_ports() {
            ports.write(function(address), Register::at(usize::from(offset)), value);
        }
    });
}

/// A page of zeroes, for what the interpreter would map by itself: nothing that is asked of it.
#[repr(align(4096))]
struct Nothing([u8; FRAME_SIZE]);
static NOTHING: Nothing = Nothing([0; FRAME_SIZE]);

impl Handler for Firmware {
    unsafe fn map_physical_region<T>(
        &self,
        physical: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        const { assert!(size_of::<T>() <= FRAME_SIZE) };
        complain("mapped", physical);
        PhysicalMapping {
            physical_start: physical,
            virtual_start: NonNull::from(&NOTHING.0).cast(),
            region_length: size,
            mapped_length: size,
            handler: *self,
        }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}

    fn read_u8(&self, address: usize) -> u8 {
        read(address)
    }
    fn read_u16(&self, address: usize) -> u16 {
        read(address)
    }
    fn read_u32(&self, address: usize) -> u32 {
        read(address)
    }
    fn read_u64(&self, address: usize) -> u64 {
        read(address)
    }

    fn write_u8(&self, address: usize, value: u8) {
        write(address, value);
    }
    fn write_u16(&self, address: usize, value: u16) {
        write(address, value);
    }
    fn write_u32(&self, address: usize, value: u32) {
        write(address, value);
    }
    fn write_u64(&self, address: usize, value: u64) {
        write(address, value);
    }

    // SAFETY (of the ports): firmware's code names the ports of its own devices, and is trusted as
    // the firmware is.
    fn read_io_u8(&self, port: u16) -> u8 {
        // SAFETY: see above.
        unsafe { port::read8(port) }
    }
    fn read_io_u16(&self, port: u16) -> u16 {
        // SAFETY: see above.
        unsafe { port::read16(port) }
    }
    fn read_io_u32(&self, port: u16) -> u32 {
        // SAFETY: see above.
        unsafe { port::read32(port) }
    }

    fn write_io_u8(&self, port: u16, value: u8) {
        // SAFETY: see above.
        unsafe { port::write8(port, value) }
    }
    fn write_io_u16(&self, port: u16, value: u16) {
        // SAFETY: see above.
        unsafe { port::write16(port, value) }
    }
    fn write_io_u32(&self, port: u16, value: u32) {
        // SAFETY: see above.
        unsafe { port::write32(port, value) }
    }

    fn read_pci_u8(&self, address: PciAddress, offset: u16) -> u8 {
        read_pci(address, offset)
    }
    fn read_pci_u16(&self, address: PciAddress, offset: u16) -> u16 {
        read_pci(address, offset)
    }
    fn read_pci_u32(&self, address: PciAddress, offset: u16) -> u32 {
        read_pci(address, offset)
    }

    fn write_pci_u8(&self, address: PciAddress, offset: u16, value: u8) {
        write_pci(address, offset, value);
    }
    fn write_pci_u16(&self, address: PciAddress, offset: u16, value: u16) {
        write_pci(address, offset, value);
    }
    fn write_pci_u32(&self, address: PciAddress, offset: u16, value: u32) {
        write_pci(address, offset, value);
    }

    fn nanos_since_boot(&self) -> u64 {
        clock::ticks_to_ns(clock::now())
    }

    fn stall(&self, microseconds: u64) {
        clock::spin_us(microseconds.min(LONGEST_WAIT_US));
    }

    fn sleep(&self, milliseconds: u64) {
        self.stall(milliseconds.saturating_mul(1_000));
    }

    fn create_mutex(&self) -> Handle {
        Handle(0)
    }
    fn acquire(&self, _mutex: Handle, _timeout: u16) -> Result<(), AmlError> {
        Ok(())
    }
    fn release(&self, _mutex: Handle) {}

    fn handle_debug(&self, object: &Object) {
        log::debug!("aml: firmware's code says {object}");
    }

    fn handle_fatal_error(&self, kind: u8, code: u32, argument: u64) {
        log::error!("aml: firmware's code gives up: {kind:#x}, {code:#x}, {argument:#x}");
    }
}
