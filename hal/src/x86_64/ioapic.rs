//! The I/O APICs: interrupt lines from the board to the cores.
//!
//! Their registers sit behind an index and a data window, so two writers would need a lock, which
//! handlers must not take. Instead one core alone touches them, the boot core, with interrupts
//! off; all lines arrive there. Others write what they want into the line's record, mark it and
//! send an interrupt. The records are also what [`restore`] writes back after sleep.
//!
//! ```text
//!  any core: line.wanted = entry; dirty |= bit ──IPI──► boot core: entry ─► registers
//!  boot core, level line fired:  mask, then acknowledge; opened again when its owners are done
//! ```
//!
//! An edge-triggered line has one owner ([`ClaimedLine`]). Level-triggered ones are shared
//! ([`sharing`]).
//!
//! Source: Intel 82093AA data sheet; lines and overrides from the MADT.

mod sharing;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;
use thiserror_no_std::Error;

use super::interrupt::{InterruptError, Message, Route};
use super::madt::{Line, Madt, Polarity, Trigger};
use super::{apic, interrupts, ipi, percpu, vectors};
use crate::interrupt::InterruptControl;

pub(super) use sharing::{STORMS, Share, fired};
pub use sharing::{Storms, in_storms};

/// The core that lines arrive at and that alone touches the registers.
pub const HOME_CORE: u16 = 0;

/// Most lines over all I/O APICs that are driven.
const MAX_LINES: usize = 256;
const MAX_CHIPS: usize = 16;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;

const ENTRY_MASKED: u64 = 1 << 16;
const ENTRY_LEVEL: u64 = 1 << 15;
/// Read-only: a core has accepted a level and not acknowledged it yet.
const ENTRY_REMOTE_IRR: u64 = 1 << 14;
const ENTRY_ACTIVE_LOW: u64 = 1 << 13;
const ENTRY_NMI: u64 = 4 << 8;
const ENTRY_VECTOR: u64 = 0xff;

/// Why the I/O APICs cannot be driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IoApicError {
    /// Its registers cannot be mapped.
    #[error("the I/O APIC's registers at {0:#x} cannot be mapped")]
    Unmapped(u64),
    /// Reading the version gives nonsense.
    #[error("the I/O APIC at {0:#x} does not answer: hardware fault")]
    NoAnswer(u64),
    /// More than there is room for.
    #[error("more I/O APICs or lines than Pollux handles: the rest stay unused")]
    TooMany,
}

#[derive(Clone, Copy)]
struct Chip {
    registers: *mut u32,
    gsi_base: u32,
    lines: u32,
}

/// The chips found and what the MADT says of their lines.
struct IoApics {
    chips: [Option<Chip>; MAX_CHIPS],
    isa: [Line; 16],
    nmi: [u64; MAX_LINES / 64],
}

// SAFETY: the registers are mapped for good; only the boot core accesses them (see the head).
unsafe impl Send for IoApics {}
// SAFETY: as above.
unsafe impl Sync for IoApics {}

static IO_APICS: Once<IoApics> = Once::new();

/// What each line's redirection entry is to be, by global number.
static WANTED: [AtomicU64; MAX_LINES] = [const { AtomicU64::new(ENTRY_MASKED) }; MAX_LINES];
static TAKEN: [AtomicBool; MAX_LINES] = [const { AtomicBool::new(false) }; MAX_LINES];
/// Lines whose entry is to be written, a bit each.
static DIRTY: [AtomicU64; MAX_LINES / 64] = [const { AtomicU64::new(0) }; MAX_LINES / 64];

/// Finds the I/O APICs, masks all of their lines and wires NMI sources. `map` yields where a page
/// of registers (by physical address) is mapped, uncached, for good.
///
/// # Errors
/// A chip cannot be driven. Fatal: without them no device interrupt arrives.
///
/// # Safety
/// Called once, on the boot core, with interrupts off, after [`apic::init`]; `map` keeps its word.
pub unsafe fn init(
    madt: &Madt,
    mut map: impl FnMut(u64) -> Option<*mut u32>,
) -> Result<(), IoApicError> {
    let mut chips = [None; MAX_CHIPS];
    let entries = madt.io_apics.as_slice();
    for (place, entry) in chips.iter_mut().zip(entries) {
        let address = u64::from(entry.address);
        let registers = map(address).ok_or(IoApicError::Unmapped(address))?;
        let mut chip = Chip { registers, gsi_base: entry.gsi_base, lines: 0 };
        let version = chip.read(VERSION);
        if version == 0 || version == u32::MAX {
            return Err(IoApicError::NoAnswer(address));
        }
        chip.lines = (version >> 16 & 0xff) + 1;
        log::debug!(
            "ioapic: lines {} to {} at {address:#x}",
            chip.gsi_base,
            chip.gsi_base + chip.lines - 1
        );
        *place = Some(chip);
    }
    if entries.len() > MAX_CHIPS {
        log::warn!("ioapic: {}", IoApicError::TooMany);
    }
    let mut nmi = [0; MAX_LINES / 64];
    let boot_core = u64::from(percpu::this().lapic_id()) << 56;
    for line in madt.nmi_sources.as_slice() {
        if let Some(wanted) = WANTED.get(line.gsi as usize) {
            nmi[line.gsi as usize / 64] |= 1 << (line.gsi % 64);
            wanted.store(entry_bits(line) | ENTRY_NMI | boot_core, Ordering::Relaxed);
        }
    }
    let isa = core::array::from_fn(|irq| madt.isa_line(irq as u8));
    let io_apics = IO_APICS.call_once(|| IoApics { chips, isa, nmi });
    for (gsi, wanted) in (0..).zip(&WANTED) {
        if !io_apics.is_nmi(gsi) {
            wanted.store(io_apics.unowned(gsi), Ordering::Relaxed);
        }
    }
    restore();
    Ok(())
}

/// Writes every line's entry anew: at start, and after a sleep that lost them. Boot core only, with
/// interrupts off.
pub fn restore() {
    let Some(io_apics) = IO_APICS.get() else { return };
    for chip in io_apics.chips.iter().flatten() {
        for gsi in chip.gsi_base..chip.gsi_base.saturating_add(chip.lines) {
            chip.write_entry(gsi);
        }
    }
}

/// How an ISA interrupt is wired. `None` before [`init`] and beyond the 16 there are.
pub fn isa_line(irq: u8) -> Option<Line> {
    IO_APICS.get()?.isa.get(usize::from(irq)).copied()
}

fn entry_bits(line: &Line) -> u64 {
    let level = if line.trigger == Trigger::Level { ENTRY_LEVEL } else { 0 };
    let low = if line.polarity == Polarity::Low { ENTRY_ACTIVE_LOW } else { 0 };
    level | low
}

impl Chip {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: the page is mapped; the boot core alone gets here, with interrupts off.
        unsafe {
            self.registers.byte_add(SELECT).write_volatile(register);
            self.registers.byte_add(WINDOW).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as above.
        unsafe {
            self.registers.byte_add(SELECT).write_volatile(register);
            self.registers.byte_add(WINDOW).write_volatile(value);
        }
    }

    /// Brings the entry of `gsi` (one of this chip's) to what is wanted.
    fn write_entry(&self, gsi: u32) {
        let wanted = WANTED.get(gsi as usize).map_or(ENTRY_MASKED, |w| w.load(Ordering::Acquire));
        let wanted = sharing::masked_or_open(gsi, wanted);
        let register = REDIRECTION + 2 * (gsi - self.gsi_base);
        let before = u64::from(self.read(register));
        // It changes hands while a level is under way. The acknowledgement will name the old vector
        // and not count; only an edge-triggered entry forgets that it is waited for.
        if before & ENTRY_REMOTE_IRR != 0 && (before ^ wanted) & ENTRY_VECTOR != 0 {
            self.write(register, ENTRY_MASKED as u32);
        }
        // Masked while the halves disagree, but never of another trigger mode meanwhile: an
        // edge-triggered entry that is masked forgets what asks (82093AA, 3.2.4), and a level that
        // began just then would never be seen.
        self.write(register, (wanted | ENTRY_MASKED) as u32);
        self.write(register + 1, (wanted >> 32) as u32);
        self.write(register, wanted as u32);
    }

    /// Masks without touching the rest.
    fn mask_entry(&self, gsi: u32, wanted: u64) {
        self.write(REDIRECTION + 2 * (gsi - self.gsi_base), (wanted | ENTRY_MASKED) as u32);
    }
}

impl IoApics {
    fn chip_of(&self, gsi: u32) -> Option<&Chip> {
        self.chips.iter().flatten().find(|c| gsi >= c.gsi_base && gsi - c.gsi_base < c.lines)
    }

    fn is_nmi(&self, gsi: u32) -> bool {
        self.nmi.get(gsi as usize / 64).is_some_and(|word| word >> (gsi % 64) & 1 != 0)
    }

    /// The entry of a line that nobody has: masked, but of the mode that it will have, so that a
    /// level that begins before the first owner's entry is written is not lost either. Beyond the
    /// ISA lines that is PCI's (ACPI 6.5, 5.2.12).
    fn unowned(&self, gsi: u32) -> u64 {
        let isa = self.isa.iter().find(|line| line.gsi == gsi);
        isa.map_or(ENTRY_LEVEL | ENTRY_ACTIVE_LOW, entry_bits) | ENTRY_MASKED
    }
}

/// The handler of [`vectors::IOAPIC`], and what the boot core itself calls: writes what others
/// asked for.
pub(super) fn apply_requests() {
    let Some(io_apics) = IO_APICS.get() else { return };
    for (word, dirty) in (0u32..).zip(&DIRTY) {
        let mut bits = dirty.swap(0, Ordering::AcqRel);
        while bits != 0 {
            let gsi = word * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            if let Some(chip) = io_apics.chip_of(gsi) {
                chip.write_entry(gsi);
            }
        }
    }
}

/// Has the boot core write the entry of `gsi`: at once there, soon from elsewhere.
fn request(gsi: u32) {
    DIRTY[gsi as usize / 64].fetch_or(1 << (gsi % 64), Ordering::AcqRel);
    interrupts::without(|| {
        if percpu::this().core() == HOME_CORE {
            apply_requests();
        } else {
            ipi::send(HOME_CORE, vectors::IOAPIC);
        }
    });
}

/// Where that line is and may be a device's: its chip is there, and it is not wired to NMI.
fn usable(gsi: u32) -> Result<(), InterruptError> {
    let no_such = InterruptError::NoSuchLine(gsi);
    let io_apics = IO_APICS.get().ok_or(no_such)?;
    if gsi as usize >= MAX_LINES || io_apics.chip_of(gsi).is_none() {
        return Err(no_such);
    }
    if io_apics.is_nmi(gsi) {
        return Err(no_such);
    }
    Ok(())
}

/// The entry that leads `line` to the vector of `message`, masked.
fn entry(line: &Line, message: &Message) -> u64 {
    let apic_id = message.address >> 12 & 0xff;
    entry_bits(line) | apic_id << 56 | u64::from(message.data) & ENTRY_VECTOR | ENTRY_MASKED
}

/// An edge-triggered line that one driver owns. Dropping it masks the line, then frees the vector.
#[derive(Debug)]
pub(super) struct ClaimedLine {
    gsi: u32,
    _route: Route,
}

impl ClaimedLine {
    /// Takes `line` and points it, masked, at `route` (on the boot core).
    pub(super) fn claim(line: Line, route: Route) -> Result<Self, InterruptError> {
        let gsi = line.gsi;
        usable(gsi)?;
        let message = route.message().map_err(|_| InterruptError::Unreachable(HOME_CORE))?;
        if TAKEN[gsi as usize].swap(true, Ordering::AcqRel) {
            return Err(InterruptError::LineTaken(gsi));
        }
        WANTED[gsi as usize].store(entry(&line, &message), Ordering::Release);
        request(gsi);
        Ok(Self { gsi, _route: route })
    }

    fn set_masked(&self, masked: Masked) {
        let wanted = &WANTED[self.gsi as usize];
        match masked {
            Masked::Yes => wanted.fetch_or(ENTRY_MASKED, Ordering::AcqRel),
            Masked::No => wanted.fetch_and(!ENTRY_MASKED, Ordering::AcqRel),
        };
        request(self.gsi);
    }
}

#[derive(Clone, Copy)]
enum Masked {
    Yes,
    No,
}

impl InterruptControl for ClaimedLine {
    fn mask(&self) {
        self.set_masked(Masked::Yes);
    }

    fn unmask(&self) {
        self.set_masked(Masked::No);
    }
}

impl Drop for ClaimedLine {
    fn drop(&mut self) {
        self.mask();
        TAKEN[self.gsi as usize].store(false, Ordering::Release);
    }
}

/// Whether the local APIC and at least one I/O APIC are ready.
pub fn is_ready() -> bool {
    apic::is_ready() && IO_APICS.is_completed()
}
