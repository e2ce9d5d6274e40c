//! Datagrams in a ring: a head of three words, then the bytes, filled up to whole words.
//!
//! | word | |
//! |---|---|
//! | 0 | bytes in bits 0-31; port in bits 32-47, family in bits 48-55, as in an address |
//! | 1, 2 | the address |
//!
//! To the network it is the address it goes to, from the network the one it came from. A record
//! takes at most half of the ring: that much is free when a writer that waits for room is rung.

use core::net::SocketAddr;

use super::ring::{Reader, Writer};
use super::{Corrupt, address};
use crate::shared::Bytes;

/// Bytes before a datagram's own.
pub const DATAGRAM_HEADER: usize = 24;

/// Most bytes of a datagram in a ring of so many bytes; never more than UDP has.
pub const fn datagram_max(capacity: usize) -> usize {
    let most = capacity / 2 - DATAGRAM_HEADER;
    if most < u16::MAX as usize { most } else { u16::MAX as usize }
}

/// Why a datagram is not in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum DatagramError {
    /// There is no room for it now.
    #[error("no room for the datagram now")]
    Full,
    /// There never is: [`datagram_max`].
    #[error("the datagram is too long for the ring")]
    TooLong,
    /// The other side's counters make no sense.
    #[error("{0}")]
    Corrupt(#[from] Corrupt),
}

/// The head of a datagram that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it goes, or came from.
    pub peer: SocketAddr,
    /// Its bytes. No more than there are: only [`Reader::datagram`] makes one.
    length: usize,
}

impl Datagram {
    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty)] // it is no collection
    pub const fn len(&self) -> usize {
        self.length
    }
}

/// Bytes of a record.
const fn record(length: usize) -> usize {
    DATAGRAM_HEADER + length.next_multiple_of(8)
}

impl Writer {
    /// Whether any datagram there may be has room.
    pub fn has_room_for_datagram(
        &mut self,
        words: &impl crate::shared::Words,
    ) -> Result<bool, Corrupt> {
        Ok(self.room(words)? >= self.capacity() / 2)
    }

    /// Writes a datagram, whole. The reader sees it after [`Writer::publish`].
    pub fn write_datagram(
        &mut self,
        memory: &impl Bytes,
        peer: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), DatagramError> {
        if bytes.len() > datagram_max(self.capacity()) {
            return Err(DatagramError::TooLong);
        }
        let record = record(bytes.len());
        if self.room(memory)? < record {
            return Err(DatagramError::Full);
        }
        let [what, first, second] = address::to_words(peer);
        let what = what << 32 | bytes.len() as u64;
        let mut head = [0; DATAGRAM_HEADER];
        let (places, _) = head.as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip([what, first, second]) {
            *place = word.to_le_bytes();
        }
        self.lay(memory, 0, &head);
        self.lay(memory, DATAGRAM_HEADER as u64, bytes);
        self.advance(record);
        Ok(())
    }
}

impl Reader {
    /// The head of the next datagram, which stays where it is.
    pub fn datagram(&mut self, memory: &impl Bytes) -> Result<Option<Datagram>, Corrupt> {
        let available = self.available(memory)?;
        if available == 0 {
            return Ok(None);
        }
        if available < DATAGRAM_HEADER {
            return Err(Corrupt);
        }
        // Read once: the writer may be changing it.
        let mut head = [0; DATAGRAM_HEADER];
        self.peek(memory, 0, &mut head);
        let (words, _) = head.as_chunks::<8>();
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        let length = (word(0) & 0xffff_ffff) as usize;
        let peer = address::from_words([word(0) >> 32, word(1), word(2)]).ok_or(Corrupt)?;
        if length > datagram_max(self.capacity()) || record(length) > available {
            return Err(Corrupt);
        }
        Ok(Some(Datagram { peer, length }))
    }

    /// Takes the datagram whose head this is: as many of its bytes as `into` holds, the rest is
    /// gone. Its room is free after [`Reader::publish`].
    pub fn take_datagram(&mut self, memory: &impl Bytes, datagram: Datagram, into: &mut [u8]) {
        let count = datagram.length.min(into.len());
        self.peek(memory, DATAGRAM_HEADER as u64, &mut into[..count]);
        self.advance(record(datagram.length));
    }
}
