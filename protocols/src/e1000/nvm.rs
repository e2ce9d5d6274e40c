//! Where a station's address comes from: EEPROM, read word by word through EERD, and the receive
//! address registers, which the device fills from EEPROM or flash at its reset.
//!
//! EERD has two layouts (SDM, 13.4.4; 82574, 10.2.2.4). Which one a device has shows by itself:
//! word 0 is asked for alike in both, and the bit that says it is done differs. (QEMU's 82540EM
//! has the later one, a real 82540EM the earlier.)

/// Words whose sum is [`NVM_SUM`].
pub const NVM_WORDS: u8 = 64;
/// What the first [`NVM_WORDS`] words add up to.
pub const NVM_SUM: u16 = 0xbaba;

const START: u32 = 1;

/// Where the fields of EERD are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EepromLayout {
    /// Done: bit 4; address from bit 8 on.
    Early,
    /// Done: bit 1; address from bit 2 on.
    Late,
}

impl EepromLayout {
    /// Asks for word 0, in any layout.
    pub const PROBE: u32 = START;

    /// The layout, from an answer to [`PROBE`](Self::PROBE). `None`: not done yet.
    pub const fn of_answer(answer: u32) -> Option<Self> {
        if answer >> 1 & 1 == 1 {
            Some(Self::Late)
        } else if answer >> 4 & 1 == 1 {
            Some(Self::Early)
        } else {
            None
        }
    }

    /// Asks for a word.
    pub const fn request(self, word: u8) -> u32 {
        let word = word as u32;
        match self {
            Self::Early => START | word << 8,
            Self::Late => START | word << 2,
        }
    }

    /// The word, from an answer. `None`: not done yet.
    pub const fn word(self, answer: u32) -> Option<u16> {
        let done = match self {
            Self::Early => answer >> 4 & 1,
            Self::Late => answer >> 1 & 1,
        };
        if done == 1 { Some((answer >> 16) as u16) } else { None }
    }
}

/// The station's address in words 0 to 2.
pub const fn mac_of_words(words: [u16; 3]) -> [u8; 6] {
    let [[a, b], [c, d], [e, f]] =
        [words[0].to_le_bytes(), words[1].to_le_bytes(), words[2].to_le_bytes()];
    [a, b, c, d, e, f]
}

/// A receive address: what RAL and RAH hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveAddress {
    /// RAL.
    pub low: u32,
    /// RAH.
    pub high: u32,
}

impl ReceiveAddress {
    /// A valid one.
    pub const fn of_mac(mac: [u8; 6]) -> Self {
        let low = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
        let high = u32::from_le_bytes([mac[4], mac[5], 0, 0]) | super::receive_address::VALID;
        Self { low, high }
    }

    /// The address, if it is said to be valid.
    pub const fn mac(self) -> Option<[u8; 6]> {
        if self.high & super::receive_address::VALID == 0 {
            return None;
        }
        let ([a, b, c, d], [e, f, _, _]) = (self.low.to_le_bytes(), self.high.to_le_bytes());
        Some([a, b, c, d, e, f])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

    #[test]
    fn addresses_lie_the_same_in_words_and_in_registers() {
        assert_eq!(mac_of_words([0x5452, 0x1200, 0x5634]), MAC);
        let address = ReceiveAddress::of_mac(MAC);
        assert_eq!(address, ReceiveAddress { low: 0x1200_5452, high: 0x8000_5634 });
        assert_eq!(address.mac(), Some(MAC));
        assert_eq!(ReceiveAddress { high: 0x5634, ..address }.mac(), None);
    }

    #[test]
    fn the_layout_shows_by_itself() {
        assert_eq!(EepromLayout::of_answer(EepromLayout::PROBE), None);
        assert_eq!(EepromLayout::of_answer(0x5452_0010), Some(EepromLayout::Early));
        assert_eq!(EepromLayout::of_answer(0x5452_0003), Some(EepromLayout::Late));
        assert_eq!(EepromLayout::Early.request(2), 0x201);
        assert_eq!(EepromLayout::Late.request(2), 0x9);
        assert_eq!(EepromLayout::Early.word(0x5634_0210), Some(0x5634));
        assert_eq!(EepromLayout::Late.word(0x5634_0008), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read(answer: u32, word: u8, mac: [u8; 6]) {
            let layout = EepromLayout::of_answer(answer);
            if let Some(layout) = layout {
                prop_assert_eq!(layout.word(answer), Some((answer >> 16) as u16));
                prop_assert_eq!(layout.request(word) & 1, 1);
            }
            prop_assert_eq!(ReceiveAddress::of_mac(mac).mac(), Some(mac));
        }
    }
}
