//! SysLog: every system call's request and response, in one ring per core.
//!
//! Only its own core writes a ring, outside of interrupt handlers, so writing is eight plain stores
//! and a plain store of the head. Anyone may read: a reader copies a record, looks at the head
//! again and knows whether the record was overwritten meanwhile. Old records are simply
//! overwritten.
//!
//! A call answered on the spot is one record with its result in it. One that had to wait is two:
//! the request (its result says [`PENDING`]) and, when it is answered, a response. Where a message
//! goes straight to a waiting thread of the same core, one record is the sender's request and the
//! receiver's response at once: [`Event::Delivered`].

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use protocols::abi::message::Sender;

/// Records in a ring: a power of two.
pub const RECORDS: usize = 4096;

/// The result of a call that had not been answered when its request was recorded.
pub const PENDING: u64 = 1 << 63;

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

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A call: its first four arguments and, unless pending, its result.
    Request = 0,
    /// A `Call` or `ReplyReceive` whose message answered the waiting call of the thread in `result`
    /// (its [`Sender`] stamp): info and first words are in the values. The sender's own call is
    /// pending.
    Delivered = 2,
    /// The answer to a call that waited: `rdx`, or of a message its sender, info and first two
    /// words.
    Response = 1,
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
