//! Intel's gigabit Ethernet family, from the 82544 to the I219: registers, descriptors, and what
//! sets the models apart.
//!
//! | file | what |
//! |---|---|
//! | `models` | PCI ids, and what a model has |
//! | `registers` | offsets and bits of the registers |
//! | `nvm` | the station address in EEPROM and in the receive address registers |
//! | `phy` | access to the transceiver's registers |
//! | `receive` | legacy receive descriptors: what arrived, and whether it is sound |
//! | `transmit` | data and context descriptors: sending, checksums, segmentation |
//! | `multicast` | the hash filter for group addresses |
//!
//! The family shares one programming model. Receive descriptors are the legacy ones, which every
//! model understands; transmit descriptors are the extended ones, for their offloads.
//!
//! Sources: *PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual*
//! (317453, "SDM"); *82574 GbE Controller Family Datasheet* (317694, "82574"); *I217* and *I218*
//! and *I219* datasheets. Section numbers are the SDM's unless another is named.

mod models;
mod multicast;
mod nvm;
mod phy;
mod receive;
mod registers;
mod transmit;

pub use self::models::{Family, Model, VENDOR, model};
pub use self::multicast::MulticastFilter;
pub use self::nvm::{EepromLayout, NVM_SUM, NVM_WORDS, ReceiveAddress, mac_of_words};
pub use self::phy::{MdiAnswer, PhyRegister, read_request, write_request};
pub use self::receive::{Damage, ReceiveDescriptor, Received, Sums};
pub use self::registers::{
    Cause, Control, ControlExtended, Status, deaf, interrupt_vectors, offset, receive_address,
    receive_control, transmit_control,
};
pub use self::transmit::{
    Context, Data, Decoded, LENGTH_MOST, SEGMENTED_MOST, Segments, TransmitDescriptor, is_done,
    with_report,
};
