//! Asking firmware's code for the routing of legacy interrupts.
//!
//! Every root bus (`_HID` or `_CID` PNP0A03, PNP0A08) and every bridge below one that has a `_PRT`
//! gives a table; every link that a table names is asked what it is set to and could be.
//!
//! One board is known by heart: QEMU's i440FX machine, whose `_PRT` is built at run time by stores
//! into a package, which the interpreter cannot do yet.
//!
//! Source: ACPI 6.5, 6.2.13 (`_PRT`), 6.2 (`_CRS`, `_PRS`, `_SRS`), 6.5.5 (`_SEG`, `_BBN`).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use ::acpi::aml::namespace::{AmlName, NameSeg, NamespaceLevelKind};
use ::acpi::aml::object::{Object, WrappedObject};
use protocols::pci::Address;
use protocols::pci::intx::Pin;

use super::Code;
use super::interpreter::{self, Failed, Loaded, named};
use crate::mmio::Register;
use crate::pci::{self, RouteError};
use crate::x86_64::madt::Line;
use crate::x86_64::routing::resources::{Descriptor, Form, descriptors, template};
use crate::x86_64::routing::{Entry, Link, Routing, Source, Table, i440fx};

/// EISA ids of root buses: PNP0A03 (PCI) and PNP0A08 (PCI Express), as `EisaId` packs them.
const ROOT_IDS: [u64; 2] = [0x030a_d041, 0x080a_d041];
/// Device and vendor of the 440FX host bridge, and its board's links.
const I440FX: u32 = 0x1237_8086;
const I440FX_LINKS: [&str; 4] = ["LNKA", "LNKB", "LNKC", "LNKD"];
const ROOT_NAMES: [&str; 2] = ["PNP0A03", "PNP0A08"];
/// Of a device's status: it is there, and works.
const WORKS: u64 = 0b1001;
/// Most tables, and entries of one, that are believed.
const MAX_TABLES: usize = 256;
const MAX_ENTRIES: usize = 1024;

/// Everything that firmware says of legacy interrupts.
pub(super) fn routing(code: &'static Code) -> Result<Routing, RouteError> {
    interpreter::ask(code, Loaded::routing)
}

/// Tells the link of that name to use `line`; what it is set to then.
pub(super) fn set_link(
    code: &'static Code,
    name: &str,
    form: Form,
    line: &Line,
) -> Result<Vec<Descriptor>, RouteError> {
    let told = template(form, line).ok_or(RouteError::BadLink)?;
    let name = String::from(name);
    interpreter::ask(code, move |loaded| {
        let Some(link) = named(&name) else { return Ok(Vec::new()) };
        loaded.call(&link, "_SRS", alloc::vec![Object::Buffer(told.clone()).wrap()])?;
        loaded.descriptors(&link, "_CRS")
    })
}

impl Loaded {
    /// The number that `object` of `scope` is. `None`: it is none, or not there.
    pub fn integer(&self, scope: &AmlName, object: &str) -> Result<Option<u64>, Failed> {
        Ok(self.get(scope, object)?.and_then(|found| found.as_integer().ok()))
    }

    fn descriptors(&self, link: &AmlName, object: &str) -> Result<Vec<Descriptor>, Failed> {
        let template = self.get(link, object)?;
        Ok(template.map_or(Vec::new(), |found| descriptors(found.as_buffer().unwrap_or(&[]))))
    }

    fn routing(&self) -> Result<Routing, Failed> {
        let mut routing = Routing::default();
        for scope in self.with_tables() {
            let Some(mut table) = self.place(&scope)? else {
                log::debug!("aml: {scope} has a _PRT and is on no PCI bus that works: left out");
                continue;
            };
            self.fill(&scope, &mut table, &mut routing.links)?;
            routing.tables.push(table);
        }
        Ok(routing)
    }

    /// Devices that have a `_PRT`.
    fn with_tables(&self) -> Vec<AmlName> {
        let mut found = Vec::new();
        let Ok(table) = NameSeg::from_str("_PRT") else { return found };
        let walked = self.interpreter.namespace.lock().traverse(|path, level| {
            if level.kind == NamespaceLevelKind::Device
                && level.values.contains_key(&table)
                && found.len() < MAX_TABLES
            {
                found.push(path.clone());
            }
            Ok(true)
        });
        if let Err(error) = walked {
            log::warn!("aml: the namespace makes no sense: {error:?}");
        }
        found
    }

    /// The still empty table of the root bus or bridge at `scope`. `None`: it is neither, or its
    /// root bus does not work.
    fn place(&self, scope: &AmlName) -> Result<Option<Table>, Failed> {
        let mut bridges = Vec::new();
        let mut here = scope.clone();
        while !self.is_root_bus(&here)? {
            let address = self.integer(&here, "_ADR")?;
            let (Some(address), Ok(above)) = (address, here.parent()) else { return Ok(None) };
            bridges.push(((address >> 16) as u8, address as u8));
            here = above;
        }
        bridges.reverse();
        let status = self.integer(&here, "_STA")?;
        if status.is_some_and(|status| status & WORKS != WORKS) {
            return Ok(None);
        }
        self.get(&here, "_INI")?;
        let segment = self.integer(&here, "_SEG")?.unwrap_or(0) as u16;
        let bus = self.integer(&here, "_BBN")?.unwrap_or(0) as u8;
        Ok(Some(Table { segment, bus, bridges, entries: Vec::new() }))
    }

    /// Whether the device there is a PCI root bus.
    pub fn is_root_bus(&self, scope: &AmlName) -> Result<bool, Failed> {
        let is_root = |id: &Object| match id {
            Object::Integer(id) => ROOT_IDS.contains(id),
            Object::String(id) => ROOT_NAMES.contains(&id.as_str()),
            _ => false,
        };
        for object in ["_HID", "_CID"] {
            let found = self.get(scope, object)?;
            let is_one = match found.as_deref() {
                Some(Object::Package(ids)) => ids.iter().any(|id| is_root(id)),
                Some(id) => is_root(id),
                None => false,
            };
            if is_one {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fill(
        &self,
        scope: &AmlName,
        table: &mut Table,
        links: &mut Vec<Link>,
    ) -> Result<(), Failed> {
        let answer = self.get(scope, "_PRT")?;
        let Some(Object::Package(entries)) = answer.as_deref() else {
            return self.fill_as_known(scope, table, links);
        };
        let mut odd = 0;
        for entry in entries.iter().take(MAX_ENTRIES) {
            match self.entry(scope, entry.clone(), links)? {
                Some(entry) => table.entries.push(entry),
                None => odd += 1,
            }
        }
        if odd > 0 {
            log::warn!("aml: {odd} entries of the _PRT of {scope} make no sense: left out");
        }
        Ok(())
    }

    /// Fills the table of a board that is known well enough, if this is one.
    fn fill_as_known(
        &self,
        scope: &AmlName,
        table: &mut Table,
        links: &mut Vec<Link>,
    ) -> Result<(), Failed> {
        let host = Address { segment: table.segment, bus: table.bus, device: 0, function: 0 };
        let id = pci::machine_ports().map(|ports| ports.read(host, Register::<u32>::at(0)));
        if id != Some(I440FX) || !table.bridges.is_empty() {
            log::warn!("aml: the _PRT of {scope} is no package: left out");
            return Ok(());
        }
        let mut four = Vec::new();
        for name in I440FX_LINKS {
            four.extend(self.link(scope, name, links)?);
        }
        table.entries = i440fx(&four);
        log::debug!("aml: the _PRT of {scope} cannot be run: as i440FX boards have it");
        Ok(())
    }

    fn entry(
        &self,
        scope: &AmlName,
        entry: WrappedObject,
        links: &mut Vec<Link>,
    ) -> Result<Option<Entry>, Failed> {
        let entry = entry.unwrap_reference();
        let Some((device, pin, index, source)) = fields(&entry) else { return Ok(None) };
        let source = match &*source {
            Object::Integer(0) => Source::Gsi(index),
            Object::String(name) => {
                let Some(link) = self.link(scope, name, links)? else { return Ok(None) };
                Source::Link { link, index: index as usize }
            }
            _ => return Ok(None),
        };
        Ok(Some(Entry { device, pin, source }))
    }

    /// The number of the link that `name` means when `scope` says it; asked if it is new.
    fn link(
        &self,
        scope: &AmlName,
        name: &str,
        links: &mut Vec<Link>,
    ) -> Result<Option<usize>, Failed> {
        let Some(path) = self.path_of(scope, name) else { return Ok(None) };
        let text = path.to_string();
        if let Some(known) = links.iter().position(|link| link.name == text) {
            return Ok(Some(known));
        }
        let current = self.descriptors(&path, "_CRS")?;
        let possible = self.descriptors(&path, "_PRS")?;
        links.push(Link { name: text, current, possible });
        Ok(Some(links.len() - 1))
    }

    /// Where the device is that `scope` calls `name`.
    fn path_of(&self, scope: &AmlName, name: &str) -> Option<AmlName> {
        let found = self.interpreter.namespace.lock().search_for_level(&named(name)?, scope);
        found.ok()?.resolve(scope).ok()
    }
}

/// Device, pin, index and source of a `_PRT`'s entry. `None`: it makes no sense.
fn fields(entry: &Object) -> Option<(u8, Pin, u32, WrappedObject)> {
    let Object::Package(fields) = entry else { return None };
    let field = |at: usize| fields.get(at).map(|field| field.clone().unwrap_reference());
    let number = |at: usize| field(at)?.as_integer().ok();
    let device = u8::try_from(number(0)? >> 16).ok()?;
    let pin = Pin::from_index(u8::try_from(number(1)?).ok()?)?;
    Some((device, pin, u32::try_from(number(3)?).ok()?, field(2)?))
}
