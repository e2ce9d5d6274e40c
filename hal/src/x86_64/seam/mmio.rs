//! Device registers of this machine: in memory or in I/O ports.
//!
//! A PCI base address register may name either, so drivers see one [`DeviceRegion`] for both.

use alloc::sync::{Arc, Weak};
use core::arch::asm;
use core::ptr::NonNull;

use crate::mmio::{DeviceRegion, MmioError, RegisterValue, Width};

/// Keeps a mapping of device memory; its drop unmaps it.
pub trait Mapping: Send + Sync {}

/// A window onto registers.
#[derive(Clone)]
pub(crate) enum Window {
    /// Mapped, uncached. The mapping lives as long as any clone.
    Memory { base: NonNull<u8>, _mapping: Option<Arc<dyn Mapping>> },
    /// I/O ports from this one on.
    Ports { first: u16 },
}

// SAFETY: the pointer goes to device registers, which any core may access; `DeviceRegion` gives out
// no references, only single volatile accesses.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// A window that keeps nothing mapped.
#[derive(Clone)]
pub(crate) enum WeakWindow {
    Memory { base: NonNull<u8>, mapping: Option<Weak<dyn Mapping>> },
    Ports { first: u16 },
}

// SAFETY: the pointer is used by nobody before it is a `Window` again.
unsafe impl Send for WeakWindow {}
// SAFETY: as above.
unsafe impl Sync for WeakWindow {}

impl WeakWindow {
    /// The window, if it is still mapped.
    pub(crate) fn upgrade(&self) -> Option<Window> {
        match self {
            Self::Memory { base, mapping: None } => {
                Some(Window::Memory { base: *base, _mapping: None })
            }
            Self::Memory { base, mapping: Some(mapping) } => {
                Some(Window::Memory { base: *base, _mapping: Some(mapping.upgrade()?) })
            }
            Self::Ports { first } => Some(Window::Ports { first: *first }),
        }
    }
}

impl Window {
    pub(crate) fn downgrade(&self) -> WeakWindow {
        match self {
            Self::Memory { base, _mapping } => {
                WeakWindow::Memory { base: *base, mapping: _mapping.as_ref().map(Arc::downgrade) }
            }
            Self::Ports { first } => WeakWindow::Ports { first: *first },
        }
    }

    /// `offset` is in range and aligned for `T`: `DeviceRegion` checked it.
    #[inline]
    pub(crate) fn read<T: RegisterValue>(&self, offset: usize) -> T {
        match self {
            // SAFETY: whoever made the window vouched for its range being mapped device memory
            // while it lives; the caller keeps `offset` in range and aligned.
            Window::Memory { base, .. } => unsafe {
                base.as_ptr().add(offset).cast::<T>().read_volatile()
            },
            Window::Ports { first } => {
                T::from_low_bits(port_read(*first + offset as u16, T::WIDTH))
            }
        }
    }

    /// As `read`.
    #[inline]
    pub(crate) fn write<T: RegisterValue>(&self, offset: usize, value: T) {
        match self {
            // SAFETY: as in `read`.
            Window::Memory { base, .. } => unsafe {
                base.as_ptr().add(offset).cast::<T>().write_volatile(value);
            },
            Window::Ports { first } => {
                port_write(*first + offset as u16, T::WIDTH, value.into());
            }
        }
    }

    /// Nothing more to do than what `DeviceRegion` logs.
    pub(crate) fn report_stray(&self, _offset: usize, _width: Width) {}
}

fn port_read(port: u16, width: Width) -> u64 {
    // SAFETY: whoever made the window vouched that these ports belong to a device and that
    // accessing them has no effect on memory safety.
    unsafe {
        match width {
            Width::Bits8 => {
                let value: u8;
                asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags));
                u64::from(value)
            }
            Width::Bits16 => {
                let value: u16;
                asm!("in ax, dx", in("dx") port, out("ax") value, options(nostack, preserves_flags));
                u64::from(value)
            }
            Width::Bits32 => {
                let value: u32;
                asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags));
                u64::from(value)
            }
            // Ports have no 64-bit access; nothing answers one.
            Width::Bits64 => Width::Bits64.all_ones(),
        }
    }
}

fn port_write(port: u16, width: Width, value: u64) {
    // SAFETY: as in `port_read`.
    unsafe {
        match width {
            Width::Bits8 => {
                asm!("out dx, al", in("dx") port, in("al") value as u8, options(nostack, preserves_flags));
            }
            Width::Bits16 => {
                asm!("out dx, ax", in("dx") port, in("ax") value as u16, options(nostack, preserves_flags));
            }
            Width::Bits32 => {
                asm!("out dx, eax", in("dx") port, in("eax") value as u32, options(nostack, preserves_flags));
            }
            Width::Bits64 => {}
        }
    }
}

impl DeviceRegion {
    /// A region over mapped device memory; `mapping` unmaps it when the last part is dropped.
    ///
    /// # Safety
    /// `base..base + bytes` stays mapped, uncached, as device memory while `mapping` lives (forever
    /// if there is none), is nobody's Rust object, and no access to it can break memory safety.
    pub unsafe fn over_memory(
        base: NonNull<u8>,
        bytes: usize,
        mapping: Option<Arc<dyn Mapping>>,
    ) -> Self {
        Self::new(Window::Memory { base, _mapping: mapping }, bytes)
    }

    /// A region over `count` I/O ports from `first` on.
    ///
    /// # Safety
    /// The ports belong to one device, and no access to them can break memory safety.
    pub unsafe fn over_ports(first: u16, count: u16) -> Result<Self, MmioError> {
        if first.checked_add(count).is_none() {
            return Err(MmioError::OutOfRange);
        }
        Ok(Self::new(Window::Ports { first }, usize::from(count)))
    }
}

/// Ports of a PC's old devices that do no DMA and that the kernel leaves alone: keyboard controller,
/// real-time clock, game port, fourth and third serial port, parallel port.
const LENDABLE: &[(u16, u16)] =
    &[(0x60, 1), (0x64, 1), (0x70, 2), (0x200, 8), (0x2e8, 8), (0x378, 8), (0x3e8, 8)];

impl DeviceRegion {
    /// The I/O ports of an old device of the PC, which a program may have. `None`: they are not all
    /// such a device's.
    pub fn old_device(first: u16, count: u16) -> Option<Self> {
        let end = u32::from(first) + u32::from(count);
        let is_within = |(start, len): &(u16, u16)| {
            first >= *start && end <= u32::from(*start) + u32::from(*len)
        };
        let is_lendable = count > 0 && LENDABLE.iter().any(is_within);
        // Such a device reaches no memory, so no access to its ports can break memory safety.
        is_lendable.then(|| Self::new(Window::Ports { first }, usize::from(count)))
    }
}

impl crate::x86_64::serial::Port {
    /// The registers of the port, for the driver that receives from it. The early console goes on
    /// sending through the same port: each keeps to its own direction.
    pub fn registers(self) -> DeviceRegion {
        // A PC's serial ports are a UART's or nobody's, and a UART does no DMA: no access to it can
        // break memory safety. So this needs no promise from the caller.
        DeviceRegion::new(Window::Ports { first: self.base() }, 8)
    }
}

/// The ports of PCI's configuration space: address and data (PCI 3.0, 3.2.2.3.2).
pub(crate) fn configuration_ports() -> DeviceRegion {
    // On a PC these ports are the host bridge's or nobody's. What is written through them is up to
    // `hal::pci`, which changes nothing that leads devices into memory by itself.
    DeviceRegion::new(Window::Ports { first: 0xcf8 }, 8)
}
