//! The durable CommitLog against power cuts, kills and tampering.
//!
//! ```text
//!   machine ──writes, flushes──> blklogwrites ──> write_log ──> surviving ──> reader ──> cuts: verdict
//!      └── marks of syncs that returned ───────────────┘                       │
//!   an image ──> flips: every changed bit is noticed <─────────────────────────┘
//! ```
//!
//! [`write_log`] reads what QEMU recorded of a disk; [`surviving`] makes of it what a power cut may
//! leave; [`reader`] is the kernel's own recovery; [`cuts`] judges what it has [`found`] by the
//! [`history`] that was written and by the marks. [`flips`] changes bits. [`steps`] lists what is done
//! with machines: each is a [`scenario`] on a [`stand`], with a [`volume`] for the log, and reads
//! what the kernel has to [`report`].

mod cuts;
mod flips;
mod found;
mod history;
mod reader;
#[cfg(test)]
mod rehearsal;
mod report;
mod scenario;
mod stand;
mod steps;
mod surviving;
mod volume;
mod write_log;

pub use steps::{LogTest, TESTS, carry_out};
