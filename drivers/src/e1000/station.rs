//! The station's address: from EEPROM, or from where the device put it at its reset.

use core::time::Duration;

use executor::Platform;
use hal::mmio::Register;
use protocols::e1000::{EepromLayout, NVM_SUM, NVM_WORDS, ReceiveAddress, mac_of_words, offset};

use super::E1000Error;
use super::registers::{Registers, until};
use crate::net::MacAddress;

const EERD: Register<u32> = Register::at(offset::EERD);
const RAL0: Register<u32> = Register::at(offset::RAL0);
const RAH0: Register<u32> = Register::at(offset::RAH0);

/// How long a word of EEPROM may take; it takes some 50 us.
const WORD_LIMIT: Duration = Duration::from_millis(10);

/// What is wrong with the EEPROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
enum EepromError {
    #[error("it has none")]
    None,
    #[error("it does not answer")]
    Silent,
    #[error("its checksum is wrong")]
    Damaged,
    #[error("no station has the address {0}")]
    Nonsense(MacAddress),
}

impl Registers {
    /// The address the device comes with.
    pub(super) async fn station_address<P: Platform>(&self) -> Result<MacAddress, E1000Error> {
        match self.eeprom_address::<P>().await {
            Ok(mac) => return Ok(mac),
            Err(EepromError::None) => {}
            Err(error) => log::warn!("{}: EEPROM: {error}", self.name()),
        }
        let address = ReceiveAddress { low: self.read(RAL0), high: self.read(RAH0) };
        let mac = address.mac().map(MacAddress);
        mac.filter(|mac| mac.is_station()).ok_or(E1000Error::NoAddress)
    }

    /// Receives what is for `mac`.
    pub(super) fn set_station_address(&self, mac: MacAddress) {
        let address = ReceiveAddress::of_mac(mac.0);
        self.write(RAL0, address.low);
        self.write(RAH0, address.high);
    }

    async fn eeprom_address<P: Platform>(&self) -> Result<MacAddress, EepromError> {
        if !self.model.has_eeprom() {
            return Err(EepromError::None);
        }
        self.write(EERD, EepromLayout::PROBE);
        let layout = until::<P, _>(WORD_LIMIT, || EepromLayout::of_answer(self.read(EERD))).await;
        let layout = layout.ok_or(EepromError::Silent)?;
        let (mut words, mut sum) = ([0; 3], 0u16);
        for number in 0..NVM_WORDS {
            self.write(EERD, layout.request(number));
            let word = until::<P, _>(WORD_LIMIT, || layout.word(self.read(EERD))).await;
            let word = word.ok_or(EepromError::Silent)?;
            sum = sum.wrapping_add(word);
            if let Some(place) = words.get_mut(usize::from(number)) {
                *place = word;
            }
        }
        if sum != NVM_SUM {
            return Err(EepromError::Damaged);
        }
        let mac = MacAddress(mac_of_words(words));
        if mac.is_station() { Ok(mac) } else { Err(EepromError::Nonsense(mac)) }
    }
}
