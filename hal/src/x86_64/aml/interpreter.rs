//! Firmware's code, loaded and asked, with what cannot be run left out.
//!
//! Once something failed, the interpreter is not to be trusted any more: it still has the frames of
//! the methods that failed. So the object that was asked is noted, and all begins anew without it; a
//! table that cannot be loaded likewise. How often, and how long, is bounded.
//!
//! ```text
//!   load tables ─► `pci_regions` ─► _INI, _PIC ─► the question ─► its answer
//!        ▲               │ something fails, or breaks the interpreter (see `guard`)
//!        └───────────────┘ again, without it
//! ```
//!
//! Source: ACPI 6.5, 5.8.1 (`_PIC`), 6.5.1 (`_INI`).

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;

use ::acpi::address::{AddressSpace, GenericAddress, MappedGas};
use ::acpi::aml::Interpreter;
use ::acpi::aml::namespace::AmlName;
use ::acpi::aml::object::{Object, WrappedObject};
use ::acpi::registers::{FixedRegisters, Pm1ControlRegisterBlock, Pm1EventRegisterBlock};
use spin::Mutex;

use super::Code;
use super::firmware::Firmware;
use super::guard::{self, Abandoned, in_kernel};
use super::pci_regions;
use crate::pci::RouteError;

/// Bytes of a table's header, before its code; in it, the table's revision.
const HEADER_BYTES: usize = 36;
const REVISION: usize = 8;
/// `_PIC`'s argument: interrupts come over the I/O APIC.
const IO_APIC_MODE: u64 = 1;
/// How much may be left out, and what each of these counts.
const PATIENCE: u32 = 24;
const FAILED: u32 = 1;
const BROKEN: u32 = 4;
const ENDLESS: u32 = 12;

/// What is being asked just now: if it breaks the interpreter, nobody else can say what it was.
static ASKING: Mutex<Option<String>> = Mutex::new(None);

/// What was asked failed, and stands in [`ASKING`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

/// Firmware's code, loaded.
pub(super) struct Loaded {
    pub interpreter: Interpreter<Firmware>,
    left_out: Vec<String>,
}

/// Loads the code and has `question` ask it. The question is asked anew whenever something fails,
/// which then is as if it were not there.
pub(super) fn ask<R: 'static>(
    code: &'static Code,
    question: impl Fn(&Loaded) -> Result<R, Failed> + Clone + 'static,
) -> Result<R, RouteError> {
    let mut left_out: Vec<String> = Vec::new();
    let mut patience = PATIENCE;
    loop {
        *ASKING.lock() = None;
        let (question, without) = (question.clone(), left_out.clone());
        let answer = guard::run(move || question(&Loaded::new(code, without)?));
        let counts = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(Failed)) => FAILED,
            Err(Abandoned::Broken) => BROKEN,
            Err(Abandoned::Endless) => ENDLESS,
            Err(Abandoned::NoStack) => return Err(RouteError::NoAml),
        };
        let culprit = ASKING.lock().take();
        let culprit = culprit.unwrap_or_else(|| String::from("something"));
        match answer {
            Err(why) => log::warn!("aml: {culprit} is left out: {why}"),
            Ok(_) => log::debug!("aml: {culprit} is left out"),
        }
        if patience < counts || left_out.contains(&culprit) || culprit == table_name(0) {
            log::error!("aml: firmware's code is of no use: look for an update of the firmware");
            return Err(RouteError::NoAml);
        }
        patience -= counts;
        left_out.push(culprit);
    }
}

fn table_name(number: usize) -> String {
    if number == 0 { String::from("the DSDT") } else { alloc::format!("SSDT {number}") }
}

impl Loaded {
    fn new(code: &'static Code, left_out: Vec<String>) -> Result<Self, Failed> {
        let revision = code.tables.first().map_or(0, |dsdt| dsdt[REVISION]);
        let interpreter = Interpreter::new(Firmware, revision, registers()?, None);
        let loaded = Self { interpreter, left_out };
        pci_regions::forbid();
        for (number, table) in code.tables.iter().enumerate() {
            let name = table_name(number);
            if !loaded.asking(&name) {
                continue;
            }
            if let Err(error) = loaded.interpreter.load_table(&table[HEADER_BYTES..]) {
                log::warn!("aml: {name} cannot be loaded: {error:?}");
                return Err(Failed);
            }
        }
        pci_regions::put_right(&loaded)?;
        loaded.begin()?;
        Ok(loaded)
    }

    /// What has to be said to the code before it is asked anything.
    fn begin(&self) -> Result<(), Failed> {
        let root = AmlName::root();
        self.get(&root, "_INI")?;
        if let Some(system) = named("\\_SB") {
            self.get(&system, "_INI")?;
        }
        self.call(&root, "_PIC", alloc::vec![Object::Integer(IO_APIC_MODE).wrap()])?;
        Ok(())
    }

    /// Notes that this is being asked. `false`: it is to be left out.
    fn asking(&self, what: &str) -> bool {
        if self.left_out.iter().any(|other| other == what) {
            return false;
        }
        in_kernel(|| *ASKING.lock() = Some(String::from(what)));
        true
    }

    /// What `object` of `scope` is, or gives when it is called. `None`: it is not there, or left
    /// out.
    pub fn get(&self, scope: &AmlName, object: &str) -> Result<Option<WrappedObject>, Failed> {
        self.call(scope, object, Vec::new())
    }

    /// As [`get`](Self::get), with arguments.
    pub fn call(
        &self,
        scope: &AmlName,
        object: &str,
        arguments: Vec<WrappedObject>,
    ) -> Result<Option<WrappedObject>, Failed> {
        let Some(path) = named(object).and_then(|name| name.resolve(scope).ok()) else {
            return Ok(None);
        };
        let is_there = self.interpreter.namespace.lock().get(path.clone()).is_ok();
        let text = path.to_string();
        if !is_there || !self.asking(&text) {
            return Ok(None);
        }
        match self.interpreter.evaluate(path, arguments) {
            Ok(answer) => Ok(Some(answer.unwrap_transparent_reference())),
            Err(error) => {
                log::warn!("aml: {text} fails: {error:?}");
                Err(Failed)
            }
        }
    }
}

/// The name of an object, as text has it. `None`: it is none.
pub(super) fn named(name: &str) -> Option<AmlName> {
    AmlName::from_str(name).ok()
}

/// The power registers that the interpreter wants to know of. It uses them to give back a lock that
/// it is never told of, so these stand for none.
fn registers() -> Result<Arc<FixedRegisters<Firmware>>, Failed> {
    let gas = GenericAddress {
        address_space: AddressSpace::SystemIo,
        bit_width: 16,
        bit_offset: 0,
        access_size: 0,
        address: 0,
    };
    // SAFETY: for ports nothing is mapped, and nobody reads or writes these.
    let none = || unsafe { MappedGas::map_gas(gas, &Firmware) }.map_err(|_| Failed);
    #[allow(clippy::arc_with_non_send_sync, reason = "the interpreter wants an `Arc`")]
    Ok(Arc::new(FixedRegisters {
        pm1_event_registers: Pm1EventRegisterBlock {
            pm1_event_length: 4,
            pm1a: none()?,
            pm1b: None,
        },
        pm1_control_registers: Pm1ControlRegisterBlock { pm1a: none()?, pm1b: None },
    }))
}
