//! Pages of a session's memory that nobody else uses for the moment.

use alloc::rc::Rc;
use core::ops::{Deref, DerefMut};

use super::Session;
use crate::abi::PAGE;

/// Data pages of a session, and that somebody has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    /// Place among the data pages.
    first: u32,
    count: u32,
}

impl Session {
    /// Nobody uses these pages any more.
    pub(super) fn give_back(&self, pages: Pages) {
        let (first, count) = (pages.first as usize, pages.count as usize);
        self.taken.borrow_mut()[first..first + count].fill(false);
    }
}

/// An owned buffer of whole pages; while it is one, no operation uses them.
pub struct Buffer {
    session: Rc<Session>,
    pages: Pages,
}

impl Buffer {
    /// The first `count` pages that are free together.
    pub(super) fn take(session: &Rc<Session>, count: u32) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let mut taken = session.taken.borrow_mut();
        let first = taken.windows(count as usize).position(|pages| !pages.contains(&true))?;
        taken[first..first + count as usize].fill(true);
        Some(Self::of(session, Pages { first: first as u32, count }))
    }

    /// The buffer of pages that an operation gives back.
    pub(super) fn of(session: &Rc<Session>, pages: Pages) -> Self {
        Self { session: session.clone(), pages }
    }

    /// Its pages, for an operation, which has to give them back.
    pub(super) fn into_pages(self) -> Pages {
        let pages = self.pages;
        let mut this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and not used again, so this is the one drop of the field.
        unsafe { core::ptr::drop_in_place(&raw mut this.session) };
        pages
    }

    /// First page in the memory object, and how many.
    pub(super) fn place(&self) -> (u32, u32) {
        let data = self.session.client.borrow().layout().first_data_page();
        (data + self.pages.first, self.pages.count)
    }

    /// Whether its pages are of that session.
    pub(super) fn is_of(&self, session: &Rc<Session>) -> bool {
        Rc::ptr_eq(&self.session, session)
    }

    fn start(&self) -> *mut u8 {
        let (first, _) = self.place();
        self.session.memory.base().wrapping_add(first as usize * PAGE)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped read-write as long as the session lives, which this holds; marked as taken,
        // so no other buffer has these pages; no operation has them, or its slot would have this
        // value; and nobody else has the memory object, which went to the service when it was made.
        unsafe { core::slice::from_raw_parts(self.start(), self.pages.count as usize * PAGE) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(self.start(), self.pages.count as usize * PAGE) }
    }
}

impl core::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Buffer({} pages)", self.pages.count)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.session.give_back(self.pages);
    }
}
