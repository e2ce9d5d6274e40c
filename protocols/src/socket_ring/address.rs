//! An address and a port as three words.
//!
//! | word | |
//! |---|---|
//! | 0 | port in bits 0-15, family (4 or 6; 0: no address) in bits 16-23 |
//! | 1, 2 | the address's bytes in the order of the network, IPv4 in the first four |
//!
//! All other bits are zero.

use core::net::{IpAddr, SocketAddr};

use crate::shared::Words;

const V4: u8 = 4;
const V6: u8 = 6;

/// The words.
pub(super) fn to_words(address: SocketAddr) -> [u64; 3] {
    let mut bytes = [0; 16];
    let family = match address.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            V4
        }
        IpAddr::V6(ip) => {
            bytes = ip.octets();
            V6
        }
    };
    let [first, second] = halves(bytes);
    [u64::from(address.port()) | u64::from(family) << 16, first, second]
}

/// An address from words that may be anything. `None`: they are none, or say that there is none.
pub(super) fn from_words([what, first, second]: [u64; 3]) -> Option<SocketAddr> {
    let (port, family) = (what as u16, u8::try_from(what >> 16).ok()?);
    let ip = match family {
        V4 if second == 0 => {
            let [a, b, c, d, rest @ ..] = first.to_le_bytes();
            if rest != [0; 4] {
                return None;
            }
            IpAddr::from([a, b, c, d])
        }
        V6 => {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&first.to_le_bytes());
            bytes[8..].copy_from_slice(&second.to_le_bytes());
            IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let ([first, second], _) = bytes.as_chunks::<8>() else { return [0; 2] };
    [u64::from_le_bytes(*first), u64::from_le_bytes(*second)]
}

/// Writes them one after the other.
pub(super) fn store(words: &impl Words, at: usize, address: Option<SocketAddr>) {
    let values = address.map_or([0; 3], to_words);
    for (word, value) in values.into_iter().enumerate() {
        words.store(at + word, value);
    }
}

/// Reads what [`store`] wrote.
pub(super) fn load(words: &impl Words, at: usize) -> Option<SocketAddr> {
    from_words(core::array::from_fn(|word| words.load(at + word)))
}
