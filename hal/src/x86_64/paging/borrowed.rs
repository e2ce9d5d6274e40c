//! Pages of an address space that are not its own: shared memory, and registers of devices.

use super::held::Held;
use super::space::AddressSpace;
use super::{Access, MapError};
use crate::dma::SharedPages;
use crate::memory::{FRAME_SIZE, VirtAddr};
use crate::pci::{LentRegisters, Touch};

const PAGE: u64 = FRAME_SIZE as u64;

impl AddressSpace {
    /// Maps shared pages from `start` on, all of them or none, and keeps them until they are
    /// unmapped and no core can reach them. [`protect`](Self::protect) gives no more than `most`.
    pub fn map_shared(
        &self,
        start: VirtAddr,
        pages: &SharedPages,
        access: Access,
        most: Access,
    ) -> Result<(), MapError> {
        self.map_held(start, &Held::Memory(pages.clone()), access, most)
    }

    /// Maps registers of a device from `start` on, as [`map_shared`](Self::map_shared) does memory:
    /// uncached, those that may only be read so.
    pub fn map_registers(
        &self,
        start: VirtAddr,
        registers: &LentRegisters,
    ) -> Result<(), MapError> {
        let mut done = 0;
        while let Some((pages, touch)) = registers.alike(done) {
            let access = match touch {
                Touch::Read => Access::Read,
                Touch::Write => Access::ReadWrite,
            };
            let at = VirtAddr(start.0 + (done as u64) * PAGE);
            let piece = registers.part(pages.clone()).ok_or(MapError::BadRange)?;
            if let Err(error) = self.map_held(at, &Held::Registers(piece), access, access) {
                if done > 0 {
                    drop(self.unmap(start, done as u64));
                }
                return Err(error);
            }
            done = pages.end;
        }
        Ok(())
    }
}
