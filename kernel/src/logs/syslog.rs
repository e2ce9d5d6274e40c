//! SysLog: every system call's request and response, in one ring per core.
//!
//! Only its own core writes a ring, outside of interrupt handlers, so writing is eight plain stores
//! and a plain store of the head. Anyone may read: a reader copies a record, looks at the head
//! again and knows whether the record was overwritten meanwhile. Old records are simply
//! overwritten. What a record says is told in `protocols::abi::syslog`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use protocols::abi::message::Sender;
use protocols::abi::syslog::Record as Copied;
pub use protocols::abi::syslog::{Event, PENDING};

/// Records in a ring: a power of two.
pub const RECORDS: usize = 4096;

/// One event, 64 bytes: a cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Record {
    /// Call number in bits 0-7, [`Event`] in bits 8-15.
    what: AtomicU64,
    stamp: AtomicU64,
    tsc: AtomicU64,
    values: [AtomicU64; 4],
    result: AtomicU64,
}

/// A record as read.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its place in the core's history: counts from zero, never wraps.
    pub sequence: u64,
    /// What it tells.
    pub event: Event,
    /// The call's number as the caller gave it, cut to 8 bits.
    pub number: u8,
    /// The thread.
    pub stamp: Sender,
    /// When, in TSC ticks.
    pub tsc: u64,
    /// Arguments or response values.
    pub values: [u64; 4],
    /// `rax`, or [`PENDING`].
    pub result: u64,
}

impl Entry {
    /// The same for a program.
    const fn to_wire(self) -> Copied {
        let Self { event, number, stamp, tsc, values, result, .. } = self;
        Copied { event, number, stamp, tsc, values, result }
    }
}

/// A core's ring.
#[derive(Debug)]
pub struct SysLog {
    records: AtomicPtr<Record>,
    head: AtomicU64,
}

impl SysLog {
    /// A ring without memory yet.
    pub const fn new() -> Self {
        Self { records: AtomicPtr::new(core::ptr::null_mut()), head: AtomicU64::new(0) }
    }

    /// Gives the ring its memory, for ever. Before the core's first system call.
    pub fn install(&self) {
        let ring = (0..RECORDS).map(|_| Record::new()).collect::<alloc::boxed::Box<[Record]>>();
        self.records.store(alloc::boxed::Box::leak(ring).as_mut_ptr(), Release);
    }

    /// Starts the record of a call. It counts only once [`SysLog::commit`]ted.
    #[inline(always)]
    pub fn request(&self, stamp: Sender, number: u64, values: [u64; 4]) -> &Record {
        self.write(Event::Request, stamp, number, values)
    }

    /// Records a message handed to a waiting thread.
    #[inline(always)]
    pub fn delivered(&self, stamp: Sender, number: u64, values: [u64; 4], to: Sender) {
        let record = self.write(Event::Delivered, stamp, number, values);
        self.commit(record, to.0);
    }

    /// Records the answer of a call that had waited.
    #[inline(always)]
    pub fn response(&self, stamp: Sender, number: u64, values: [u64; 4], result: u64) {
        let record = self.write(Event::Response, stamp, number, values);
        self.commit(record, result);
    }

    #[inline(always)]
    fn write(&self, event: Event, stamp: Sender, number: u64, values: [u64; 4]) -> &Record {
        // Nothing of the new record may be seen before the head that disowns the old one (`read`).
        // No instruction on x86.
        core::sync::atomic::fence(Release);
        let slot = self.head.load(Relaxed) as usize % RECORDS;
        // SAFETY: `install` came before the first call (boot order) and gave RECORDS records that
        // are never freed.
        let record = unsafe { &*self.records.load(Relaxed).add(slot) };
        record.what.store(number & 0xff | (event as u64) << 8, Relaxed);
        record.stamp.store(stamp.0, Relaxed);
        record.tsc.store(hal::x86_64::time::clock::now(), Relaxed);
        for (slot, value) in record.values.iter().zip(values) {
            slot.store(value, Relaxed);
        }
        record
    }

    /// Completes the newest record with its result and publishes it.
    #[inline(always)]
    pub fn commit(&self, record: &Record, result: u64) {
        record.result.store(result, Relaxed);
        self.head.store(self.head.load(Relaxed) + 1, Release);
    }

    /// How many records this core has ever written.
    pub fn head(&self) -> u64 {
        self.head.load(Acquire)
    }

    /// Record `sequence`, or `None` if it isn't there yet or was overwritten.
    pub fn read(&self, sequence: u64) -> Option<Entry> {
        let records = self.records.load(Acquire);
        if records.is_null() || sequence >= self.head() {
            return None;
        }
        // SAFETY: `install` gave RECORDS records that are never freed.
        let record = unsafe { &*records.add(sequence as usize % RECORDS) };
        let what = record.what.load(Relaxed);
        let entry = Entry {
            sequence,
            event: match what >> 8 {
                0 => Event::Request,
                1 => Event::Response,
                _ => Event::Delivered,
            },
            number: what as u8,
            stamp: Sender(record.stamp.load(Relaxed)),
            tsc: record.tsc.load(Relaxed),
            values: core::array::from_fn(|at| record.values[at].load(Relaxed)),
            result: record.result.load(Relaxed),
        };
        core::sync::atomic::fence(Acquire);
        // The slot is being rewritten from the moment the head stands RECORDS further.
        (self.head.load(Relaxed) < sequence + RECORDS as u64).then_some(entry)
    }

    /// Copies of up to `count` records from number `from` on, one after the other, and the number of
    /// the first: greater than `from` by as many as were overwritten. None if `from` is not there
    /// yet; the number is that of the next record then.
    pub fn copy(&self, from: u64, count: usize) -> (u64, Vec<[u8; Copied::BYTES]>) {
        let head = self.head();
        let oldest = (head + 1).saturating_sub(RECORDS as u64);
        let mut first = from.max(oldest).min(head);
        let end = first.saturating_add(count.min(RECORDS) as u64).min(head);
        let mut copies = Vec::with_capacity((end - first) as usize);
        for sequence in first..end {
            match self.read(sequence) {
                Some(entry) => copies.push(entry.to_wire().to_bytes()),
                // Overwritten since: what was copied before it still counts, and comes first.
                None if copies.is_empty() => first = sequence + 1,
                None => break,
            }
        }
        (first, copies)
    }
}

impl Record {
    fn new() -> Self {
        Self {
            what: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
            tsc: AtomicU64::new(0),
            values: [const { AtomicU64::new(0) }; 4],
            result: AtomicU64::new(0),
        }
    }
}

/// What [`SysLog::copy`] gives of a core's ring; `None` if there is no such core.
pub fn copy(core: u32, from: u64, count: usize) -> Option<(u64, Vec<[u8; Copied::BYTES]>)> {
    let core = u16::try_from(core)
        .ok()
        .filter(|core| usize::from(*core) < crate::platform::core_count())?;
    Some(crate::platform::of(executor::CoreId(core)).syslog.copy(from, count))
}
