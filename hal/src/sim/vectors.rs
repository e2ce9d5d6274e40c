//! Interrupts by message: which write to which address raises which latch.
//!
//! A simulated core has few vectors, so that tests run out of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::interrupt::{InterruptError, InterruptLatch, Message};

/// Cores of the simulated machine that take messages.
const CORES: u16 = 8;
/// The vectors each of them has.
const VECTORS: std::ops::Range<u32> = 0x30..0x50;

#[derive(Default)]
pub(super) struct Vectors(BTreeMap<Message, Arc<InterruptLatch>>);

impl Vectors {
    pub(super) fn allocate(
        &mut self,
        core: u16,
    ) -> Result<(Message, Arc<InterruptLatch>), InterruptError> {
        if core >= CORES {
            return Err(InterruptError::NoSuchCore(core));
        }
        let address = 0xfee0_0000 | u64::from(core) << 12;
        let free = |data: &u32| !self.0.contains_key(&Message { address, data: *data });
        let data = VECTORS.into_iter().find(free).ok_or(InterruptError::NoVector(core))?;
        let message = Message { address, data };
        let latch = Arc::new(InterruptLatch::new());
        self.0.insert(message, latch.clone());
        Ok((message, latch))
    }

    pub(super) fn free(&mut self, message: Message) {
        self.0.remove(&message);
    }

    pub(super) fn in_use(&self) -> usize {
        self.0.len()
    }

    pub(super) fn latch(&self, message: Message) -> Option<Arc<InterruptLatch>> {
        self.0.get(&message).cloned()
    }
}
