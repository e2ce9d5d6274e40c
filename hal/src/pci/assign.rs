//! Addresses for functions that firmware has not seen: those behind a slot that was empty at boot.
//!
//! Firmware left room in the windows of the bridge above the slot. Each base address register
//! without an address there gets one, the largest first, clear of what siblings have. Bridges that
//! firmware has not seen would need bus numbers too, and get none.

use alloc::vec::Vec;

use protocols::pci::{BAR_COUNT, Bar, BarKind, BridgeWindows, HeaderKind, Span, command, offset};

use super::{Function, PciError};
use crate::mmio::Register;

/// A register that wants an address.
struct Wanted<'a> {
    function: &'a Function,
    index: u8,
    bar: Bar,
}

/// What a bridge passes on, and what of that is taken.
#[derive(Default)]
struct Room {
    windows: BridgeWindows,
    memory: Vec<Span>,
    ports: Vec<Span>,
}

/// The functions on the bus behind `bridge` as it is now, and behind bridges on it; each register
/// has an address where there was room. What found none is logged: mapping it gives
/// [`PciError::Unassigned`]. The bridge passes on what they are asked from then on.
///
/// Functions known from before, whose drivers may be at work, are left as they are.
///
/// # Errors
/// `bridge` leads to no bus, or does not obey.
pub fn assign(bridge: &Function) -> Result<Vec<Function>, PciError> {
    let secondary = bridge.secondary_bus()?;
    let functions = bridge.segment().scan_from(secondary);
    bridge.change_command(|old| old | command::MEMORY | command::IO | command::BUS_MASTER)?;
    let mut room = Room { windows: BridgeWindows::read(bridge.config()), ..Room::default() };
    let mut wanted = Vec::new();
    for function in functions.iter().filter(|found| found.address().bus == secondary) {
        if let HeaderKind::Bridge { secondary, .. } = function.header().kind {
            if secondary == 0 {
                log::warn!("pci {function:?}: a bridge without bus numbers: nothing behind it");
            }
            let BridgeWindows { memory, prefetchable, ports } =
                BridgeWindows::read(function.config());
            room.memory.extend(memory.into_iter().chain(prefetchable));
            room.ports.extend(ports);
            continue;
        }
        let is_known = function.has_known_bars();
        for (index, bar) in (0..BAR_COUNT).filter_map(|at| Some((at, function.bar(at).ok()?))) {
            if !room.holds(&bar) && !is_known {
                wanted.push(Wanted { function, index, bar });
            }
        }
    }
    wanted.sort_by_key(|wanted| core::cmp::Reverse(wanted.bar.bytes));
    for Wanted { function, index, bar } in wanted {
        match room.take(&bar) {
            Some(address) => function.set_bar(index, Bar { address, ..bar })?,
            None => log::error!(
                "pci {function:?}: no room for the {:#x} bytes of base address register {index}",
                bar.bytes
            ),
        }
    }
    for function in functions.iter().filter(|found| found.address().bus == secondary) {
        function.answer_where_assigned()?;
    }
    Ok(functions)
}

/// Forgets the functions behind `bridge`: they have been pulled out, and what comes in their place
/// is not known, even if it says that it is the same.
pub fn forget(bridge: &Function) {
    if let HeaderKind::Bridge { secondary, subordinate } = bridge.header().kind {
        bridge.segment().forget(secondary..=subordinate.max(secondary));
    }
}

impl Room {
    /// Whether the register has an address that the bridge passes on; then that is taken.
    fn holds(&mut self, bar: &Bar) -> bool {
        let BridgeWindows { memory, prefetchable, ports } = self.windows;
        let (windows, taken) = match bar.kind {
            BarKind::Ports => ([ports, None], &mut self.ports),
            BarKind::Memory { .. } => ([memory, prefetchable], &mut self.memory),
        };
        let span = Span::of(bar.address, bar.bytes).filter(|_| bar.address != 0);
        let passed = |span: &Span| windows.iter().flatten().any(|window| window.contains(span));
        let span = span.filter(passed);
        taken.extend(span);
        span.is_some()
    }

    /// A place for the register, which is then taken.
    fn take(&mut self, bar: &Bar) -> Option<u64> {
        let BridgeWindows { memory, prefetchable, ports } = self.windows;
        let (windows, taken) = match bar.kind {
            BarKind::Ports => ([None, ports], &mut self.ports),
            BarKind::Memory { is_prefetchable: false, .. } => ([None, memory], &mut self.memory),
            BarKind::Memory { is_prefetchable: true, is_64_bit } => {
                let reached = prefetchable.and_then(|w| if is_64_bit { Some(w) } else { w.low() });
                ([reached, memory], &mut self.memory)
            }
        };
        // No register holds address 0: that says that it has none.
        let zero = Span { first: 0, last: 0 };
        let clear = [&taken[..], &[zero]].concat();
        let found = windows.iter().flatten().find_map(|window| window.place(bar.bytes, &clear))?;
        taken.push(found);
        Some(found.first)
    }
}

impl Function {
    /// The bus behind it, as its register says now.
    fn secondary_bus(&self) -> Result<u8, PciError> {
        let buses = self.config().read(Register::<u32>::at(usize::from(offset::BUSES)));
        let [_, secondary, ..] = buses.to_le_bytes();
        let is_bridge = matches!(self.header().kind, HeaderKind::Bridge { .. });
        match (is_bridge, buses) {
            (true, u32::MAX) => Err(PciError::Deaf),
            (true, _) if secondary > self.address().bus => Ok(secondary),
            _ => Err(PciError::NoBus),
        }
    }
}
