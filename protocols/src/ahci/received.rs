//! Where a port puts the frames that a device sends (AHCI 1.3.1, section 4.2.1).

/// Bytes of the area; it begins at a multiple of as many.
pub const RECEIVED_BYTES: usize = 256;

/// Where in the area each kind of frame goes, in bytes.
pub mod place {
    /// DMA setup.
    pub const DMA_SETUP: usize = 0x00;
    /// PIO setup.
    pub const PIO_SETUP: usize = 0x20;
    /// The registers, from device to host.
    pub const REGISTERS: usize = 0x40;
    /// Set device bits.
    pub const DEVICE_BITS: usize = 0x58;
    /// Of a kind the HBA does not know.
    pub const UNKNOWN: usize = 0x60;
}
