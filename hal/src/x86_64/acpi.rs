//! The firmware's tables: which cores, interrupt lines, timers and PCI windows there are.
//!
//! The `acpi` crate walks from the root to each table and checks sums; what is read out of the
//! tables is read here, byte by byte and bounded, since firmware may say anything. Needs no AML.

use core::ptr::NonNull;

use ::acpi::sdt::{SdtHeader, Signature};
use ::acpi::{AcpiHandler, AcpiTable, AcpiTables, PhysicalMapping};
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
    tables: AcpiTables<Reader>,
    map: MapTable,
}

#[derive(Debug, Clone, Copy)]
struct Reader(MapTable);

/// What is read where nothing can be: zeroes, which no signature matches.
#[repr(align(4096))]
struct Nothing([u8; 4096]);
static NOTHING: Nothing = Nothing([0; 4096]);

impl AcpiHandler for Reader {
    unsafe fn map_physical_region<T>(
        &self,
        physical_address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        let bytes = size.max(size_of::<T>());
        let mapped = Some(bytes)
            .filter(|bytes| *bytes <= MAX_TABLE)
            .and_then(|bytes| (self.0)(physical_address as u64, bytes))
            .and_then(|address| NonNull::new(address.cast_mut()));
        // A page of zeroes is long enough for any `T` here; a length that claims more than was
        // mapped is not looked at, since the length in a page of zeroes is zero.
        let address = mapped.unwrap_or(NonNull::from(&NOTHING.0).cast());
        // SAFETY: mapped for good for `bytes`, or the static page of zeroes.
        unsafe { PhysicalMapping::new(physical_address, address.cast(), size, size, *self) }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}
}

/// A table of which only the header is known to the crate.
macro_rules! raw_table {
    ($name:ident, $signature:ident) => {
        #[repr(transparent)]
        struct $name(SdtHeader);
        // SAFETY: every table starts with this header.
        unsafe impl AcpiTable for $name {
            const SIGNATURE: Signature = Signature::$signature;
            fn header(&self) -> &SdtHeader {
                &self.0
            }
        }
    };
}

raw_table!(RawMadt, MADT);
raw_table!(RawFadt, FADT);
raw_table!(RawHpet, HPET);
raw_table!(RawMcfg, MCFG);

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
        // What the crate would trust is looked at first: lengths.
        let root = read(rsdp, RSDP_BYTES).ok_or(AcpiError::BadRoot)?;
        let (length, list) = match root[15] {
            0 => (RSDP_V1_BYTES, u64::from(u32_at(root, 16).unwrap_or(0))),
            _ => (u32_at(root, 20).unwrap_or(0) as usize, u64_at(root, 24).unwrap_or(0)),
        };
        if !(RSDP_V1_BYTES..=4096).contains(&length) || read(rsdp, length).is_none() {
            return Err(AcpiError::BadRoot);
        }
        let header = read(list, HEADER_BYTES).ok_or(AcpiError::BadRoot)?;
        let list_bytes = u32_at(header, 4).unwrap_or(0) as usize;
        if !(HEADER_BYTES..=MAX_TABLE).contains(&list_bytes) || read(list, list_bytes).is_none() {
            return Err(AcpiError::BadRoot);
        }
        // SAFETY: the root is mapped as far as it says.
        let tables = unsafe { AcpiTables::from_rsdp(Reader(map), rsdp as usize) };
        Ok(Self { tables: tables.map_err(|_| AcpiError::BadRoot)?, map })
    }

    /// The bytes of a table, if there is a sound one.
    fn table<T: AcpiTable>(&self) -> Option<&'static [u8]> {
        let found = self.tables.find_table::<T>().ok()?;
        let length = found.get().header().length as usize;
        if !(HEADER_BYTES..=MAX_TABLE).contains(&length) {
            return None;
        }
        let start = (self.map)(found.physical_start() as u64, length)?;
        // SAFETY: `map` vouches for the range; firmware tables do not change.
        Some(unsafe { core::slice::from_raw_parts(start, length) })
    }

    /// The cores and their interrupt wiring.
    ///
    /// # Errors
    /// The table is missing, damaged or names nothing usable: fatal.
    pub fn madt(&self) -> Result<Madt, AcpiError> {
        Ok(Madt::parse(self.table::<RawMadt>().ok_or(AcpiError::Missing("MADT (APIC)"))?)?)
    }

    /// Physical address of the HPET's registers. `None`: no HPET, or one outside of memory.
    pub fn hpet(&self) -> Option<u64> {
        match register_at(self.table::<RawHpet>()?, 40)? {
            Register::Memory(address) => Some(address),
            _ => None,
        }
    }

    /// The PCI configuration windows. Empty: no PCI Express.
    pub fn pci_windows(&self) -> impl Iterator<Item = PciWindow> {
        let table = self.table::<RawMcfg>().unwrap_or(&[]);
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
        let table = self.table::<RawFadt>().ok_or(AcpiError::Missing("FADT (FACP)"))?;
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
        let header = (self.map)(fadt.dsdt, HEADER_BYTES)?;
        // SAFETY: `map` vouches for the range; firmware tables do not change.
        let header = unsafe { core::slice::from_raw_parts(header, HEADER_BYTES) };
        let length = u32_at(header, 4)? as usize;
        if &header[..4] != b"DSDT" || !(HEADER_BYTES..=MAX_TABLE).contains(&length) {
            return None;
        }
        let start = (self.map)(fadt.dsdt, length)?;
        // SAFETY: as above.
        let bytes = unsafe { core::slice::from_raw_parts(start, length) };
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        (sum == 0).then_some(bytes)
    }
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
