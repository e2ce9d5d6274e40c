//! Memory: addresses, the map of what there is, frames, the heap and address spaces.

mod address;
#[cfg(target_os = "none")]
pub mod heap;

pub use address::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr};
