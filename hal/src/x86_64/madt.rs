//! The MADT: which cores there are and how their interrupts are wired (ACPI 6.5, 5.2.12).
//!
//! Parsing cannot panic on any bytes: an entry that is too short, or that runs past the table's
//! end, makes the table malformed; entry types that mean nothing to us are passed over.

use thiserror_no_std::Error;

/// Most processors, I/O APICs, overrides and NMI wirings that are kept.
const MAX_PROCESSORS: usize = 256;
const MAX_IO_APICS: usize = 16;
const MAX_OVERRIDES: usize = 32;

/// What is wrong with an MADT. The machine cannot be run without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MadtError {
    /// Shorter than its fixed part.
    #[error("the MADT is cut short: firmware bug, look for an update")]
    Truncated,
    /// An entry's length does not fit.
    #[error("the MADT has a malformed entry at byte {0}: firmware bug, look for an update")]
    MalformedEntry(usize),
    /// No usable processor.
    #[error("the MADT names no usable processor: firmware bug, look for an update")]
    NoProcessor,
    /// Not an APIC machine.
    #[error("the MADT names no I/O APIC: Pollux needs one, and cannot use the old PIC")]
    NoIoApic,
}

/// When a line's signal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// At the moment it becomes active.
    Edge,
    /// For as long as it is active.
    Level,
}

/// Which voltage counts as active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Polarity {
    High,
    Low,
}

/// How one interrupt line is wired: its global number and signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Global system interrupt number.
    pub gsi: u32,
    /// Edge or level.
    pub trigger: Trigger,
    /// Active high or low.
    pub polarity: Polarity,
}

/// One core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Processor {
    /// The id its local APIC answers to.
    pub apic_id: u32,
    /// The id other ACPI entries name it by.
    pub acpi_id: u32,
}

/// One I/O APIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoApicEntry {
    /// Physical address of its registers.
    pub address: u32,
    /// The global number of its first line.
    pub gsi_base: u32,
}

/// A local APIC pin wired to NMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalNmi {
    /// On which processor; `None`: all.
    pub acpi_id: Option<u32>,
    /// Which of LINT0 and LINT1.
    pub pin: u8,
}

/// A list of bounded length; what does not fit is counted.
#[derive(Debug, Clone, Copy)]
pub struct Bounded<T, const N: usize> {
    items: [T; N],
    len: usize,
    /// How many were left out.
    pub dropped: usize,
}

impl<T: Copy, const N: usize> Bounded<T, N> {
    const fn new(filler: T) -> Self {
        Self { items: [filler; N], len: 0, dropped: 0 }
    }

    fn push(&mut self, item: T) {
        match self.items.get_mut(self.len) {
            Some(place) => {
                *place = item;
                self.len += 1;
            }
            None => self.dropped += 1,
        }
    }

    /// What is in the list.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// The table, read.
#[derive(Debug, Clone)]
pub struct Madt {
    /// Physical address of the local APICs' registers (xAPIC).
    pub local_apic_address: u64,
    /// Enabled processors, each APIC id once, in table order.
    pub processors: Bounded<Processor, MAX_PROCESSORS>,
    /// I/O APICs.
    pub io_apics: Bounded<IoApicEntry, MAX_IO_APICS>,
    /// ISA lines that are wired otherwise: ISA number and true line.
    pub overrides: Bounded<(u8, Line), MAX_OVERRIDES>,
    /// I/O APIC lines wired to NMI: never a device's.
    pub nmi_sources: Bounded<Line, MAX_OVERRIDES>,
    /// Local APIC pins wired to NMI.
    pub local_nmis: Bounded<LocalNmi, MAX_OVERRIDES>,
}

impl Madt {
    /// Reads a whole MADT, header included.
    ///
    /// # Errors
    /// See [`MadtError`].
    pub fn parse(table: &[u8]) -> Result<Self, MadtError> {
        let mut madt = Self {
            local_apic_address: u64::from(u32_at(table, 36).ok_or(MadtError::Truncated)?),
            processors: Bounded::new(Processor::default()),
            io_apics: Bounded::new(IoApicEntry::default()),
            overrides: Bounded::new((0, Line::isa(0))),
            nmi_sources: Bounded::new(Line::isa(0)),
            local_nmis: Bounded::new(LocalNmi::default()),
        };
        u32_at(table, 40).ok_or(MadtError::Truncated)?;
        let mut at = 44;
        while at < table.len() {
            let bad = MadtError::MalformedEntry(at);
            let length = usize::from(*table.get(at + 1).ok_or(bad)?);
            let entry = table.get(at..at + length).filter(|e| e.len() >= 2).ok_or(bad)?;
            madt.entry(entry).ok_or(bad)?;
            at += length;
        }
        if madt.processors.as_slice().is_empty() {
            return Err(MadtError::NoProcessor);
        }
        if madt.io_apics.as_slice().is_empty() {
            return Err(MadtError::NoIoApic);
        }
        Ok(madt)
    }

    /// Takes one entry in. `None`: too short for its type.
    fn entry(&mut self, e: &[u8]) -> Option<()> {
        match e[0] {
            0 => self.processor(u32::from(*e.get(3)?), u32::from(*e.get(2)?), u32_at(e, 4)?),
            1 => {
                self.io_apics.push(IoApicEntry { address: u32_at(e, 4)?, gsi_base: u32_at(e, 8)? });
            }
            2 => {
                let isa = *e.get(3)?;
                let line = Line::from_flags(u32_at(e, 4)?, u16_at(e, 8)?);
                self.overrides.push((isa, line));
            }
            3 => self.nmi_sources.push(Line::from_flags(u32_at(e, 4)?, u16_at(e, 2)?)),
            4 => {
                let id = *e.get(2)?;
                let acpi_id = (id != 0xff).then_some(u32::from(id));
                self.local_nmis.push(LocalNmi { acpi_id, pin: *e.get(5)? });
            }
            5 => {
                self.local_apic_address = u64::from(u32_at(e, 4)?) | u64::from(u32_at(e, 8)?) << 32;
            }
            9 => self.processor(u32_at(e, 4)?, u32_at(e, 12)?, u32_at(e, 8)?),
            10 => {
                let id = u32_at(e, 4)?;
                let acpi_id = (id != u32::MAX).then_some(id);
                self.local_nmis.push(LocalNmi { acpi_id, pin: *e.get(8)? });
            }
            _ => {}
        }
        Some(())
    }

    /// Flags bit 0: enabled. Ids of all ones are placeholders. Firmware may list a core in both
    /// forms; it counts once.
    fn processor(&mut self, apic_id: u32, acpi_id: u32, flags: u32) {
        let placeholder = matches!(apic_id, 0xff | u32::MAX);
        let known = self.processors.as_slice().iter().any(|p| p.apic_id == apic_id);
        if flags & 1 != 0 && !placeholder && !known {
            self.processors.push(Processor { apic_id, acpi_id });
        }
    }

    /// Where an ISA interrupt really arrives: its override, else the line of the same number,
    /// edge-triggered and active high.
    pub fn isa_line(&self, isa: u8) -> Line {
        let overridden = self.overrides.as_slice().iter().find(|(source, _)| *source == isa);
        overridden.map_or(Line::isa(isa), |(_, line)| *line)
    }

    /// Whether a device may use global line `gsi`: not wired to NMI.
    pub fn is_nmi_source(&self, gsi: u32) -> bool {
        self.nmi_sources.as_slice().iter().any(|line| line.gsi == gsi)
    }

    /// Which of the local pins LINT0 and LINT1 are NMI on the processor with this ACPI id.
    pub fn nmi_pins(&self, acpi_id: u32) -> [bool; 2] {
        let mut pins = [false; 2];
        for nmi in self.local_nmis.as_slice() {
            if nmi.acpi_id.is_none_or(|id| id == acpi_id)
                && let Some(pin) = pins.get_mut(usize::from(nmi.pin))
            {
                *pin = true;
            }
        }
        pins
    }
}

impl Line {
    /// The ISA default: edge, active high.
    const fn isa(irq: u8) -> Self {
        Self { gsi: irq as u32, trigger: Trigger::Edge, polarity: Polarity::High }
    }

    /// MPS INTI flags (ACPI 6.5, table 5.26). "As the bus" means ISA's way here; reserved values
    /// are taken the same.
    fn from_flags(gsi: u32, flags: u16) -> Self {
        let polarity = if flags & 0b11 == 0b11 { Polarity::Low } else { Polarity::High };
        let trigger = if flags >> 2 & 0b11 == 0b11 { Trigger::Level } else { Trigger::Edge };
        Self { gsi, trigger, polarity }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// As QEMU q35 with two cores builds it.
    fn sample() -> Vec<u8> {
        let mut t = Vec::from([0u8; 36]);
        t.extend(0xfee0_0000u32.to_le_bytes());
        t.extend(1u32.to_le_bytes());
        t.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        t.extend([0, 8, 1, 1, 1, 0, 0, 0]);
        t.extend([0, 8, 2, 2, 0, 0, 0, 0]); // disabled
        t.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        t.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
        t.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]);
        t.extend([4, 6, 0xff, 0, 0, 1]);
        t
    }

    #[test]
    fn reads_a_usual_table() {
        let madt = Madt::parse(&sample()).unwrap();
        assert_eq!(madt.local_apic_address, 0xfee0_0000);
        assert_eq!(madt.processors.as_slice().len(), 2);
        assert_eq!(madt.io_apics.as_slice()[0].address, 0xfec0_0000);
        assert_eq!(madt.isa_line(0).gsi, 2);
        assert_eq!(
            madt.isa_line(4),
            Line { gsi: 4, trigger: Trigger::Edge, polarity: Polarity::High }
        );
        assert_eq!(
            madt.isa_line(9),
            Line { gsi: 9, trigger: Trigger::Level, polarity: Polarity::High }
        );
        assert_eq!(madt.nmi_pins(0), [false, true]);
        assert_eq!(madt.nmi_pins(77), [false, true]);
    }

    #[test]
    fn x2apic_entries_add_cores_once() {
        let mut t = sample();
        for (apic, flags, acpi) in [(1u32, 1u32, 1u32), (300, 1, 7), (301, 0, 8), (u32::MAX, 1, 9)]
        {
            t.extend([9, 16, 0, 0]);
            t.extend(apic.to_le_bytes());
            t.extend(flags.to_le_bytes());
            t.extend(acpi.to_le_bytes());
        }
        t.extend([10, 12, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        t.extend([3, 8, 0x0f, 0, 20, 0, 0, 0]);
        t.extend([5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0]);
        let madt = Madt::parse(&t).unwrap();
        let cores: Vec<u32> = madt.processors.as_slice().iter().map(|p| p.apic_id).collect();
        assert_eq!(cores, [0, 1, 300]);
        assert_eq!(madt.nmi_pins(7), [true, true]);
        assert!(madt.is_nmi_source(20));
        assert_eq!(madt.nmi_sources.as_slice()[0].polarity, Polarity::Low);
        assert_eq!(madt.local_apic_address, 0x1_fee0_0000);
    }

    #[test]
    fn refuses_bad_tables() {
        assert_eq!(Madt::parse(&[0; 10]).unwrap_err(), MadtError::Truncated);
        assert_eq!(Madt::parse(&[0; 44]).unwrap_err(), MadtError::NoProcessor);
        let mut t = sample();
        t.extend([0, 0]);
        assert!(matches!(Madt::parse(&t), Err(MadtError::MalformedEntry(_))));
        let mut t = sample();
        t.extend([0, 8, 1]);
        assert!(matches!(Madt::parse(&t), Err(MadtError::MalformedEntry(_))));
        let mut t = sample();
        t.extend([1, 4, 0, 0]);
        assert!(matches!(Madt::parse(&t), Err(MadtError::MalformedEntry(_))));
    }

    #[test]
    fn survives_any_bytes() {
        let good = sample();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..50_000 {
            let mut t = good.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % t.len();
                t[at] = (seed >> 20) as u8;
            }
            t.truncate((seed >> 40) as usize % (good.len() + 1));
            let _ = Madt::parse(&t);
        }
    }

    #[test]
    fn too_many_cores_are_counted() {
        let mut t = sample();
        for id in 1000..1400u32 {
            t.extend([9, 16, 0, 0]);
            t.extend(id.to_le_bytes());
            t.extend(1u32.to_le_bytes());
            t.extend(id.to_le_bytes());
        }
        let madt = Madt::parse(&t).unwrap();
        assert_eq!(madt.processors.as_slice().len(), 256);
        assert_eq!(madt.processors.dropped, 146);
    }
}
