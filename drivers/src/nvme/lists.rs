//! How a command names its memory: one page or two in the command itself, more in a list.
//!
//! Each slot keeps its list once it has needed one, so a transfer neither allocates nor zeroes. A
//! list is written while its slot is reserved: no device reads it then, since a slot is reserved
//! only after its last command ended or the controller stopped.

use alloc::boxed::Box;

use hal::dma::{DeviceAddress, DmaDomain, DmaError, DmaRing, Loan};
use protocols::nvme::{LIST_ENTRIES, ListPlan, PAGE_BYTES, Prp};
use spin::Mutex;

struct List {
    ring: DmaRing<1>,
    address: DeviceAddress,
}

pub(super) struct Lists {
    dma: DmaDomain,
    slots: Box<[Mutex<Option<List>>]>,
}

impl Lists {
    /// For so many slots; none has a list yet.
    pub(super) fn new(dma: DmaDomain, slots: usize) -> Self {
        Self { dma, slots: (0..slots).map(|_| Mutex::new(None)).collect() }
    }

    /// The words that name `loan`, for the command of slot `slot`, which must be reserved.
    pub(super) fn describe(&self, slot: usize, loan: &Loan) -> Result<Prp, DmaError> {
        match describe_short(loan) {
            Ok(prp) => Ok(prp),
            Err(plan) => Ok(Prp { first: loan.page(0).0, second: self.fill(slot, plan, loan)?.0 }),
        }
    }

    #[inline(never)]
    fn fill(&self, slot: usize, plan: ListPlan, loan: &Loan) -> Result<DeviceAddress, DmaError> {
        let mut kept = self.slots.get(slot).ok_or(DmaError::BadSize)?.lock();
        let words = plan.pages() * LIST_ENTRIES;
        let list = match kept.take() {
            Some(list) if list.ring.entries() >= words => list,
            short => {
                short.into_iter().for_each(|list| list.ring.retire());
                let mut ring = self.dma.ring::<1>(words)?;
                let address = ring.address();
                List { ring, address }
            }
        };
        let List { ring, address } = kept.insert(list);
        for entry in 0..plan.entries() {
            ring.set_word(plan.word(entry), 0, loan.page(entry + 1).0);
        }
        for (word, page) in plan.links() {
            ring.set_word(word, 0, address.plus((page * PAGE_BYTES) as u64).0);
        }
        Ok(*address)
    }

    /// The controller has stopped, and no slot will be used again.
    pub(super) fn retire(&self) {
        for list in &self.slots {
            if let Some(list) = list.lock().take() {
                list.ring.retire();
            }
        }
    }
}

/// The words that name one page or two. `Err`: there are more, and a list is needed.
#[inline(always)]
pub(super) fn describe_short(loan: &Loan) -> Result<Prp, ListPlan> {
    let bytes = loan.bytes();
    if bytes <= PAGE_BYTES {
        return Ok(Prp { first: loan.first_page().0, second: 0 });
    }
    let pages = bytes.div_ceil(PAGE_BYTES);
    match ListPlan::new(pages) {
        Some(plan) => Err(plan),
        None => {
            let second = if pages < 2 { 0 } else { loan.page(1).0 };
            Ok(Prp { first: loan.page(0).0, second })
        }
    }
}
