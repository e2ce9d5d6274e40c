//! The tables against a model: a map from pages to frames.

use super::super::entry::{Backing, Caching};
use super::*;
use proptest::prelude::*;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// Tables on the host; frame `n` is the `n`th ever allocated.
struct Host {
    tables: RefCell<Vec<*const Table>>,
    allowed: Cell<usize>,
}

impl Host {
    fn new(allowed: usize) -> Self {
        Self { tables: RefCell::new(Vec::new()), allowed: Cell::new(allowed) }
    }
}

impl TableFrames for Host {
    fn allocate(&self) -> Option<FrameNumber> {
        self.allowed.set(self.allowed.get().checked_sub(1)?);
        let table: Box<Table> = Box::new([const { AtomicU64::new(0) }; 512]);
        self.tables.borrow_mut().push(Box::into_raw(table));
        Some(FrameNumber(self.tables.borrow().len() as u64 - 1))
    }
    fn table(&self, frame: FrameNumber) -> &Table {
        // SAFETY: leaked until the host is dropped, and `&self` outlives the reference.
        unsafe { &*self.tables.borrow()[frame.0 as usize] }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for table in self.tables.get_mut() {
            // SAFETY: from `Box::into_raw` above, once.
            drop(unsafe { Box::from_raw(table.cast_mut()) });
        }
    }
}

fn small(frame: u64, access: Access) -> Entry {
    Entry::page(
        FrameNumber(frame),
        PageSize::Small,
        access,
        Caching::WriteBack,
        Owner::User,
        Backing::Owned,
    )
}

#[test]
fn pages_of_all_sizes() {
    let host = Host::new(100);
    let tables = Tables::new(host.allocate().unwrap(), &host);
    let page = |frame, size| {
        Entry::page(
            FrameNumber(frame),
            size,
            Access::ReadWrite,
            Caching::WriteBack,
            Owner::Kernel,
            Backing::Borrowed,
        )
    };
    let base = 0xffff_8000_0000_0000;
    for (at, frame, size) in [
        (0, 0, PageSize::Huge),
        (1 << 30, 1 << 18, PageSize::Large),
        ((1 << 30) + (2 << 20), (1 << 18) + 512, PageSize::Small),
    ] {
        tables.map(VirtAddr(base + at), size, page(frame, size), Owner::Kernel).unwrap();
    }
    let frame = |at| tables.translate(VirtAddr(base + at)).map(|t| t.frame.0);
    assert_eq!(frame(0x3fff_f123), Some(0x3ffff));
    assert_eq!(frame((1 << 30) + 0x1f_f000), Some((1 << 18) + 0x1ff));
    assert_eq!(frame((1 << 30) + (2 << 20)), Some((1 << 18) + 512));
    assert_eq!(frame((1 << 30) + (2 << 20) + 0x1000), None);
    let again = tables.map(
        VirtAddr(base + 0x1000),
        PageSize::Small,
        page(9, PageSize::Small),
        Owner::Kernel,
    );
    assert_eq!(again, Err(MapError::AlreadyMapped));
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64),
    Unmap(u64),
    Protect(u64),
}

/// Pages from a few tables of every level, so that they fill and empty.
fn page() -> impl Strategy<Value = u64> {
    (0..2_u64, 0..2_u64, 0..2_u64, 0..3_u64)
        .prop_map(|(a, b, c, d)| (a * 255) << 39 | (b * 511) << 30 | c << 21 | d << 12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (page(), 0..1000_u64).prop_map(|(page, frame)| Step::Map(page, frame)),
        2 => page().prop_map(Step::Unmap),
        1 => page().prop_map(Step::Protect),
    ]
}

proptest! {
    #[test]
    fn agree_with_a_map(steps in prop::collection::vec(step(), 0..120), allowed in 1..40_usize) {
        let host = Host::new(allowed);
        let root = host.allocate().unwrap();
        let tables = Tables::new(root, &host);
        let mut model = BTreeMap::new();
        let mut unlinked = BTreeSet::new();
        for step in steps {
            match step {
                Step::Map(page, frame) => {
                    let result = tables.map(
                        VirtAddr(page), PageSize::Small, small(frame, Access::ReadWrite), Owner::User);
                    match result {
                        Ok(()) => prop_assert_eq!(model.insert(page, (frame, Access::ReadWrite)), None),
                        Err(MapError::AlreadyMapped) => prop_assert!(model.contains_key(&page)),
                        Err(error) => {
                            prop_assert_eq!(error, MapError::OutOfFrames);
                            prop_assert_eq!(host.allowed.get(), 0);
                        }
                    }
                }
                Step::Unmap(page) => {
                    let entry = tables.unmap(VirtAddr(page), Owner::User, |table| {
                        unlinked.insert(table.0);
                    });
                    prop_assert_eq!(entry.map(|e| e.frame().0), model.remove(&page).map(|(f, _)| f));
                }
                Step::Protect(page) => {
                    let was = tables.protect(VirtAddr(page), Access::ReadExecute);
                    prop_assert_eq!(was, model.get(&page).map(|(_, access)| *access));
                    if let Some((_, access)) = model.get_mut(&page) {
                        *access = Access::ReadExecute;
                    }
                }
            }
            for (page, (frame, access)) in &model {
                let found = tables.translate(VirtAddr(*page + 0x7ff));
                prop_assert_eq!(found.map(|t| (t.frame.0, t.access)), Some((*frame, *access)));
            }
        }
        // Every table is linked or was unlinked, once; every page is found once.
        let mut pages = 0;
        let mut linked = BTreeSet::new();
        tables.visit_lower_half(|visited| match visited {
            Visited::Page(_) => pages += 1,
            Visited::Table(table) => assert!(linked.insert(table.0)),
        });
        prop_assert_eq!(pages, model.len());
        prop_assert!(linked.is_disjoint(&unlinked));
        prop_assert_eq!(linked.len() + unlinked.len() + 1, host.tables.borrow().len());
        if model.is_empty() && host.allowed.get() > 0 {
            prop_assert!(linked.is_empty());
        }
    }
}
