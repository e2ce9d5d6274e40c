//! Which driver is for which PCI function.
//!
//! A table of patterns, most of them constants of the drivers themselves. The most exact match
//! wins, so a driver for one device takes it from the driver for its class; among equals the first.
//! Pure: what a driver *is* (here any `D`) is up to whoever starts them.
//!
//! ```
//! use drivers::registry::{Match, PciId, Registry};
//! let registry = Registry::new(&[
//!     (Match::Class { class: 0x01, subclass: 0x08, interface: Some(0x02) }, "nvme"),
//!     (Match::Device { vendor: 0x8086, device: 0x10d3 }, "e1000e"),
//! ]);
//! let id = PciId { vendor: 0x1b36, device: 0x10, class: 1, subclass: 8, interface: 2 };
//! assert_eq!(registry.find(&id), Some(&"nvme"));
//! ```

/// What a PCI function says it is (PCI Local Bus 3.0, 6.2.1: configuration space 0x00 and 0x08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciId {
    /// Vendor ID; 0xffff means that there is no function.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Base class.
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Programming interface.
    pub interface: u8,
}

/// Which functions a driver is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Exactly this device.
    Device {
        /// Vendor ID.
        vendor: u16,
        /// Device ID.
        device: u16,
    },
    /// Any device of a class.
    Class {
        /// Base class.
        class: u8,
        /// Subclass.
        subclass: u8,
        /// Programming interface, where it matters.
        interface: Option<u8>,
    },
}

/// How exact a match is; later is more exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Class,
    Interface,
    Device,
}

impl Match {
    /// Whether it matches `id`.
    pub fn matches(&self, id: &PciId) -> bool {
        self.exactness(id).is_some()
    }

    fn exactness(&self, id: &PciId) -> Option<Exactness> {
        match *self {
            _ if id.vendor == 0xffff => None,
            Match::Device { vendor, device } => {
                ((vendor, device) == (id.vendor, id.device)).then_some(Exactness::Device)
            }
            Match::Class { class, subclass, interface } => {
                if (class, subclass) != (id.class, id.subclass) {
                    return None;
                }
                match interface {
                    None => Some(Exactness::Class),
                    Some(wanted) => (wanted == id.interface).then_some(Exactness::Interface),
                }
            }
        }
    }
}

/// The drivers there are, and what each is for.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a, D> {
    entries: &'a [(Match, D)],
}

impl<'a, D> Registry<'a, D> {
    /// A registry of these; order decides among equally exact matches.
    pub const fn new(entries: &'a [(Match, D)]) -> Self {
        Self { entries }
    }

    /// The driver for the function that says it is `id`.
    pub fn find(&self, id: &PciId) -> Option<&'a D> {
        let mut best: Option<(Exactness, &D)> = None;
        for (pattern, driver) in self.entries {
            if let Some(exactness) = pattern.exactness(id)
                && best.is_none_or(|(sofar, _)| exactness > sofar)
            {
                best = Some((exactness, driver));
            }
        }
        best.map(|(_, driver)| driver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const NVME: PciId =
        PciId { vendor: 0x1b36, device: 0x0010, class: 1, subclass: 8, interface: 2 };

    fn class(interface: Option<u8>) -> Match {
        Match::Class { class: 1, subclass: 8, interface }
    }

    #[test]
    fn the_most_exact_wins_whatever_the_order() {
        let exact = Match::Device { vendor: 0x1b36, device: 0x0010 };
        let mut entries = [(class(None), 'c'), (exact, 'd'), (class(Some(2)), 'i')];
        for _ in 0..3 {
            entries.rotate_left(1);
            assert_eq!(Registry::new(&entries).find(&NVME), Some(&'d'));
        }
        let other = PciId { device: 0x11, ..NVME };
        assert_eq!(Registry::new(&entries).find(&other), Some(&'i'));
        assert_eq!(Registry::new(&entries).find(&PciId { interface: 1, ..other }), Some(&'c'));
        assert_eq!(Registry::new(&entries).find(&PciId { subclass: 6, ..other }), None);
    }

    #[test]
    fn among_equals_the_first() {
        let entries = [(class(Some(2)), 1), (class(Some(2)), 2)];
        assert_eq!(Registry::new(&entries).find(&NVME), Some(&1));
    }

    #[test]
    fn an_absent_function_has_no_driver() {
        let absent =
            PciId { vendor: 0xffff, device: 0xffff, class: 0xff, subclass: 0xff, interface: 0xff };
        let anything = Match::Class { class: 0xff, subclass: 0xff, interface: None };
        let itself = Match::Device { vendor: 0xffff, device: 0xffff };
        assert_eq!(Registry::new(&[(anything, ()), (itself, ())]).find(&absent), None);
    }

    fn pattern() -> impl Strategy<Value = Match> {
        prop_oneof![
            (0u16..3, 0u16..3).prop_map(|(vendor, device)| Match::Device { vendor, device }),
            (0u8..3, 0u8..3, proptest::option::of(0u8..3)).prop_map(
                |(class, subclass, interface)| Match::Class { class, subclass, interface }
            ),
        ]
    }

    proptest! {
        /// What is found matches, and nothing that matches is more exact.
        #[test]
        fn finds_the_best(
            patterns in proptest::collection::vec(pattern(), 0..12),
            (vendor, device) in (0u16..3, 0u16..3),
            (class, subclass, interface) in (0u8..3, 0u8..3, 0u8..3),
        ) {
            let id = PciId { vendor, device, class, subclass, interface };
            let entries: Vec<_> = patterns.iter().copied().zip(0usize..).collect();
            match Registry::new(&entries).find(&id) {
                None => prop_assert!(patterns.iter().all(|pattern| !pattern.matches(&id))),
                Some(&found) => {
                    let exactness = |index: usize| patterns[index].exactness(&id);
                    prop_assert!(patterns[found].matches(&id));
                    for other in 0..patterns.len() {
                        prop_assert!(exactness(other) <= exactness(found));
                        prop_assert!(other >= found || exactness(other) < exactness(found));
                    }
                }
            }
        }
    }
}
