//! Interrupt lines of PCI functions.

use alloc::boxed::Box;

use super::{LatchRef, Window};
use crate::interrupt::{InterruptControl, InterruptError};
use crate::pci::Path;
use crate::x86_64::{aml, interrupt};

/// The line that a function's interrupt arrives at by that path, masked.
pub(crate) fn pci_line(
    _window: &Window,
    path: &Path,
) -> Result<(LatchRef, Box<dyn InterruptControl>), InterruptError> {
    interrupt::line(aml::route(path)?)
}
