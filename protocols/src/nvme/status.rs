//! How commands end, in numbers and in words (NVMe 1.4, section 4.6.1).

use core::fmt;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Status code type: 0 generic, 1 specific to the command, 2 medium, 3 path, 7 vendor.
    pub kind: u8,
    /// Status code.
    pub code: u8,
    /// Whether repeating it is pointless.
    pub do_not_retry: bool,
}

impl Status {
    /// Done.
    pub const SUCCESS: Self = Self { kind: 0, code: 0, do_not_retry: false };

    /// Whether it succeeded.
    pub const fn is_success(self) -> bool {
        self.kind == 0 && self.code == 0
    }

    /// Whether blocks beyond the end were named.
    pub const fn is_out_of_range(self) -> bool {
        self.kind == 0 && self.code == 0x80
    }

    /// Whether the medium failed (unrecovered reads and writes, checks that found damage).
    pub const fn is_media_error(self) -> bool {
        self.kind == 2
    }

    /// Whether the namespace may only be read.
    pub const fn is_write_protected(self) -> bool {
        (self.kind == 0 && self.code == 0x20) || (self.kind == 1 && self.code == 0x82)
    }

    /// Whether it was aborted because the driver asked for that.
    pub const fn is_aborted(self) -> bool {
        self.kind == 0 && self.code == 0x07
    }

    /// Whether the queue it came by was deleted.
    pub const fn is_queue_deleted(self) -> bool {
        self.kind == 0 && self.code == 0x08
    }

    /// Whether the controller does not know the command, or not this form of it.
    pub const fn is_unsupported(self) -> bool {
        self.kind == 0 && matches!(self.code, 0x01 | 0x02)
    }

    /// Whether there is no such namespace, or no longer.
    pub const fn is_no_namespace(self) -> bool {
        self.kind == 0 && self.code == 0x0b
    }

    /// What it means; `None` for what the specification leaves open.
    pub const fn words(self) -> Option<&'static str> {
        Some(match (self.kind, self.code) {
            (0, 0x00) => "success",
            (0, 0x01) => "unknown command",
            (0, 0x02) => "a field the controller cannot accept",
            (0, 0x03) => "the command's id is in use",
            (0, 0x04) => "data could not be transferred",
            (0, 0x05) => "aborted by a loss of power",
            (0, 0x06) => "internal error",
            (0, 0x07) => "aborted as asked",
            (0, 0x08) => "aborted with its queue",
            (0, 0x0b) => "no such namespace or format",
            (0, 0x13) => "memory pointer not as it should be",
            (0, 0x20) => "the namespace is protected from writing",
            (0, 0x80) => "blocks beyond the end",
            (0, 0x81) => "capacity exceeded",
            (0, 0x82) => "the namespace is not ready",
            (0, 0x83) => "reserved by another host",
            (0, 0x84) => "a format is under way",
            (1, 0x00) => "no such completion queue",
            (1, 0x01) => "no such queue",
            (1, 0x02) => "not a queue size",
            (1, 0x03) => "too many aborts at once",
            (1, 0x05) => "too many event requests at once",
            (1, 0x08) => "no such interrupt vector",
            (1, 0x09) => "no such log page",
            (1, 0x82) => "the range is read-only",
            (2, 0x80) => "write fault",
            (2, 0x81) => "unrecovered read error",
            (2, 0x82..=0x84) => "end-to-end check failed",
            (2, 0x85) => "compare failed",
            (2, 0x86) => "access denied",
            (2, 0x87) => "the block is deallocated or was never written",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, code, do_not_retry } = self;
        write!(f, "status {kind}/{code:#04x}")?;
        if let Some(words) = self.words() {
            write!(f, " ({words})")?;
        }
        if *do_not_retry { f.write_str(", not to be repeated") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn every_status_is_told_in_words_or_numbers() {
        for kind in 0..8 {
            for code in 0..=u8::MAX {
                let status = Status { kind, code, do_not_retry: code & 1 == 1 };
                let text = status.to_string();
                assert!(text.contains(status.words().unwrap_or("status")), "{text}");
                let meanings = [
                    status.is_success(),
                    status.is_out_of_range(),
                    status.is_media_error(),
                    status.is_write_protected(),
                    status.is_aborted(),
                    status.is_queue_deleted(),
                    status.is_unsupported(),
                    status.is_no_namespace(),
                ];
                assert!(meanings.into_iter().filter(|meant| *meant).count() <= 1, "{text}");
            }
        }
    }
}
