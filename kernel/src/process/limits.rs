//! What ring 3 may take: each process, and all of them together.
//!
//! The kernel's own allocations can't fail, so nothing is made for ring 3 unless enough is left for
//! them. Whoever asks for more gets an error; what others have already is not touched.

use hal::memory::{FRAME_SIZE, frames, heap};
use protocols::abi::Error;

/// Most threads of a process.
pub const THREADS_MAX: usize = 64;
/// Most processes at a time.
pub const PROCESSES_MAX: usize = 1024;
/// What the kernel's heap may become of the machine's memory before ring 3's wishes are refused:
/// one part in so many. The heap never shrinks, so this is also what a bomb costs the machine for
/// good (at worst twice this, see [`heap::has_room`]).
const HEAP_SHARE: u64 = 8;
/// What a process may map: one part in so many.
const PROCESS_SHARE: u64 = 2;
/// What all memory objects together may take: one part in so many.
const OBJECTS_SHARE: u64 = 4;
/// Frames always left for the kernel and everybody else's small needs.
pub const RESERVE_FRAMES: u64 = 512;

static TOTAL_FRAMES: spin::Once<u64> = spin::Once::new();

fn total_frames() -> u64 {
    *TOTAL_FRAMES.call_once(|| frames::statistics().total)
}

/// Most pages of a process, those it maps and those of the memory objects it made.
pub fn pages_max() -> u64 {
    total_frames() / PROCESS_SHARE
}

/// Most pages of all memory objects together.
pub fn object_pages_max() -> u64 {
    total_frames() / OBJECTS_SHARE
}

/// Whether there is memory for one more kernel object that ring 3 asks for.
pub fn room_for_object() -> Result<(), Error> {
    let share = (total_frames() / HEAP_SHARE) as usize * FRAME_SIZE;
    if heap::has_room(share) { Ok(()) } else { Err(Error::OutOfMemory) }
}
