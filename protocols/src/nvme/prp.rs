//! Physical region pages: how a command names its memory (NVMe 1.4, section 4.3).
//!
//! Here memory begins at a page, which leaves three shapes:
//!
//! | pages | first | second |
//! |---|---|---|
//! | 1 | the page | none |
//! | 2 | the first page | the second page |
//! | more | the first page | a list of all the others |
//!
//! A list that does not fit in a page goes on in another one: the last entry of a full page is then
//! the address of the next. A [`ListPlan`] says what lies where.

use super::Page;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Entries of a list that fills one page.
pub const LIST_ENTRIES: usize = PAGE_BYTES / 8;

/// Entries of a list page that goes on in another one.
const LINKED_ENTRIES: usize = LIST_ENTRIES - 1;

/// The two words of a command that name its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prp {
    /// The first page.
    pub first: u64,
    /// The second page, or the list of all but the first.
    pub second: u64,
}

impl Prp {
    /// No memory.
    pub const NONE: Self = Self { first: 0, second: 0 };

    /// One page.
    pub const fn one(page: Page) -> Self {
        Self { first: page.0, second: 0 }
    }
}

/// Where the entries of a list lie, counted in words of 64 bits from its beginning. Its pages are
/// taken to follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlan {
    entries: usize,
}

impl ListPlan {
    /// The list for a transfer of `pages` pages; `None`: it needs none.
    pub const fn new(pages: usize) -> Option<Self> {
        if pages > 2 { Some(Self { entries: pages - 1 }) } else { None }
    }

    /// How many entries it has: entry `n` is page `n + 1` of the transfer.
    pub const fn entries(self) -> usize {
        self.entries
    }

    /// How many pages it takes.
    pub const fn pages(self) -> usize {
        (self.entries - 1).div_ceil(LINKED_ENTRIES)
    }

    /// The word of entry `entry`.
    pub const fn word(self, entry: usize) -> usize {
        let last = self.pages() - 1;
        let page = entry / LINKED_ENTRIES;
        let page = if page < last { page } else { last };
        page * LIST_ENTRIES + (entry - page * LINKED_ENTRIES)
    }

    /// The words that hold addresses of further pages of the list, and which pages these are.
    pub fn links(self) -> impl Iterator<Item = (usize, usize)> {
        (1..self.pages()).map(|page| (page * LIST_ENTRIES - 1, page))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn lists_of_one_page_and_more() {
        assert_eq!((ListPlan::new(1), ListPlan::new(2)), (None, None));
        let plan = |pages| ListPlan::new(pages).expect("it needs a list");
        assert_eq!((plan(3).entries(), plan(3).pages(), plan(3).word(1)), (2, 1, 1));
        assert_eq!((plan(513).pages(), plan(513).word(511)), (1, 511));
        assert_eq!((plan(514).pages(), plan(514).word(510), plan(514).word(511)), (2, 510, 512));
        assert_eq!((plan(1024).pages(), plan(1025).pages()), (2, 3));
        assert!(plan(1025).links().eq([(511, 1), (1023, 2)]));
    }

    proptest! {
        /// Walking a list as a controller does finds every page once, in order.
        #[test]
        fn a_controller_finds_every_page(pages in 3usize..3000) {
            let plan = ListPlan::new(pages).expect("it needs a list");
            let mut words = vec![None; plan.pages() * LIST_ENTRIES];
            for entry in 0..plan.entries() {
                prop_assert_eq!(words[plan.word(entry)].replace(entry), None);
            }
            for (word, page) in plan.links() {
                prop_assert_eq!(words[word].replace(1_000_000 + page), None);
            }
            let mut at = 0;
            for entry in 0..plan.entries() {
                if at % LIST_ENTRIES == LIST_ENTRIES - 1 && entry + 1 < plan.entries() {
                    let page = words[at].expect("a link") - 1_000_000;
                    at = page * LIST_ENTRIES;
                }
                prop_assert_eq!(words[at], Some(entry));
                at += 1;
            }
        }
    }
}
