//! Physical and virtual addresses as types, so that one is never taken for the other.

use core::fmt;

/// Bytes in a frame of physical memory and in a page of virtual memory.
pub const FRAME_SIZE: usize = 4096;

/// A physical address in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

/// A virtual address in bytes. May be non-canonical: whoever uses it checks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct VirtAddr(pub u64);

/// The number of a 4 KiB frame: physical address divided by [`FRAME_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct FrameNumber(pub u64);

macro_rules! byte_address {
    ($name:ident, $letter:literal) => {
        impl $name {
            /// The address as a number.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
            /// This address plus `bytes`, or `None` past the end of the 64-bit range.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }
            /// Whether the address is a multiple of `alignment` (a power of two).
            pub const fn is_aligned(self, alignment: u64) -> bool {
                self.0 & (alignment - 1) == 0
            }
            /// The address rounded down to a multiple of `alignment` (a power of two).
            pub const fn align_down(self, alignment: u64) -> Self {
                Self(self.0 & !(alignment - 1))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, ":{:#x}"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

byte_address!(PhysAddr, "phys");
byte_address!(VirtAddr, "virt");

impl VirtAddr {
    /// The address of what `pointer` points to.
    pub fn of<T: ?Sized>(pointer: *const T) -> Self {
        Self(pointer.cast::<u8>() as u64)
    }
    /// The address as a pointer, to be used only where something says it is mapped.
    pub const fn as_ptr<T>(self) -> *const T {
        self.0 as *const T
    }
    /// The address as a mutable pointer, to be used only where something says it is mapped.
    pub const fn as_mut_ptr<T>(self) -> *mut T {
        self.0 as *mut T
    }
}

impl FrameNumber {
    /// The frame which holds `address`.
    pub const fn containing(address: PhysAddr) -> Self {
        Self(address.0 / FRAME_SIZE as u64)
    }
    /// The first byte of the frame.
    pub const fn start(self) -> PhysAddr {
        PhysAddr(self.0 * FRAME_SIZE as u64)
    }
}

impl fmt::Debug for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame:{:#x}", self.0)
    }
}
