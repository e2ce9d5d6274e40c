//! Physical region pages: how a command names its memory (NVMe 1.4, section 4.3).
//!
//! Here memory is contiguous and begins at a page, which leaves three shapes:
//!
//! | pages | first | second |
//! |---|---|---|
//! | 1 | the page | none |
//! | 2 | the first page | the second page |
//! | more | the first page | a list of all the others, of at most one page |

use super::Page;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Entries of a list that fills one page.
pub const LIST_ENTRIES: usize = PAGE_BYTES / 8;

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

/// How many entries the list has that a transfer of `bytes` bytes needs. 0: it needs none. `None`:
/// it is too long for one list.
pub const fn list_entries(bytes: usize) -> Option<usize> {
    let pages = bytes.div_ceil(PAGE_BYTES);
    match pages {
        0..=2 => Some(0),
        _ if pages - 1 <= LIST_ENTRIES => Some(pages - 1),
        _ => None,
    }
}

/// The words for `bytes` contiguous bytes from `start` on; `list` is where the list is, should one
/// be needed (see [`list_entries`]): entry `n` of it is page `n + 1`.
pub const fn prp(start: Page, bytes: usize, list: Page) -> Prp {
    let second = match bytes.div_ceil(PAGE_BYTES) {
        0 | 1 => 0,
        2 => start.0.wrapping_add(PAGE_BYTES as u64),
        _ => list.0,
    };
    Prp { first: start.0, second }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Page = Page(0x10_0000);
    const LIST: Page = Page(0x7000);

    #[test]
    fn the_three_shapes() {
        assert_eq!(prp(START, 512, LIST), Prp { first: 0x10_0000, second: 0 });
        assert_eq!(prp(START, 4096, LIST), Prp::one(START));
        assert_eq!(prp(START, 4097, LIST), Prp { first: 0x10_0000, second: 0x10_1000 });
        assert_eq!(prp(START, 8193, LIST), Prp { first: 0x10_0000, second: 0x7000 });
        assert_eq!((list_entries(8192), list_entries(8193)), (Some(0), Some(2)));
        let most = (LIST_ENTRIES + 1) * PAGE_BYTES;
        assert_eq!((list_entries(most), list_entries(most + 1)), (Some(512), None));
    }

    proptest! {
        /// First page, second page or list cover exactly the pages of the transfer.
        #[test]
        fn pages_are_covered(bytes in 1usize..4 << 20) {
            let pages = bytes.div_ceil(PAGE_BYTES);
            match list_entries(bytes) {
                Some(0) => prop_assert_eq!(1 + usize::from(prp(START, bytes, LIST).second != 0), pages),
                Some(entries) => {
                    prop_assert_eq!(prp(START, bytes, LIST).second, LIST.0);
                    prop_assert_eq!(1 + entries, pages);
                }
                None => prop_assert!(bytes > (LIST_ENTRIES + 1) * PAGE_BYTES),
            }
        }
    }
}
