//! Where what is in a socket's memory object, in words of 64 bits.
//!
//! ```text
//!   page 0          header: each word that one side writes and the other reads, a cache line each
//!   pages 1…        bytes to the network, then bytes from the network
//! ```
//!
//! A query's object has the same header, and the name or the answer where the bytes would be.

use crate::abi::PAGE;

/// Fewest bytes of a ring.
pub const CAPACITY_MIN: u32 = PAGE as u32;
/// Most bytes of a ring.
pub const CAPACITY_MAX: u32 = 4 << 20;

/// Words in a cache line.
const LINE: usize = 8;
/// Where the bytes begin.
const DATA: usize = PAGE;

/// Where a ring's four words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Who writes bytes: how many it has written, ever.
    pub put: usize,
    /// Who reads them: how many it has read, ever.
    pub taken: usize,
    /// Not zero while the reader sleeps until something is there. Set by it, cleared by who rings.
    pub reader_sleeps: usize,
    /// Not zero while the writer sleeps until there is room.
    pub writer_sleeps: usize,
    /// First byte.
    pub at: usize,
    /// Bytes, a power of two.
    pub capacity: u32,
}

/// Client: not zero once nothing comes after what it has written.
pub(super) const FINISHED: usize = 8 * LINE;
/// Service: [`super::State`].
pub(super) const STATE: usize = 9 * LINE;
/// Service: how what comes from the network has ended.
pub(super) const INPUT_END: usize = 10 * LINE;
/// Service: how what goes to the network has ended.
pub(super) const OUTPUT_END: usize = 11 * LINE;
/// Service: datagrams it could not send, ever.
pub(super) const UNSENT: usize = 12 * LINE;
/// Service, before the state is open: the two ends, each an [`super::address`].
pub(super) const LOCAL: usize = 13 * LINE;
/// The other of them.
pub(super) const PEER: usize = 14 * LINE;
/// Service, before a query is over: what came of it ([`super::Answer`]).
pub(super) const ANSWER: usize = 16 * LINE;
/// Where the name to resolve lies, as bytes.
pub(super) const NAME: usize = DATA / 2;

/// How much each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    to_network: u32,
    from_network: u32,
}

/// Why there are no such rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum LayoutError {
    /// Not a power of two from [`CAPACITY_MIN`] to [`CAPACITY_MAX`].
    #[error("a ring has a power of two of bytes, from {CAPACITY_MIN} to {CAPACITY_MAX}")]
    Capacity,
    /// The rings do not fit.
    #[error("the memory object is too small for its rings")]
    TooSmall,
}

impl Layout {
    /// Rings of so many bytes to and from the network.
    pub const fn new(to_network: u32, from_network: u32) -> Result<Self, LayoutError> {
        const fn is_good(capacity: u32) -> bool {
            capacity.is_power_of_two() && capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX
        }
        if is_good(to_network) && is_good(from_network) {
            Ok(Self { to_network, from_network })
        } else {
            Err(LayoutError::Capacity)
        }
    }

    /// The same, if an object of `bytes` bytes holds them.
    pub const fn within(self, bytes: usize) -> Result<Self, LayoutError> {
        if self.bytes() <= bytes { Ok(self) } else { Err(LayoutError::TooSmall) }
    }

    /// Bytes of the object, whole pages.
    pub const fn bytes(&self) -> usize {
        DATA + self.to_network as usize + self.from_network as usize
    }

    /// Bytes that go to the network.
    pub const fn to_network(&self) -> u32 {
        self.to_network
    }

    /// Bytes that come from the network.
    pub const fn from_network(&self) -> u32 {
        self.from_network
    }

    /// The ring to the network: the client writes, the service reads.
    pub(super) const fn outward(&self) -> Place {
        Place {
            put: 0,
            taken: LINE,
            reader_sleeps: 2 * LINE,
            writer_sleeps: 3 * LINE,
            at: DATA,
            capacity: self.to_network,
        }
    }

    /// The ring from the network: the service writes, the client reads.
    pub(super) const fn inward(&self) -> Place {
        Place {
            put: 4 * LINE,
            taken: 5 * LINE,
            reader_sleeps: 6 * LINE,
            writer_sleeps: 7 * LINE,
            at: DATA + self.to_network as usize,
            capacity: self.from_network,
        }
    }
}
