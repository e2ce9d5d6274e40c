//! Fields that firmware's code has in PCI configuration space, put right.
//!
//! The interpreter (6.1) takes a field's place in its region for its place in configuration space,
//! and every function for one on bus 0. So here, once all is loaded, the region's own offset is added
//! to each such field; functions on the first root bus may be written where a region says so; all
//! others are moved to a bus that is not there, so that they read all ones.

use alloc::vec::Vec;
use core::ops::Range;

use ::acpi::aml::namespace::{AmlName, NamespaceLevel};
use ::acpi::aml::object::{FieldUnitKind, Object, WrappedObject};
use ::acpi::aml::op_region::{OpRegion, RegionSpace};
use protocols::pci::Address;
use spin::Mutex;

use super::guard::in_kernel;
use super::interpreter::{Failed, Loaded, named};

/// A bus without functions.
const NOWHERE: u64 = 0xff;

/// What may be written: bytes of functions.
static WRITABLE: Mutex<Vec<(Address, Range<u64>)>> = Mutex::new(Vec::new());

/// Whether firmware's code may write there.
pub(super) fn may_write(address: Address, offset: u16) -> bool {
    let offset = u64::from(offset);
    let writable = WRITABLE.lock();
    writable.iter().any(|(function, bytes)| *function == address && bytes.contains(&offset))
}

/// Nothing may be written, until [`put_right`].
pub(super) fn forbid() {
    in_kernel(|| WRITABLE.lock().clear());
}

/// The region of a field in configuration space.
fn region_of(object: &Object) -> Option<&OpRegion> {
    let Object::FieldUnit(field) = object else { return None };
    let FieldUnitKind::Normal { region } = &field.kind else { return None };
    match &**region {
        Object::OpRegion(region) if region.space == RegionSpace::PciConfig => Some(region),
        _ => None,
    }
}

/// Puts right what is loaded.
pub(super) fn put_right(loaded: &Loaded) -> Result<(), Failed> {
    let mut fields: Vec<WrappedObject> = Vec::new();
    let collect = |_: &AmlName, level: &NamespaceLevel| {
        let found = level.values.values().filter(|(flags, _)| !flags.is_alias());
        fields.extend(found.map(|(_, object)| object.clone()).filter(|it| region_of(it).is_some()));
        Ok(true)
    };
    if loaded.interpreter.namespace.lock().traverse(collect).is_err() {
        return Err(Failed);
    }
    for object in &fields {
        let Some(region) = region_of(object).cloned() else { continue };
        match function_of(loaded, &region)? {
            Some(address) => {
                let bytes = region.base..region.base.saturating_add(region.length);
                in_kernel(|| WRITABLE.lock().push((address, bytes)));
            }
            None => put_nowhere(loaded, &region),
        }
        let token = loaded.interpreter.object_token.lock();
        // SAFETY: nothing runs, and `region` is a copy: nobody else looks at the object.
        if let Object::FieldUnit(field) = unsafe { object.gain_mut(&token) } {
            field.bit_index = field.bit_index.saturating_add((region.base as usize & 0xfff) * 8);
        }
    }
    Ok(())
}

/// The function that the region is of, if it is one on the first root bus.
fn function_of(loaded: &Loaded, region: &OpRegion) -> Result<Option<Address>, Failed> {
    let device = &region.parent_device_path;
    let Some(address) = loaded.integer(device, "_ADR")? else { return Ok(None) };
    let Ok(bus) = device.parent() else { return Ok(None) };
    let number =
        loaded.integer(&bus, "_SEG")?.unwrap_or(0) | loaded.integer(&bus, "_BBN")?.unwrap_or(0);
    if number != 0 || !loaded.is_root_bus(&bus)? {
        return Ok(None);
    }
    let (device, function) = ((address >> 16) as u8, address as u8);
    Ok(Some(Address { segment: 0, bus: 0, device, function }))
}

/// Has the interpreter look for the region's function where none is: `_BBR` is where it looks.
fn put_nowhere(loaded: &Loaded, region: &OpRegion) {
    let path = named("_BBR").and_then(|name| name.resolve(&region.parent_device_path).ok());
    if let Some(path) = path {
        let _ = loaded.interpreter.namespace.lock().insert(path, Object::Integer(NOWHERE).wrap());
    }
}
