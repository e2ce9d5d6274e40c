//! The kernel heap: `alloc`'s global allocator on metal.
//!
//! Usable from every core, never from an interrupt handler. Grows by runs of frames on demand.

use spin::Mutex;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<Mutex<()>, Manual> = TalcLock::new(Manual);
