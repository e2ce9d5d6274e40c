//! How a function interrupts: by message, MSI-X where it has it, else MSI; else by its line.
//!
//! ```text
//!   Function::interrupts(cores) ─> MSI-X: entry i of the table ─> a vector on cores[i]
//!                                │ refused
//!                                ├> MSI: its one message ───────> a vector on cores[0]
//!                                │ refused
//!                                ├> its line: shared, level ────> a vector on core 0
//!                                │ it has none, or nobody knows where it leads
//!                                └> None: it says why in the log, and the driver polls
//! ```
//!
//! What comes while masked is not lost: MSI-X, and MSI with mask bits, keep it pending and deliver
//! it when unmasked. MSI without them can only be turned off, and forgets; there, unmasking raises
//! the interrupt once by itself, so that its driver looks. What [`line`](super::line) says of lines
//! holds for those.
//!
//! An interrupt that is dropped is masked first, then its vector is free; with the last of a
//! function's, message-signalling is turned off.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use protocols::pci::{command, id};

use super::{Function, PciError, line, msi, msix};
use crate::interrupt::{Interrupt, InterruptError};
use crate::machine::MessageVector;
use crate::pci_terms::{InterruptKind, Interrupts};

/// Why one way of interrupting is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub(super) enum Refusal {
    /// The capability makes no sense.
    #[error("its capability makes no sense")]
    Nonsense,
    /// The function, or its table, is not to be reached.
    #[error("{0}")]
    Function(#[from] PciError),
    /// No vector.
    #[error("{0}")]
    Vector(#[from] InterruptError),
}

/// What a function was told about its messages. A reset makes it forget.
pub(super) trait Signalling: Send + Sync {
    /// Tells it again.
    fn write_all(&self) -> Result<(), PciError>;

    /// The command register as it has to be for that.
    fn command(&self, command: u16) -> u16 {
        command | command::INTERRUPT_OFF
    }
}

/// The function's messages, as long as somebody has an interrupt of it.
pub(super) type SignallingSlot = spin::Mutex<Option<Weak<dyn Signalling>>>;

impl Function {
    /// Its interrupts, one for each of `cores` in this order: fewer where the function has fewer
    /// (MSI is used with one, and a line is one and arrives on core 0), or where vectors run out;
    /// none where it has none or they cannot be had, which the log explains. The legacy interrupt
    /// is turned off unless it is what is given out.
    ///
    /// Where a line has to be found, firmware's code is run: that is for a function's beginning.
    ///
    /// Messages are writes to memory: they are sent once the function is a bus master. The
    /// function's registers stay mapped as long as its MSI-X interrupts are there.
    pub fn interrupts(&self, cores: &[u16]) -> Interrupts {
        let ways = [
            (InterruptKind::MsiX, id::MSIX, msix::set_up as SetUp),
            (InterruptKind::Msi, id::MSI, msi::set_up as SetUp),
        ];
        if !cores.is_empty() && self.signalling().is_some() {
            log::warn!("pci {self:?}: no interrupts: given out before, and still in use");
            return Interrupts { kind: InterruptKind::None, vectors: Vec::new() };
        }
        for (kind, id, set_up) in ways {
            let Some(capability) = self.capability(id).filter(|_| !cores.is_empty()) else {
                continue;
            };
            match set_up(self, capability, cores) {
                Ok(vectors) => return Interrupts { kind, vectors },
                Err(refusal) => log::warn!("pci {self:?}: no {kind:?}: {refusal}"),
            }
        }
        if !cores.is_empty() {
            match line::set_up(self) {
                Ok(interrupt) => {
                    let vectors = alloc::vec![interrupt];
                    return Interrupts { kind: InterruptKind::Line, vectors };
                }
                Err(refusal) => log::warn!("pci {self:?}: no interrupt, polled: {refusal}"),
            }
        }
        Interrupts { kind: InterruptKind::None, vectors: Vec::new() }
    }

    /// Vectors on `cores` for its messages, as many as can be had, at least one.
    pub(super) fn vectors(&self, cores: &[u16]) -> Result<Vec<MessageVector>, InterruptError> {
        let mut vectors = Vec::new();
        for core in cores {
            let vector = MessageVector::allocate(self.config().window(), *core);
            match vector.and_then(|vector| vector.message().map(|_| vector)) {
                Ok(vector) => vectors.push(vector),
                Err(error) if vectors.is_empty() => return Err(error),
                Err(error) => {
                    let (had, wanted) = (vectors.len(), cores.len());
                    log::warn!("pci {self:?}: {had} of {wanted} interrupts: {error}");
                    break;
                }
            }
        }
        Ok(vectors)
    }

    /// What it was told about messages, if that is still in force.
    pub(super) fn signalling(&self) -> Option<Arc<dyn Signalling>> {
        self.shared().signalling.lock().as_ref().and_then(Weak::upgrade)
    }

    pub(super) fn remember_signalling(&self, signalling: &Arc<dyn Signalling>) {
        *self.shared().signalling.lock() = Some(Arc::downgrade(signalling));
    }

    /// Keeps it from raising legacy interrupts.
    pub(super) fn disable_legacy_interrupt(&self) -> Result<(), PciError> {
        self.change_command(|command| command | command::INTERRUPT_OFF)
    }
}

type SetUp = fn(&Function, protocols::pci::Capability, &[u16]) -> Result<Vec<Interrupt>, Refusal>;
