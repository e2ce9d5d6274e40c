//! What classes of functions are called, for lists that people read.
//!
//! Source: PCI Code and ID Assignment Specification 1.11, chapter 1.

/// What a function of this class, subclass and programming interface is; `None`: not listed here.
pub const fn class_name(class: u8, subclass: u8, interface: u8) -> Option<&'static str> {
    Some(match (class, subclass, interface) {
        (0x01, 0x01, _) => "IDE controller",
        (0x01, 0x04, _) => "RAID controller",
        (0x01, 0x06, 0x01) => "SATA controller (AHCI)",
        (0x01, 0x06, _) => "SATA controller",
        (0x01, 0x08, 0x02) => "NVMe controller",
        (0x01, ..) => "storage controller",
        (0x02, 0x00, _) => "Ethernet controller",
        (0x02, ..) => "network controller",
        (0x03, 0x00, _) => "VGA display",
        (0x03, ..) => "display",
        (0x04, ..) => "multimedia",
        (0x06, 0x00, _) => "host bridge",
        (0x06, 0x01, _) => "ISA bridge",
        (0x06, 0x04, _) => "PCI bridge",
        (0x06, ..) => "bridge",
        (0x0c, 0x03, 0x30) => "USB controller (xHCI)",
        (0x0c, 0x03, _) => "USB controller",
        (0x0c, 0x05, _) => "SMBus controller",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::class_name;

    #[test]
    fn the_most_exact_name_wins() {
        assert_eq!(class_name(1, 8, 2), Some("NVMe controller"));
        assert_eq!(class_name(1, 0x55, 0), Some("storage controller"));
        assert_eq!(class_name(0xff, 0, 0), None);
    }
}
