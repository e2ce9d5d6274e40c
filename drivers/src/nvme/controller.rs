//! A controller being served: its queues, and how it is brought to work and to an end.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use executor::sync::Notify;
use executor::{CoreId, Platform};
use hal::dma::DmaDomain;
use protocols::nvme::Controller as Identity;
use spin::{Mutex, Once};

use super::doorbell::Shadows;
use super::namespace::Known;
use super::queue::{Ended, Queue};
use super::reaping::Stopped;
use super::registers::Registers;
use super::{ADMIN_ENTRIES, IO_ENTRIES, NvmeError};
use crate::completion::CompletionMode;
use crate::storage::Writable;

pub(super) struct Controller {
    pub(super) name: String,
    pub(super) registers: Registers,
    pub(super) dma: DmaDomain,
    pub(super) writable: Writable,
    pub(super) admin: Queue,
    /// One for each core, at least one; those the controller granted come first.
    pub(super) io: Vec<Queue>,
    /// How many of `io` are in use.
    serving: AtomicUsize,
    /// By core: which of `io` is its own.
    homes: Box<[u16]>,
    /// By core: which of those in use that makes.
    queues: Box<[AtomicU16]>,
    /// What it said of itself when it was first brought to work.
    pub(super) identity: Once<Identity>,
    pub(super) shadows: Mutex<Option<Arc<Shadows>>>,
    /// The namespaces that were announced.
    pub(super) known: Mutex<Vec<Known>>,
    /// Something is wrong: see `admin_is_stuck`, and the queues.
    pub(super) trouble: Arc<Notify>,
    /// An admin command was not done in time.
    pub(super) admin_is_stuck: AtomicBool,
}

/// How many interrupts there are for the queues.
pub(super) struct Vectors(pub(super) usize);

impl Vectors {
    /// The interrupt of queue `queue`; `None`: it has none, and is polled.
    fn of(&self, queue: u16) -> Option<u16> {
        (usize::from(queue) < self.0).then_some(queue)
    }
}

impl Controller {
    pub(super) fn new<P: Platform>(
        registers: Registers,
        dma: DmaDomain,
        writable: Writable,
        cores: &[CoreId],
        vectors: &Vectors,
        mode: CompletionMode,
    ) -> Result<Self, NvmeError> {
        let trouble = Arc::new(Notify::new());
        let queue = |number, most: u16| {
            let entries = registers.capabilities().max_entries().min(u32::from(most)) as u16;
            let vector = vectors.of(number);
            Queue::new::<P>(&registers, &dma, number, entries, vector, mode, trouble.clone())
        };
        let most = usize::from(registers.io_queues_most());
        let count = cores.len().clamp(1, most) as u16;
        let admin = queue(0, ADMIN_ENTRIES)?;
        let io: Vec<Queue> =
            (1..=count).map(|number| queue(number, IO_ENTRIES)).collect::<Result<_, _>>()?;
        let last = cores.iter().map(|core| usize::from(core.0) + 1).max().unwrap_or(0);
        let mut homes: Box<[u16]> = (0..last).map(|core| core as u16).collect();
        // The first queue named for a core is its own.
        for (home, core) in cores.iter().enumerate().rev() {
            homes[usize::from(core.0)] = home as u16;
        }
        Ok(Self {
            name: registers.name().into(),
            registers,
            dma,
            writable,
            admin,
            io,
            serving: AtomicUsize::new(0),
            queues: homes.iter().map(|_| AtomicU16::new(0)).collect(),
            homes,
            identity: Once::new(),
            shadows: Mutex::new(None),
            known: Mutex::new(Vec::new()),
            trouble,
            admin_is_stuck: AtomicBool::new(false),
        })
    }

    /// The I/O queue of this core, or the one it shares.
    #[inline]
    pub(super) fn queue_here<P: Platform>(&self) -> &Queue {
        let core = P::current().map_or(0, |core| usize::from(core.0));
        // Cores that came later than the driver share the first.
        let queue = self.queues.get(core).map_or(0, |queue| queue.load(Ordering::Relaxed));
        &self.io[usize::from(queue)]
    }

    /// The first `count` I/O queues are in use from now on, at least one; cores share them.
    pub(super) fn serve_with(&self, count: usize) {
        self.serving.store(count, Ordering::Relaxed);
        for (queue, home) in self.queues.iter().zip(&self.homes) {
            queue.store(home % count.clamp(1, 0xffff) as u16, Ordering::Relaxed);
        }
    }

    /// The I/O queues in use.
    pub(super) fn in_use(&self) -> &[Queue] {
        &self.io[..self.serving.load(Ordering::Relaxed)]
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        core::iter::once(&self.admin).chain(&self.io)
    }

    pub(super) fn set_mode(&self, mode: CompletionMode) {
        self.queues().for_each(|queue| queue.control.set_mode(mode));
    }

    /// Answers everything in flight with `verdict`, for good.
    pub(super) fn close(&self, stopped: Stopped, verdict: Ended) {
        self.queues().for_each(|queue| queue.close(stopped, verdict));
        self.drop_shadows(stopped);
    }

    /// Lets go of mirrored doorbells, which no queue uses any more.
    pub(super) fn drop_shadows(&self, stopped: Stopped) {
        let shadows = self.shadows.lock().take();
        if let (Some(shadows), Stopped::Yes) = (shadows.and_then(Arc::into_inner), stopped) {
            shadows.retire();
        }
    }
}
