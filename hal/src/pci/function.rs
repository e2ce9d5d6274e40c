//! One function: what it is, its registers, whether it may reach memory.

use alloc::sync::Arc;
use core::fmt;

use spin::Mutex;

use protocols::pci::msix::MsixCapability;
use protocols::pci::{
    Address, BAR_COUNT, BRIDGE_BAR_COUNT, Bar, BarKind, Capability, ExtendedCapability, Header,
    HeaderKind, bar, bar_base, bar_offset, capabilities, command, extended_capabilities, id,
    offset,
};

use super::config::ConfigSpace;
use super::interrupts::SignallingSlot;
use super::segment::Segment;
use crate::mmio::{DeviceRegion, MmioError, Register, WeakRegion};
use crate::pci_terms::PciError;

pub(super) const COMMAND: Register<u16> = Register::at(offset::COMMAND as usize);

/// Ranges up to this length are mapped whole, so that whoever comes second finds what it needs.
const MAPPED_WHOLE: u64 = 16 << 20;

/// What a function's base address registers say; `None`: not one, or the second half of one.
type Bars = [Option<Bar>; BAR_COUNT as usize];

/// What all who found the function know of it.
#[derive(Default)]
pub(super) struct Shared {
    /// Vendor and device.
    pub(super) ids: (u16, u16),
    /// Its base address registers, once they were asked.
    bars: Mutex<Option<Bars>>,
    /// What of their ranges is mapped, for as long as anybody has a part of it.
    mapped: Mutex<[Option<WeakRegion>; BAR_COUNT as usize]>,
    /// What it was told about messages.
    pub(super) signalling: SignallingSlot,
}

impl Shared {
    /// What is known of a function just found.
    pub(super) fn of(header: &Header) -> Arc<Self> {
        Arc::new(Self { ids: (header.vendor, header.device), ..Self::default() })
    }
}

/// A function on a bus.
#[derive(Clone)]
pub struct Function {
    address: Address,
    header: Header,
    config: ConfigSpace,
    segment: Arc<Segment>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04x}:{:04x}", self.address, self.header.vendor, self.header.device)
    }
}

impl Function {
    pub(super) fn new(
        address: Address,
        header: Header,
        config: ConfigSpace,
        segment: Arc<Segment>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { address, header, config, segment, shared }
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(super) fn config(&self) -> &ConfigSpace {
        &self.config
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The double word at `offset` of its header, as it is now; all ones beyond, and where it is
    /// gone.
    pub fn read_header(&self, offset: u16) -> u32 {
        let is_in_header = offset <= offset::INTERRUPT;
        if is_in_header { self.config.read(Register::at(offset.into())) } else { u32::MAX }
    }

    /// What it says it is, as of the scan.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its first capability with this id (see [`protocols::pci::id`]).
    pub fn capability(&self, id: u8) -> Option<Capability> {
        capabilities(&self.config, &self.header).find(|found| found.id == id)
    }

    /// Where in its configuration space the first extended capability with this id is.
    pub fn extended_capability(&self, id: u16) -> Option<ExtendedCapability> {
        extended_capabilities(&self.config).find(|found| found.id == id)
    }

    /// Its base address register `index`. The first time one is asked for, the function answers
    /// nobody while all say how long their ranges are, so that is for before its driver starts.
    /// Bridges are not asked: those behind them would answer nobody either.
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        if index >= BAR_COUNT || self.header.kind != HeaderKind::Device {
            return Err(PciError::NoBar(index));
        }
        let mut known = self.shared.bars.lock();
        let bars = match *known {
            Some(bars) => bars,
            None => *known.insert(self.ask_bars()?),
        };
        bars[usize::from(index)].ok_or(PciError::NoBar(index))
    }

    /// Whether somebody has asked for its registers before: a driver may be using them.
    pub(super) fn has_known_bars(&self) -> bool {
        self.shared.bars.lock().is_some()
    }

    fn ask_bars(&self) -> Result<Bars, PciError> {
        let before = self.config.read(COMMAND);
        self.set_command(before & !(command::MEMORY | command::IO))?;
        let mut bars = Bars::default();
        let mut index = 0;
        while index < BAR_COUNT {
            let (value, sizing) = self.probe(index);
            let is_64_bit = value & 0b111 == 0b100;
            let has_high = is_64_bit && index + 1 < BAR_COUNT;
            let (high, sizing_high) = if has_high { self.probe(index + 1) } else { (0, 0) };
            bars[usize::from(index)] = bar(value, sizing, high, sizing_high);
            index += if is_64_bit { 2 } else { 1 };
        }
        self.set_command(before)?;
        Ok(bars)
    }

    /// What the register reads, and what it reads after all ones; then it is as before.
    fn probe(&self, index: u8) -> (u32, u32) {
        let register = Register::<u32>::at(usize::from(bar_offset(index)));
        let value = self.config.read(register);
        self.config.write(register, u32::MAX);
        let sizing = self.config.read(register);
        self.config.write(register, value);
        (value, sizing)
    }

    /// Gives base address register `index` the address in `bar`. The function answers nobody until
    /// it is told to.
    pub(super) fn set_bar(&self, index: u8, bar: Bar) -> Result<(), PciError> {
        self.change_command(|old| old & !(command::MEMORY | command::IO))?;
        let register = |index| Register::<u32>::at(usize::from(bar_offset(index)));
        self.config.write(register(index), bar.address as u32);
        if matches!(bar.kind, BarKind::Memory { is_64_bit: true, .. }) {
            self.config.write(register(index + 1), (bar.address >> 32) as u32);
        }
        if self.config.read(register(index)) & !0xf != bar.address as u32 & !0xf {
            return Err(PciError::Deaf);
        }
        if let Some(bars) = self.shared.bars.lock().as_mut() {
            bars[usize::from(index)] = Some(bar);
        }
        Ok(())
    }

    /// Lets it answer in memory and in ports, where all its registers of that kind have addresses.
    pub(super) fn answer_where_assigned(&self) -> Result<(), PciError> {
        if self.header.kind != HeaderKind::Device {
            return Ok(());
        }
        let mut answers = 0;
        for (bit, is_ports) in [(command::MEMORY, false), (command::IO, true)] {
            let all = (0..BAR_COUNT).filter_map(|index| self.bar(index).ok());
            let mut alike = all.filter(|bar| (bar.kind == BarKind::Ports) == is_ports).peekable();
            if alike.peek().is_some() && alike.all(|bar| bar.address != 0) {
                answers |= bit;
            }
        }
        self.change_command(|old| old | answers)
    }

    /// Whether the register is the second half of the one before.
    fn is_upper_half(&self, index: u8) -> bool {
        let mut at = 0;
        while at < index {
            let value = self.config.read(Register::<u32>::at(usize::from(bar_offset(at))));
            at += if value & 0b111 == 0b100 { 2 } else { 1 };
        }
        at != index
    }

    /// The kind and address of base address register `index`, and how many bytes there are behind
    /// it. A bridge's length is not known.
    fn range(&self, index: u8) -> Result<(BarKind, u64, Option<u64>), PciError> {
        match self.header.kind {
            HeaderKind::Bridge { .. } if index < BRIDGE_BAR_COUNT && !self.is_upper_half(index) => {
                let read = |index| self.config.read(Register::at(usize::from(bar_offset(index))));
                let high = if index + 1 < BRIDGE_BAR_COUNT { read(index + 1) } else { 0 };
                let (kind, address) = bar_base(read(index), high).ok_or(PciError::NoBar(index))?;
                Ok((kind, address, None))
            }
            _ => self.bar(index).map(|bar| (bar.kind, bar.address, Some(bar.bytes))),
        }
    }

    /// Maps the first `bytes` bytes behind base address register `index`, all of them if it has
    /// fewer, and makes the function answer there. All parts of one register's range share a
    /// mapping, with the function's MSI-X table too; of a range beyond 16 MiB, who comes later
    /// cannot have more than who came first.
    pub fn map_bar(&self, index: u8, bytes: usize) -> Result<DeviceRegion, PciError> {
        let (kind, address, length) = self.range(index)?;
        if kind == BarKind::Ports {
            return Err(PciError::Ports(index));
        }
        if address == 0 {
            return Err(PciError::Unassigned(index));
        }
        let bytes = length.map_or(bytes, |length| bytes.min(length as usize));
        let mut mapped = self.shared.mapped.lock();
        let known = mapped[usize::from(index)].as_ref().and_then(WeakRegion::upgrade);
        let region = match known {
            Some(region) => region,
            None => {
                let all = length.map_or(0, |length| length.min(MAPPED_WHOLE));
                let table = self.table_end(index).min(length.unwrap_or(u64::MAX));
                let region =
                    self.segment.map()(address, bytes.max(all as usize).max(table as usize))?;
                mapped[usize::from(index)] = Some(region.downgrade());
                region
            }
        };
        drop(mapped);
        self.change_command(|command| command | command::MEMORY)?;
        // What is longer than the mapping in use is in nobody's hands, but cannot be had with it.
        region.part(0..bytes).map_err(|_| PciError::Map(MmioError::NotDevice))
    }

    /// Where the MSI-X table ends in that register's range; 0: it is not there.
    fn table_end(&self, index: u8) -> u64 {
        let found = self.capability(id::MSIX);
        let found = found.and_then(|found| MsixCapability::read(&self.config, found));
        found.filter(|found| found.table.bar == index).map_or(0, |found| found.table_end())
    }

    /// Lets it reach memory, and keeps it from raising a legacy interrupt that nobody handles.
    pub fn enable_bus_master(&self) -> Result<(), PciError> {
        let told = self.signalling();
        self.change_command(|command| match told {
            Some(told) => told.command(command) | command::BUS_MASTER,
            None => command | command::INTERRUPT_OFF | command::BUS_MASTER,
        })
    }

    /// Cuts it off from memory: what it is still doing there ends.
    pub fn disable_bus_master(&self) -> Result<(), PciError> {
        self.change_command(|command| command & !command::BUS_MASTER)
    }

    /// Changes its command register.
    pub(super) fn change_command(&self, change: impl FnOnce(u16) -> u16) -> Result<(), PciError> {
        self.set_command(change(self.config.read(COMMAND)))
    }

    fn set_command(&self, value: u16) -> Result<(), PciError> {
        self.config.write(COMMAND, value);
        // The bits used here are ones that every function with registers has.
        let asked = command::MEMORY | command::BUS_MASTER;
        if self.config.read(COMMAND) & asked == value & asked {
            Ok(())
        } else {
            Err(PciError::Deaf)
        }
    }
}
