//! Vectors for devices that interrupt by message.

use super::{LatchRef, Window};
use crate::interrupt::{InterruptError, Message};
use crate::x86_64::interrupt::Route;

/// A vector on a core; its drop frees it.
pub(crate) struct MessageVector(Route);

impl MessageVector {
    /// A vector on `core` for the device behind `window`: any core, any device.
    pub(crate) fn allocate(_window: &Window, core: u16) -> Result<Self, InterruptError> {
        Route::allocate(core).map(Self)
    }

    pub(crate) fn message(&self) -> Result<Message, InterruptError> {
        self.0.message()
    }

    pub(crate) fn latch(&self) -> LatchRef {
        self.0.latch()
    }
}
