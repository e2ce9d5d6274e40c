//! What ring 3 may take: each process, and all of them together. A process's budget comes out of its
//! parent's and is part of the authority's state; here is what it begins with.
//!
//! The kernel's own allocations can't fail, so nothing is made for ring 3 unless enough is left for
//! them. Whoever asks for more gets an error; what others have already is not touched.

use core::ops::RangeInclusive;
use hal::memory::{FRAME_SIZE, frames, heap};
use protocols::abi::Error;
use protocols::axiom::Budget;

/// Most threads of a process.
pub const THREADS_MAX: usize = 64;
/// Most processes at a time.
pub const PROCESSES_MAX: usize = 1024;
/// What the kernel's heap may become of the machine's memory before ring 3's wishes are refused:
/// one part in so many. The heap never shrinks, so this is also what a bomb costs the machine for
/// good (at worst twice this, see [`heap::has_room`]).
const HEAP_SHARE: u64 = 8;
/// What a program that the kernel starts may have of the memory: one part in so many.
const PROCESS_SHARE: u64 = 2;
/// Its threads, and those of its children.
const PROGRAM_THREADS: u32 = 1024;
/// Its handles, and those of its children.
const PROGRAM_HANDLES: u32 = 16384;
/// What a child gets unless its parent says: one part in so many of what is left.
const CHILD_SHARE: u32 = 8;
/// What all memory objects together may take: one part in so many.
const OBJECTS_SHARE: u64 = 4;
/// Frames always left for the kernel and everybody else's small needs.
pub const RESERVE_FRAMES: u64 = 512;

/// Records of the CommitLog in memory: one for so many frames of the machine's, and within these.
const RECORD_FRAMES: u64 = 12;
const RECORDS: RangeInclusive<u64> = 512..=4096;

static TOTAL_FRAMES: spin::Once<u64> = spin::Once::new();

fn total_frames() -> u64 {
    *TOTAL_FRAMES.call_once(|| frames::statistics().total)
}

/// The kernel's own budget: enough for every program to have all that [`of_program`] gives. Whether
/// there are so many pages is found out when they are used.
pub fn everything() -> Budget {
    let programs = PROCESSES_MAX as u32;
    let (threads, handles) = (PROGRAM_THREADS * programs, PROGRAM_HANDLES * programs);
    let frames = total_frames() / PROCESS_SHARE * u64::from(programs);
    // Its own table, too.
    Budget { frames, threads, handles: handles + PROGRAM_HANDLES, messages: threads }
}

/// What a program that the kernel starts gets.
pub fn of_program() -> Budget {
    Budget {
        frames: total_frames() / PROCESS_SHARE,
        threads: PROGRAM_THREADS,
        handles: PROGRAM_HANDLES,
        messages: PROGRAM_THREADS,
    }
}

/// What a child gets of what its parent has `left`, where that says zero.
pub fn of_child(asked: Budget, left: Budget) -> Budget {
    let share = |asked: u32, left: u32| if asked == 0 { left / CHILD_SHARE } else { asked };
    let frames =
        if asked.frames == 0 { left.frames / u64::from(CHILD_SHARE) } else { asked.frames };
    Budget {
        frames,
        threads: share(asked.threads, left.threads),
        handles: share(asked.handles, left.handles),
        messages: share(asked.messages, left.messages),
    }
}

/// Most pages of all memory objects together.
pub fn object_pages_max() -> u64 {
    total_frames() / OBJECTS_SHARE
}

/// How many records of the CommitLog may wait for the disk before those who make more are held up,
/// and how many there may be beside those before the oldest make way to a checkpoint. Each is some
/// 200 bytes of the heap.
pub fn kept_records() -> u64 {
    // Asked by every system call that waits.
    static KEPT: spin::Once<u64> = spin::Once::new();
    *KEPT.call_once(|| (total_frames() / RECORD_FRAMES).clamp(*RECORDS.start(), *RECORDS.end()))
}

/// Whether there is memory for one more kernel object that ring 3 asks for.
pub fn room_for_object() -> Result<(), Error> {
    let share = (total_frames() / HEAP_SHARE) as usize * FRAME_SIZE;
    if heap::has_room(share) { Ok(()) } else { Err(Error::OutOfMemory) }
}
