//! A question with one answer: the addresses of a name, or how long an echo takes.
//!
//! ```text
//!   client: asks (RESOLVE, PING) ──> Opening ──the service answers──> Over
//! ```
//!
//! The object has one page. The client sleeps as the reader of a socket does; nobody writes
//! anything but the service its answer, once: how it ended, then either a number of nanoseconds or
//! how many addresses there are, then these.

use core::net::{IpAddr, SocketAddr};

use super::layout::{ANSWER, NAME, STATE};
use super::{Ending, SocketError, State, Wake, address};
use crate::shared::{Bytes, Words};

/// Most bytes of a name (RFC 1035 section 2.3.4, as text).
pub const NAME_MAX: usize = 253;
/// Most addresses of an answer.
pub const ADDRESSES_MAX: usize = 8;

/// Not zero while the client sleeps: where the reader of a socket says so.
const CLIENT_SLEEPS: usize = 6 * 8;

/// Some addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    all: [IpAddr; ADDRESSES_MAX],
    count: usize,
}

impl Addresses {
    /// The first [`ADDRESSES_MAX`] of these.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut this = Self { all: [IpAddr::from([0; 4]); ADDRESSES_MAX], count: 0 };
        for (slot, address) in this.all.iter_mut().zip(addresses) {
            *slot = address;
            this.count += 1;
        }
        this
    }

    /// They.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.all[..self.count]
    }
}

/// The client's side.
#[derive(Clone, Copy, Debug)]
pub struct Query;

impl Query {
    /// Lays the name down, before it asks. `None`: too long for one.
    pub fn set_name(self, memory: &impl Bytes, name: &str) -> Option<()> {
        let fits = !name.is_empty() && name.len() <= NAME_MAX;
        fits.then(|| memory.write(NAME, name.as_bytes()))
    }

    /// Whether there is an answer.
    pub fn is_over(self, words: &impl Words) -> bool {
        State::from_word(words.load(STATE)) == State::Over
    }

    /// Says that it is about to sleep: then it looks once more ([`Query::is_over`]).
    pub fn fall_asleep(self, words: &impl Words) {
        words.swap(CLIENT_SLEEPS, 1);
    }

    fn ending(words: &impl Words) -> Result<(), SocketError> {
        match Ending::from_word(words.load(ANSWER)) {
            Some(Ending::Done) => Ok(()),
            Some(Ending::Failed(error)) => Err(error),
            None => Err(SocketError::Gone),
        }
    }

    /// The addresses of the name, once it is over.
    pub fn addresses(self, words: &impl Words) -> Result<Addresses, SocketError> {
        Self::ending(words)?;
        let count = words.load(ANSWER + 1).min(ADDRESSES_MAX as u64) as usize;
        let address = |index| address::load(words, ANSWER + 2 + 3 * index);
        Ok(Addresses::new((0..count).filter_map(address).map(|address| address.ip())))
    }

    /// Nanoseconds from the request to its echo, once it is over.
    pub fn round_trip_ns(self, words: &impl Words) -> Result<u64, SocketError> {
        Self::ending(words)?;
        Ok(words.load(ANSWER + 1))
    }
}

/// The service's side.
#[derive(Clone, Copy, Debug)]
pub struct QueryServer;

impl QueryServer {
    /// The name's bytes, which may be anything; no more than [`NAME_MAX`].
    pub fn name(self, memory: &impl Bytes, into: &mut [u8]) {
        let count = into.len().min(NAME_MAX);
        memory.read(NAME, &mut into[..count]);
    }

    /// Answers with addresses.
    pub fn found(self, words: &impl Words, addresses: &Addresses) -> Wake {
        let all = addresses.as_slice();
        words.store(ANSWER + 1, all.len() as u64);
        for (index, ip) in all.iter().enumerate() {
            address::store(words, ANSWER + 2 + 3 * index, Some(SocketAddr::new(*ip, 0)));
        }
        self.answer(words, Ending::Done)
    }

    /// Answers with a time.
    pub fn echoed(self, words: &impl Words, round_trip_ns: u64) -> Wake {
        words.store(ANSWER + 1, round_trip_ns);
        self.answer(words, Ending::Done)
    }

    /// Answers with an error.
    pub fn failed(self, words: &impl Words, error: SocketError) -> Wake {
        self.answer(words, Ending::Failed(error))
    }

    fn answer(self, words: &impl Words, ending: Ending) -> Wake {
        words.store(ANSWER, ending.to_word());
        words.swap(STATE, State::Over.to_word());
        if words.load(CLIENT_SLEEPS) == 0 {
            return Wake::No;
        }
        words.store(CLIENT_SLEEPS, 0);
        Wake::Ring
    }
}
