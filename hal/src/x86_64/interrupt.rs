//! From a device's interrupt to the latch somebody awaits.
//!
//! Each core has a table from vector to [`InterruptLatch`]; the latches lie in a static pool. A
//! handler looks up, raises, acknowledges: no lock, no allocation.
//!
//! ```text
//!   device ─► (I/O APIC | MSI) ─► core, vector ─► table ─► latch ─► Interrupt::wait
//!                                                      └─► shared line ─► latches of its owners
//! ```
//!
//! A vector may fire once more after its owner let go of it: the table then names no latch (the
//! interrupt is counted as unexpected) or a new owner's, who wakes once for nothing.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::vectors::VectorMap;
use super::{MAX_CORES, ioapic, madt, percpu};
use crate::interrupt::{Interrupt, InterruptControl, InterruptLatch};
pub use crate::interrupt::{InterruptError, Message};

/// NMIs that were no request to stop (a failing DIMM, a watchdog, a button).
pub static NMIS: InterruptLatch = InterruptLatch::new();
/// Machine checks that were survived.
pub static MACHINE_CHECKS: InterruptLatch = InterruptLatch::new();

/// How many device interrupts the machine can have in use.
const LATCHES: usize = 1024;
static LATCH: [InterruptLatch; LATCHES] = [const { InterruptLatch::new() }; LATCHES];
static LATCH_TAKEN: [AtomicBool; LATCHES] = [const { AtomicBool::new(false) }; LATCHES];

/// What one core's vectors lead to: 0 nothing, [`TO_LINE`] and a global line number, else a latch
/// number + 1.
struct CoreRoutes {
    vectors: VectorMap,
    latches: [AtomicU16; 256],
}

static ROUTES: [CoreRoutes; MAX_CORES] = [const {
    CoreRoutes { vectors: VectorMap::new(), latches: [const { AtomicU16::new(0) }; 256] }
}; MAX_CORES];

/// The mark of a line in [`CoreRoutes`].
const TO_LINE: u16 = 1 << 15;

/// A device vector was delivered on `core`. `false`: it is nobody's.
#[inline]
pub(super) fn deliver(core: u16, vector: u8) -> bool {
    let Some(routes) = ROUTES.get(usize::from(core)) else { return false };
    let number = routes.latches[usize::from(vector)].load(Ordering::Acquire);
    if number & TO_LINE != 0 {
        ioapic::fired(u32::from(number & !TO_LINE));
        return true;
    }
    number.checked_sub(1).is_some_and(raise)
}

/// Raises the latch of that number. `false`: there is none.
#[inline]
pub(super) fn raise(latch: u16) -> bool {
    LATCH.get(usize::from(latch)).map(InterruptLatch::raise).is_some()
}

/// One of the latches. Dropping it frees it.
#[derive(Debug)]
pub(super) struct Latch(u16);

impl Latch {
    pub fn allocate() -> Result<Self, InterruptError> {
        let free = LATCH_TAKEN.iter().position(|taken| !taken.swap(true, Ordering::AcqRel));
        let number = free.ok_or(InterruptError::NoLatch)?;
        LATCH[number].take();
        Ok(Self(number as u16))
    }

    pub fn number(&self) -> u16 {
        self.0
    }

    pub fn get(&self) -> &'static InterruptLatch {
        &LATCH[usize::from(self.0)]
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        LATCH_TAKEN[usize::from(self.0)].store(false, Ordering::Release);
    }
}

/// A vector on a core, and what it leads to. Dropping it frees it.
#[derive(Debug)]
pub(super) struct Vector {
    core: u16,
    vector: u8,
}

impl Vector {
    /// A fresh vector that leads to that line.
    pub fn to_line(core: u16, gsi: u16) -> Result<Self, InterruptError> {
        Self::allocate(core, gsi | TO_LINE)
    }

    fn allocate(core: u16, leads_to: u16) -> Result<Self, InterruptError> {
        let block = percpu::of(core).filter(|block| block.online.load(Ordering::Acquire));
        let routes = ROUTES.get(usize::from(core)).filter(|_| block.is_some());
        let routes = routes.ok_or(InterruptError::NoSuchCore(core))?;
        let vector = routes.vectors.allocate().ok_or(InterruptError::NoVector(core))?;
        routes.latches[usize::from(vector)].store(leads_to, Ordering::Release);
        Ok(Self { core, vector })
    }

    /// What a device must be told for it to interrupt here.
    pub fn message(&self) -> Result<Message, InterruptError> {
        let unreachable = InterruptError::Unreachable(self.core);
        let id = percpu::of(self.core).ok_or(unreachable)?.lapic_id();
        let id = u8::try_from(id).ok().filter(|id| *id != 0xff).ok_or(unreachable)?;
        let address = 0xfee0_0000 | u64::from(id) << 12;
        Ok(Message { address, data: u32::from(self.vector) })
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        let routes = &ROUTES[usize::from(self.core)];
        routes.latches[usize::from(self.vector)].store(0, Ordering::Release);
        routes.vectors.free(self.vector);
    }
}

/// A vector on a core and the latch it raises. Dropping it frees both.
#[derive(Debug)]
pub struct Route {
    // Dropped in this order.
    vector: Vector,
    latch: Latch,
}

impl Route {
    /// A fresh vector on `core`.
    ///
    /// # Errors
    /// The core is not up, or no vector or latch is free.
    pub fn allocate(core: u16) -> Result<Self, InterruptError> {
        let latch = Latch::allocate()?;
        let vector = Vector::allocate(core, latch.number() + 1)?;
        Ok(Self { vector, latch })
    }

    /// What a device must be told for it to interrupt here.
    ///
    /// # Errors
    /// The core's APIC id does not fit the eight bits there are for it.
    pub fn message(&self) -> Result<Message, InterruptError> {
        self.vector.message()
    }

    /// What the handler raises.
    pub fn latch(&self) -> &'static InterruptLatch {
        self.latch.get()
    }

    /// Joins the route to what can mask its source. `control` should own the route, so that the
    /// vector is freed only after the source was masked.
    pub fn join(latch: &'static InterruptLatch, control: Box<dyn InterruptControl>) -> Interrupt {
        Interrupt::new(latch, control)
    }
}

/// A message-signalled interrupt is masked at its device, by whoever drives the MSI capability.
impl InterruptControl for Route {
    fn mask(&self) {}
    fn unmask(&self) {}
}

/// An interrupt that a device raises by message (MSI, MSI-X) on `core`, and what to tell the
/// device. Masking is the device's: `mask` and `unmask` of the result do nothing.
///
/// # Errors
/// No vector or latch is free, or the core cannot be reached.
pub fn message_signalled(core: u16) -> Result<(Interrupt, Message), InterruptError> {
    let route = Route::allocate(core)?;
    let message = route.message()?;
    Ok((Route::join(route.latch(), Box::new(route)), message))
}

/// The interrupt of an ISA device by its ISA number; overrides are seen to. It begins masked.
///
/// # Errors
/// The line is not there or taken, or no vector is free.
pub fn isa(irq: u8) -> Result<Interrupt, InterruptError> {
    on_line(ioapic::isa_line(irq).ok_or(InterruptError::NoSuchLine(u32::from(irq)))?)
}

/// The interrupt of a line as ACPI and PCI routing name them. It begins masked. Lines arrive on
/// core 0; the wake carries them on. Level-triggered ones are shared with whoever else has them.
///
/// # Errors
/// The line is not there or taken, or no vector is free.
pub fn on_line(line: madt::Line) -> Result<Interrupt, InterruptError> {
    let (latch, control) = self::line(line)?;
    Ok(Route::join(latch, control))
}

/// As [`on_line`], not yet joined.
pub(super) fn line(
    line: madt::Line,
) -> Result<(&'static InterruptLatch, Box<dyn InterruptControl>), InterruptError> {
    if line.trigger == madt::Trigger::Level {
        let share = ioapic::Share::of(line)?;
        return Ok((share.latch(), Box::new(share)));
    }
    let route = Route::allocate(ioapic::HOME_CORE)?;
    let latch = route.latch();
    Ok((latch, Box::new(ioapic::ClaimedLine::claim(line, route)?)))
}

/// Storms on shared lines, to be awaited by one task, which then calls
/// [`ioapic::in_storms`] again and again.
pub fn storms() -> Interrupt {
    Route::join(&ioapic::STORMS, Box::new(Unmaskable))
}

/// NMIs that were no request to stop, to be awaited by one task, which reports them.
pub fn unexpected_nmis() -> Interrupt {
    Route::join(&NMIS, Box::new(Unmaskable))
}

/// Machine checks that were survived, to be awaited by one task, which reports them.
pub fn survived_machine_checks() -> Interrupt {
    Route::join(&MACHINE_CHECKS, Box::new(Unmaskable))
}

struct Unmaskable;

impl InterruptControl for Unmaskable {
    fn mask(&self) {}
    fn unmask(&self) {}
}

/// How many device vectors `core` has in use.
pub fn in_use(core: u16) -> u32 {
    ROUTES.get(usize::from(core)).map_or(0, |routes| routes.vectors.in_use())
}
