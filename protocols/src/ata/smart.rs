//! A disk's attributes (SMART READ DATA). Where they stand and what they mean is the makers' habit
//! rather than a standard; temperature is the one they agree on.

use super::SECTOR_BYTES;
use crate::fields::u8_at;

/// Why the attributes cannot be used. Do without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum SmartError {
    /// Not 512 bytes.
    #[error("a disk's attributes have {SECTOR_BYTES} bytes")]
    Length,
    /// The checksum they carry is not theirs.
    #[error("the attributes were damaged on the way")]
    Checksum,
}

/// What the attributes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmartData {
    /// How warm it is, in degrees Celsius, if it says so.
    pub celsius: Option<u8>,
}

/// Attributes: where they begin, how long each is, how many there are.
const FIRST: usize = 2;
const LENGTH: usize = 12;
const COUNT: usize = 30;
/// The raw value within one.
const RAW: usize = 5;
/// Temperature, and the one of some makers who have no other.
const TEMPERATURES: [u8; 2] = [194, 190];

impl SmartData {
    /// Reads them.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, SmartError> {
        if bytes.len() != SECTOR_BYTES {
            return Err(SmartError::Length);
        }
        if bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
            return Err(SmartError::Checksum);
        }
        let raw = |wanted: u8| {
            let mut places = (0..COUNT).map(|index| FIRST + index * LENGTH);
            u8_at(bytes, places.find(|at| u8_at(bytes, *at) == Some(wanted))? + RAW)
        };
        Ok(Self { celsius: TEMPERATURES.into_iter().find_map(raw).filter(|value| *value != 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn temperature() {
        let mut bytes = [0; SECTOR_BYTES];
        assert_eq!(SmartData::new_checked(&bytes), Ok(SmartData { celsius: None }));
        (bytes[14], bytes[19], bytes[511]) = (190, 40, 26);
        assert_eq!(SmartData::new_checked(&bytes), Ok(SmartData { celsius: Some(40) }));
        (bytes[26], bytes[31], bytes[511]) = (194, 35, 53);
        assert_eq!(SmartData::new_checked(&bytes), Ok(SmartData { celsius: Some(35) }));
        bytes[0] = 1;
        assert_eq!(SmartData::new_checked(&bytes), Err(SmartError::Checksum));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 500..520)) {
            let mut bytes = bytes;
            let _ = SmartData::new_checked(&bytes);
            let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            bytes[0] = bytes[0].wrapping_sub(sum);
            prop_assert_eq!(SmartData::new_checked(&bytes).is_ok(), bytes.len() == SECTOR_BYTES);
        }
    }
}
