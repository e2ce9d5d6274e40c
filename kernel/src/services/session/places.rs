//! How many sessions there may be. They are the kernel's to hold: their capabilities lie in its own
//! table, which has an end, so they are counted by who opened them, and running out is an error for
//! who ran out.

use crate::process::memory::Charge;
use crate::process::{self, limits};
use alloc::vec::Vec;
use protocols::abi::{Error, PAGE};
use protocols::axiom::state::SLOTS_MAX;

/// Sessions with disks.
pub static DISKS: Places = Places::new(OF_DISKS);
/// Sessions with the network, and listeners.
pub static NETWORK: Places = Places::new(OF_NETWORK);

const OF_DISKS: Bounds = Bounds { all: 64, of_job: 16, of_process: 8 };
const OF_NETWORK: Bounds = Bounds { all: 192, of_job: 48, of_process: 48 };

/// Slots of the kernel's table that a session takes, at most: its memory, what it signals, its
/// doorbell. A listener takes one.
const SLOTS: usize = 3;
/// Slots for all else: what the kernel gives to programs, the services of these (one for each that
/// a person gave a disk or the network), and what messages to services bring along.
const OTHER_SLOTS: usize = SLOTS_MAX / 4;

const _: () = assert!(
    (OF_DISKS.all + OF_NETWORK.all) * SLOTS + OTHER_SLOTS <= SLOTS_MAX,
    "all sessions together fit into the kernel's table, and leave room"
);

/// A job may have this part of the buffers that there may be.
const PART_OF_JOB: usize = 3;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    all: usize,
    /// Of a program that the kernel started and all its descendants: a process that has children
    /// open them gets no more by it.
    of_job: usize,
    of_process: usize,
}

/// Who has the places that there are.
#[derive(Debug)]
pub struct Places {
    bounds: Bounds,
    taken: spin::Mutex<Vec<Taken>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    job: u32,
    process: u32,
    bytes: usize,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: &'static Places,
    taken: Taken,
    _charge: Charge,
}

impl Places {
    const fn new(bounds: Bounds) -> Self {
        Self { bounds, taken: spin::Mutex::new(Vec::new()) }
    }

    /// Takes one for `process`, with so many bytes of buffers, which it is charged for. All of them
    /// may have `bytes_max` together.
    pub fn take(
        &'static self,
        process: u32,
        bytes: usize,
        bytes_max: usize,
    ) -> Result<Place, Error> {
        limits::room_for_object()?;
        // The one that asks is waiting for the answer, unless it was killed meanwhile.
        let maker = process::find(process).ok_or(Error::PeerGone)?;
        let charge = Charge::new(bytes.div_ceil(PAGE) as u64, &maker.space)?;
        let new = Taken { job: maker.job, process, bytes };
        let Bounds { all, of_job, of_process } = self.bounds;
        let mut taken = self.taken.lock();
        let used = |whose: &dyn Fn(&Taken) -> bool| {
            let theirs = taken.iter().filter(|one| whose(one));
            theirs.fold((0, bytes), |(count, sum), one| (count + 1, sum + one.bytes))
        };
        let (count, sum) = used(&|_| true);
        let (job_count, job_sum) = used(&|one| one.job == new.job);
        let (process_count, _) = used(&|one| one.process == process);
        if count >= all
            || job_count >= of_job
            || process_count >= of_process
            || sum > bytes_max
            || job_sum > bytes_max / PART_OF_JOB
        {
            return Err(Error::LimitReached);
        }
        taken.push(new);
        Ok(Place { places: self, taken: new, _charge: charge })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(at) = taken.iter().position(|one| *one == self.taken) {
            taken.swap_remove(at);
        }
    }
}
