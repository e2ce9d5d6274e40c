//! The receive buffer (sections 4.1 and 5.7): frames one behind the other, each with a header.
//!
//! ```text
//!   │ header 4 │ frame │ check sequence 4 │ up to 3 │ header │ …   around the end of the buffer
//!   ^ place read so far                             ^ the next place
//! ```

/// Bytes of the buffer.
pub const BUFFER_BYTES: usize = 64 << 10;
/// Bytes behind it that the device may write, too.
pub const BUFFER_SPARE_BYTES: usize = 16;
/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 4;
/// Bytes of the frame check sequence behind it.
pub const CHECK_BYTES: usize = 4;
/// The longest frame that is believed, without its check sequence: 1514 bytes and a VLAN tag.
pub const LONGEST_FRAME: usize = 1518;
/// The shortest: an Ethernet header.
const SHORTEST_FRAME: usize = 14;

/// The length in the header of a frame that is not all there yet.
const UNFINISHED: u32 = 0xfff0;

/// What is in the buffer makes no sense. What lies behind it can't be found any more: the receiver
/// has to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum HeaderError {
    /// It is not marked as good, and the device was told to pass on good ones only.
    #[error("a frame came with status {0:#06x}")]
    Status(u16),
    /// No frame has this length.
    #[error("a frame came with a length of {0} bytes")]
    Length(u16),
}

/// What the buffer has at the place read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A frame of so many bytes, without its check sequence.
    Frame(usize),
    /// One that is still being written.
    Unfinished,
}

impl Arrival {
    /// Reads the header before a frame. `available` bytes, the header included, have been written.
    pub const fn new_checked(header: u32, available: usize) -> Result<Self, HeaderError> {
        let (status, length) = (header & 0xffff, header >> 16);
        if length == UNFINISHED || available < HEADER_BYTES {
            return Ok(Self::Unfinished);
        }
        // Good, and none of: alignment, check sequence, too long, too short, invalid symbol.
        if status & 0b11_1111 != 1 {
            return Err(HeaderError::Status(status as u16));
        }
        let bytes = (length as usize).saturating_sub(CHECK_BYTES);
        if bytes < SHORTEST_FRAME || bytes > LONGEST_FRAME {
            return Err(HeaderError::Length(length as u16));
        }
        if HEADER_BYTES + bytes + CHECK_BYTES > available {
            return Ok(Self::Unfinished);
        }
        Ok(Self::Frame(bytes))
    }
}

/// How far the buffer has been read: where the next header is. Always a multiple of 4, so that a
/// header is in one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPlace(u16);

impl ReadPlace {
    /// Where it is in the buffer, in bytes.
    pub const fn offset(self) -> usize {
        self.0 as usize
    }

    /// Where `bytes` bytes further on are.
    pub const fn plus(self, bytes: usize) -> usize {
        (self.0 as usize + bytes) % BUFFER_BYTES
    }

    /// How many bytes lie between it and `written`, as far as the device says it has written: not
    /// always up to where the next header will be.
    pub const fn available(self, written: u16) -> usize {
        (written.wrapping_add(3) & !3).wrapping_sub(self.0) as usize
    }

    /// The place behind a frame of `bytes` bytes that is here.
    #[must_use]
    pub const fn after(self, bytes: usize) -> Self {
        let whole = (HEADER_BYTES + bytes + CHECK_BYTES).next_multiple_of(4);
        Self(self.plus(whole) as u16)
    }

    /// What the device is told: it wants the place less 16.
    pub const fn told(self) -> u16 {
        self.0.wrapping_sub(16)
    }

    /// The place that the device was told.
    pub const fn of_told(told: u16) -> Self {
        Self(told.wrapping_add(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn header(status: u16, length: u16) -> u32 {
        (length as u32) << 16 | status as u32
    }

    #[test]
    fn headers() {
        let frame = |status, length| Arrival::new_checked(header(status, length), 2000);
        assert_eq!(frame(0x0001, 64), Ok(Arrival::Frame(60)));
        assert_eq!(frame(0xe001, 1518), Ok(Arrival::Frame(1514)), "for a group, us, everybody");
        assert_eq!(frame(0x0001, 0xfff0), Ok(Arrival::Unfinished));
        assert_eq!(frame(0x0005, 64), Err(HeaderError::Status(5)));
        assert_eq!(frame(0x0000, 64), Err(HeaderError::Status(0)));
        assert_eq!(frame(0x0001, 17), Err(HeaderError::Length(17)));
        assert_eq!(frame(0x0001, 1523), Err(HeaderError::Length(1523)));
        assert_eq!(frame(0x0001, 0), Err(HeaderError::Length(0)));
        assert_eq!(Arrival::new_checked(header(1, 64), 67), Ok(Arrival::Unfinished));
        assert_eq!(Arrival::new_checked(header(1, 64), 68), Ok(Arrival::Frame(60)));
    }

    #[test]
    fn places() {
        let start = ReadPlace::default();
        assert_eq!(start.told(), 0xfff0, "as after a reset");
        assert_eq!(start.after(61).offset(), 72);
        assert_eq!(ReadPlace(0xfff8).after(60), ReadPlace(0x3c));
        assert_eq!(ReadPlace(0xfff8).plus(4), 0xfffc);
        assert_eq!(ReadPlace(0xfff8).plus(8), 0);
        assert_eq!(ReadPlace(0xfff8).available(0x10), 0x18);
    }

    proptest! {
        /// Whatever the device writes, what is believed was written, and the next place is another
        /// one and no further.
        #[test]
        fn what_is_believed_is_there(raw: u32, status_good: bool, place: u16, written: u16) {
            let place = ReadPlace(place & !3);
            prop_assert_eq!(ReadPlace::of_told(place.told()), place);
            let raw = if status_good { raw & 0xffff_e000 | 1 } else { raw };
            // A length that may be sensible.
            for raw in [raw, raw & 0x07ff_ffff] {
                let available = place.available(written);
                if let Ok(Arrival::Frame(bytes)) = Arrival::new_checked(raw, available) {
                    prop_assert!((SHORTEST_FRAME..=LONGEST_FRAME).contains(&bytes));
                    prop_assert!(HEADER_BYTES + bytes + CHECK_BYTES <= available);
                    let next = place.after(bytes);
                    prop_assert_ne!(next, place);
                    prop_assert_eq!(next.offset() % 4, 0);
                    prop_assert!(next.offset() < BUFFER_BYTES);
                }
            }
        }
    }
}
