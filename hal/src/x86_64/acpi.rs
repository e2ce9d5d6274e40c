//! The firmware's tables: which cores, interrupt lines, timers and PCI windows there are.
//!
//! Tables are found from the root, and read byte by byte and bounded, since firmware may say
//! anything; a table whose bytes do not add up is as good as missing. Needs no AML: what does is in
//! [`aml`](super::aml).

use thiserror_no_std::Error;

use super::madt::{Madt, MadtError};

/// What is wrong with the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AcpiError {
    /// The loader found no root pointer: enable ACPI in the firmware.
    #[error("no ACPI root pointer: enable ACPI in the firmware's settings")]
    NoRoot,
    /// The root pointer or the list it names is damaged.
    #[error("the ACPI root tables are damaged: firmware bug, look for an update")]
    BadRoot,
    /// A table the kernel cannot do without is missing or damaged.
    #[error("the ACPI table {0} is missing or damaged: firmware bug, look for an update")]
    Missing(&'static str),
    /// The MADT cannot be used.
    #[error("{0}")]
    Madt(#[from] MadtError),
}

/// Where a range of physical memory that holds tables can be read, for good. `None`: it is no
/// memory, or cannot be mapped.
pub type MapTable = fn(physical: u64, bytes: usize) -> Option<*const u8>;

/// Longest table that is believed.
const MAX_TABLE: usize = 16 << 20;
/// Longest root pointer and shortest table, in bytes (ACPI 6.5, 5.2.5.3 and 5.2.6).
const RSDP_V1_BYTES: usize = 20;
const RSDP_BYTES: usize = 36;
const HEADER_BYTES: usize = 36;

/// The PCI configuration window of one segment (PCI Firmware 3.3, 4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciWindow {
    /// Physical address of bus 0's first function, even if the window begins later.
    pub base: u64,
    /// PCI segment group.
    pub segment: u16,
    /// First bus in the window.
    pub first_bus: u8,
    /// Last bus in the window.
    pub last_bus: u8,
}

/// A register as ACPI names it (ACPI 6.5, 5.2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// At a physical address.
    Memory(u64),
    /// At an I/O port.
    Port(u16),
    /// In the configuration space of a function on bus 0.
    PciConfig {
        /// Device number.
        device: u8,
        /// Function number.
        function: u8,
        /// Byte offset.
        offset: u16,
    },
}

/// What the FADT says that is of use without AML (ACPI 6.5, 5.2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fadt {
    /// Where to write [`reset_value`](Self::reset_value) to reset the machine, if it can.
    pub reset: Option<Register>,
    /// What to write there.
    pub reset_value: u8,
    /// Ports of the PM1a and PM1b control registers; 0: none.
    pub pm1_control: [u16; 2],
    /// The port to write [`acpi_enable`](Self::acpi_enable) to for ACPI mode; 0: always on.
    pub smi_command: u16,
    /// See above.
    pub acpi_enable: u8,
    /// Physical address of the DSDT.
    pub dsdt: u64,
    /// Whether there is an 8042 keyboard controller (true on tables too old to say).
    pub has_8042: bool,
    /// The line of the system control interrupt.
    pub sci: u16,
}

/// The tables, found.
#[derive(Debug)]
pub struct Acpi {
    /// The list of tables: the XSDT, or the older RSDT.
    list: &'static [u8],
    /// Bytes of an address in the list.
    width: usize,
    map: MapTable,
}

impl Acpi {
    /// Finds the tables from the root pointer's physical address.
    ///
    /// # Errors
    /// There is no root pointer, or the root tables are damaged.
    ///
    /// # Safety
    /// `map` keeps its word, for good.
    pub unsafe fn find(rsdp: Option<u64>, map: MapTable) -> Result<Self, AcpiError> {
        let rsdp = rsdp.ok_or(AcpiError::NoRoot)?;
        let read = |physical: u64, bytes: usize| -> Option<&'static [u8]> {
            // SAFETY: `map` vouches for the range; firmware tables do not change.
            map(physical, bytes).map(|p| unsafe { core::slice::from_raw_parts(p, bytes) })
        };
        let root = read(rsdp, RSDP_BYTES).ok_or(AcpiError::BadRoot)?;
        let (length, list, width) = match root[15] {
            0 => (RSDP_V1_BYTES, u64::from(u32_at(root, 16).unwrap_or(0)), 4),
            _ => (u32_at(root, 20).unwrap_or(0) as usize, u64_at(root, 24).unwrap_or(0), 8),
        };
        let is_sound = root.starts_with(b"RSD PTR ")
            && (RSDP_V1_BYTES..=4096).contains(&length)
            && read(rsdp, length).is_some_and(adds_up);
        let signature = if width == 4 { b"RSDT" } else { b"XSDT" };
        let list = whole(map, list, signature).filter(|list| is_sound && adds_up(list));
        let list = list.ok_or(AcpiError::BadRoot)?;
        Ok(Self { list, width, map })
    }

    /// The tables with that signature, in the list's order. Damaged ones are logged and left out.
    fn tables(&self, signature: &'static [u8; 4]) -> impl Iterator<Item = &'static [u8]> {
        let addresses = self.list[HEADER_BYTES..].chunks_exact(self.width).map(|address| {
            address.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        });
        let map = self.map;
        addresses.filter_map(move |physical| {
            let table = whole(map, physical, signature)?;
            if !adds_up(table) {
                let name = signature.escape_ascii();
                log::warn!("acpi: the {name} at {physical:#x} is damaged and left out");
                return None;
            }
            Some(table)
        })
    }

    fn table(&self, signature: &'static [u8; 4]) -> Option<&'static [u8]> {
        self.tables(signature).next()
    }

    /// The cores and their interrupt wiring.
    ///
    /// # Errors
    /// The table is missing, damaged or names nothing usable: fatal.
    pub fn madt(&self) -> Result<Madt, AcpiError> {
        Ok(Madt::parse(self.table(b"APIC").ok_or(AcpiError::Missing("MADT (APIC)"))?)?)
    }

    /// Physical address of the HPET's registers. `None`: no HPET, or one outside of memory.
    pub fn hpet(&self) -> Option<u64> {
        match register_at(self.table(b"HPET")?, 40)? {
            Register::Memory(address) => Some(address),
            _ => None,
        }
    }

    /// The PCI configuration windows. Empty: no PCI Express.
    pub fn pci_windows(&self) -> impl Iterator<Item = PciWindow> {
        let table = self.table(b"MCFG").unwrap_or(&[]);
        table.get(44..).unwrap_or(&[]).chunks_exact(16).filter_map(|entry| {
            let window = PciWindow {
                base: u64_at(entry, 0)?,
                segment: u16_at(entry, 8)?,
                first_bus: entry[10],
                last_bus: entry[11],
            };
            (window.base != 0 && window.first_bus <= window.last_bus).then_some(window)
        })
    }

    /// Power and reset registers.
    ///
    /// # Errors
    /// The table is missing or damaged; the machine runs without.
    pub fn fadt(&self) -> Result<Fadt, AcpiError> {
        let table = self.table(b"FACP").ok_or(AcpiError::Missing("FADT (FACP)"))?;
        let port = |at| u32_at(table, at).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let flags = u32_at(table, 112).unwrap_or(0);
        let reset_supported = flags >> 10 & 1 != 0;
        let revision = table[8];
        Ok(Fadt {
            reset: reset_supported.then(|| register_at(table, 116)).flatten(),
            reset_value: table.get(128).copied().unwrap_or(0),
            pm1_control: [port(64), port(68)],
            smi_command: port(48),
            acpi_enable: table.get(52).copied().unwrap_or(0),
            dsdt: u64_at(table, 140)
                .filter(|address| *address != 0)
                .or(u32_at(table, 40).map(u64::from))
                .unwrap_or(0),
            has_8042: revision < 3 || u16_at(table, 109).unwrap_or(0) >> 1 & 1 != 0,
            sci: u16_at(table, 46).unwrap_or(9),
        })
    }

    /// The bytes of the DSDT (AML), for who scans them. `None`: it is missing or damaged.
    pub fn dsdt(&self, fadt: &Fadt) -> Option<&'static [u8]> {
        whole(self.map, fadt.dsdt, b"DSDT").filter(|table| adds_up(table))
    }

    /// The bytes of the tables that add AML to the DSDT's, in the order they are loaded in.
    pub fn ssdts(&self) -> impl Iterator<Item = &'static [u8]> {
        self.tables(b"SSDT")
    }
}

/// The bytes of the table at that physical address, as far as its header says, if it has that
/// signature.
fn whole(map: MapTable, physical: u64, signature: &[u8; 4]) -> Option<&'static [u8]> {
    let header = map(physical, HEADER_BYTES)?;
    // SAFETY: `map` vouches for the range; firmware tables do not change.
    let header = unsafe { core::slice::from_raw_parts(header, HEADER_BYTES) };
    let length = u32_at(header, 4)? as usize;
    if !header.starts_with(signature) || !(HEADER_BYTES..=MAX_TABLE).contains(&length) {
        return None;
    }
    let start = map(physical, length)?;
    // SAFETY: as above.
    Some(unsafe { core::slice::from_raw_parts(start, length) })
}

/// Whether the table's bytes add up to zero, as they have to.
fn adds_up(table: &[u8]) -> bool {
    table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// A Generic Address Structure of 12 bytes. `None`: unset, or in a space that is not known here.
fn register_at(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4)?;
    match *table.get(at)? {
        _ if address == 0 => None,
        0 => Some(Register::Memory(address)),
        1 => u16::try_from(address).ok().map(Register::Port),
        2 => Some(Register::PciConfig {
            device: (address >> 32 & 0x1f) as u8,
            function: (address >> 16 & 7) as u8,
            offset: address as u16,
        }),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
