//! What a head's fields say about the message's length and about the connection.

use super::FIELDS_MAX;
use httparse::Header;

/// How the end of a message's body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; zero: there is no body.
    Length(u64),
    /// Chunks, the last of which is empty.
    Chunked,
    /// Whatever comes until the connection ends. Responses only.
    UntilClose,
}

/// Whether the connection stays open for another message (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It does.
    KeepAlive,
    /// It ends after this one.
    Close,
}

/// Why fields cannot be made sense of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    /// They contradict each other, or are no numbers.
    Contradiction,
    /// A transfer coding other than `chunked`.
    Coding,
}

/// Room for a head's fields.
pub(super) const NO_FIELDS: [Header<'static>; FIELDS_MAX] = [httparse::EMPTY_HEADER; FIELDS_MAX];

/// The fields of one head.
#[derive(Clone, Copy)]
pub(super) struct Fields<'h, 'a>(pub &'h [Header<'a>]);

impl<'a> Fields<'_, 'a> {
    /// All values of the field `name`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// The first value of the field `name`, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| core::str::from_utf8(value).ok()).map(str::trim)
    }

    /// The members of all lists in the field `name`.
    fn members(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }

    /// The framing that the fields ask for; `None`: they say nothing.
    pub(super) fn framing(&self) -> Result<Option<Framing>, FieldError> {
        let mut length = None;
        for value in self.members("content-length") {
            let value = number(value).ok_or(FieldError::Contradiction)?;
            if length.is_some_and(|other| other != value) {
                return Err(FieldError::Contradiction);
            }
            length = Some(value);
        }
        let mut codings = self.members("transfer-encoding").filter(|coding| !coding.is_empty());
        let Some(first) = codings.next() else { return Ok(length.map(Framing::Length)) };
        // Both at once is how requests are smuggled past a proxy.
        if length.is_some() {
            return Err(FieldError::Contradiction);
        }
        if first.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
            Ok(Some(Framing::Chunked))
        } else {
            Err(FieldError::Coding)
        }
    }

    /// What is to become of the connection, in HTTP/1.`minor`.
    pub(super) fn persistence(&self, minor: u8) -> Persistence {
        let says = |word: &[u8]| {
            self.members("connection").any(|option| option.eq_ignore_ascii_case(word))
        };
        if says(b"close") || (minor == 0 && !says(b"keep-alive")) {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        }
    }
}

/// Decimal digits only: no sign, no space.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}
