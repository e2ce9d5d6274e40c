//! What a controller reports unasked: the result of an asynchronous event request (NVMe 1.4,
//! section 5.2).

use core::fmt;

use super::LogPage;

/// Which events are asked for, as the feature takes them (5.21.1.11): every critical warning of the
/// health page, and changed namespaces.
pub const EVENTS_WANTED: u32 = 0x1f | 1 << 8;

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A mistake of the driver's, or an internal error. The error log says more.
    Error,
    /// Something about health. The health page says more.
    Health,
    /// Something changed.
    Notice,
    /// Anything else: specific to a command set, a vendor, or reserved.
    Other(u8),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncEvent {
    /// Its kind.
    pub kind: EventKind,
    /// What happened, by its kind.
    pub what: u8,
    /// The log page to read; the event is not reported again before.
    pub log_page: u8,
}

impl AsyncEvent {
    /// Reads the result of the request. Whatever it is, it is some event.
    pub const fn read(result: u32) -> Self {
        Self {
            kind: match result & 0b111 {
                0 => EventKind::Error,
                1 => EventKind::Health,
                2 => EventKind::Notice,
                other => EventKind::Other(other as u8),
            },
            what: (result >> 8) as u8,
            log_page: (result >> 16) as u8,
        }
    }

    /// The log page to read, if it is one this driver knows.
    pub const fn known_page(self) -> Option<LogPage> {
        match self.log_page {
            0x01 => Some(LogPage::Errors),
            0x02 => Some(LogPage::Health),
            0x04 => Some(LogPage::ChangedNamespaces),
            _ => None,
        }
    }

    /// Whether namespaces came, went or changed.
    pub const fn is_namespace_change(self) -> bool {
        matches!(self.kind, EventKind::Notice) && self.what == 0
    }
}

impl fmt::Display for AsyncEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match (self.kind, self.what) {
            (EventKind::Error, 0) => "a doorbell was written that does not exist",
            (EventKind::Error, 1) => "a doorbell was written with a wrong value",
            (EventKind::Error, 2) => "its self-test failed",
            (EventKind::Error, 3) => "a persistent internal error",
            (EventKind::Error, 4) => "a transient internal error",
            (EventKind::Error, 5) => "its firmware image could not be loaded",
            (EventKind::Health, 0) => "it has become unreliable",
            (EventKind::Health, 1) => "its temperature is beyond the limits",
            (EventKind::Health, 2) => "few spare blocks are left",
            (EventKind::Notice, 0) => "namespaces changed",
            (EventKind::Notice, 1) => "firmware is about to be activated",
            (EventKind::Notice, 2) => "a telemetry log changed",
            (EventKind::Error, what) => return write!(f, "error {what:#04x}"),
            (EventKind::Health, what) => return write!(f, "health event {what:#04x}"),
            (EventKind::Notice, what) => return write!(f, "notice {what:#04x}"),
            (EventKind::Other(kind), what) => return write!(f, "event {kind}/{what:#04x}"),
        };
        f.write_str(words)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn events_in_words() {
        let event = AsyncEvent::read(0x0002_0101);
        assert_eq!((event.kind, event.known_page()), (EventKind::Health, Some(LogPage::Health)));
        assert_eq!(event.to_string(), "its temperature is beyond the limits");
        let event = AsyncEvent::read(0x0004_0002);
        assert!(event.is_namespace_change());
        assert_eq!(event.known_page(), Some(LogPage::ChangedNamespaces));
    }

    proptest! {
        #[test]
        fn any_result_is_told(result: u32) {
            prop_assert!(!AsyncEvent::read(result).to_string().is_empty());
        }
    }
}
