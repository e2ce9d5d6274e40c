//! What a process has mapped: memory of its own, shared pages, registers of devices.

use super::{LARGE_BATCH, RESERVE_FRAMES, Space, access, error, subtract};
use hal::dma::SharedPages;
use hal::memory::regions::Range;
use hal::memory::{VirtAddr, frames};
use hal::pci::LentRegisters;
use hal::x86_64::paging::{Access, AddressSpace, MapError};
use protocols::abi::{Error, PAGE, Protection};

/// Pages zeroed between two chances for other tasks.
const BATCH: usize = 64;

/// What is mapped.
#[derive(Debug)]
pub enum Backing {
    /// So many new pages of zeros.
    Zeros(usize),
    /// Pages that others have too, which may at most be used so.
    Pages(SharedPages, Protection),
    /// Registers, for reading and writing.
    Registers(LentRegisters),
}

impl Backing {
    fn count(&self) -> usize {
        match self {
            Self::Zeros(count) => *count,
            Self::Pages(pages, _) => pages.count(),
            Self::Registers(registers) => registers.count(),
        }
    }

    /// Frames that it takes, and the most pages that are mapped at once.
    const fn cost(&self) -> (u64, usize) {
        match self {
            Self::Zeros(count) => (*count as u64, BATCH),
            Self::Pages(..) | Self::Registers(_) => (0, LARGE_BATCH as usize),
        }
    }

    /// Maps those of `piece` at `start`.
    fn map(
        &self,
        tables: &AddressSpace,
        start: VirtAddr,
        piece: core::ops::Range<usize>,
        now: Access,
    ) -> Result<(), Error> {
        let mapped = match self {
            Self::Zeros(_) if frames::free_in_pool() <= RESERVE_FRAMES => {
                Err(MapError::OutOfFrames)
            }
            Self::Zeros(_) => tables.map_zeroed(start, piece.len() as u64, now),
            Self::Pages(pages, most) => {
                let pages = pages.part(piece).ok_or(Error::InvalidArgument)?;
                tables.map_shared(start, &pages, now, access(*most))
            }
            Self::Registers(registers) => {
                let registers = registers.part(piece).ok_or(Error::InvalidArgument)?;
                tables.map_registers(start, &registers)
            }
        };
        mapped.map_err(error)
    }
}

impl Space {
    /// Maps `what` at `address`, or where there is room if that is zero, if `commit`, which is told
    /// where, agrees. On error `undo` is told where.
    pub async fn map(
        &self,
        what: Backing,
        address: u64,
        protection: Protection,
        commit: impl FnOnce(Range) -> Result<(), Error>,
        undo: impl FnOnce(Range),
    ) -> Result<u64, Error> {
        let bytes = (what.count() * PAGE) as u64;
        let range = Range::new(address, bytes)?;
        let (frames, batch) = what.cost();
        if frames::free_in_pool() <= RESERVE_FRAMES + frames {
            return Err(Error::OutOfMemory);
        }
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        let mut coming = self.expect(range.page_count())?;
        let tables = self.tables()?;
        let range = {
            let mut regions = self.regions.lock();
            let range = if address == 0 { regions.find(bytes)? } else { range };
            regions.insert(range, protection)?;
            range
        };
        self.revoked.lock().is_possible |= frames == 0;
        // Before it is mapped: a revoke from here on waits for our turn's end.
        if let Err(error) = commit(range) {
            self.regions.lock().take_back(range);
            return Err(error);
        }
        let mut done = 0;
        while done < what.count() {
            let end = what.count().min(done + batch);
            let at = range.start + (done * PAGE) as u64;
            if let Err(error) = what.map(&tables, VirtAddr(at), done..end, access(protection)) {
                self.take_away(Range { start: range.start, end: at }).await?;
                self.regions.lock().take_back(range);
                subtract(&mut self.revoked.lock().claimed, range);
                undo(range);
                return Err(error);
            }
            coming.arrived((end - done) as u64);
            done = end;
            if done < what.count() {
                executor::yield_now().await;
            }
        }
        Ok(range.start)
    }
}
