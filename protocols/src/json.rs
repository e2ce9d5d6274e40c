//! JSON (RFC 8259): values as they are written, and the members of an object as they are read.
//!
//! Reading is the crate `picojson`'s work: it neither recurses nor allocates, so that no nesting of
//! brackets, however deep, costs more than an error.

use core::fmt::{self, Display, Write};

use picojson::{Event, PullParser, SliceParser};

/// Longest string or number with escapes in it that is read, in bytes.
const UNESCAPED_MAX: usize = 256;

/// A number, or `null`.
#[derive(Clone, Copy, Debug)]
pub struct OrNull<T>(pub Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A string in quotes. What JSON forbids in one, and every control character, is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// A member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// As it is written.
    Number(&'a str),
    /// Without its quotes and escapes.
    Text(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object or an array: what is in it is checked and passed over.
    Nested,
}

/// Why bytes are no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum JsonError {
    /// Not JSON, nested too deep, or with too long a string in it.
    #[error("this is no JSON, or more of it than anybody needs")]
    Malformed,
    /// Something else than an object.
    #[error("this is JSON, but no object")]
    NoObject,
}

impl Value<'_> {
    /// A whole number that is not negative; what stands after a decimal point is cut off.
    pub fn unsigned(self) -> Option<u64> {
        let Self::Number(text) = self else { return None };
        text.split('.').next()?.parse().ok()
    }

    /// Whether it says yes: `true`, or a number other than 0.
    pub fn is_set(self) -> bool {
        match self {
            Self::Bool(value) => value,
            Self::Number(text) => text != "0",
            _ => false,
        }
    }
}

/// Calls `visit` with each member of the object that `bytes` are.
///
/// # Errors
/// They are none. Members may have been visited by then.
pub fn members(bytes: &[u8], mut visit: impl FnMut(&str, Value<'_>)) -> Result<(), JsonError> {
    let mut scratch = [0; UNESCAPED_MAX];
    let mut parser = SliceParser::with_buffer_from_slice(bytes, &mut scratch);
    let mut next = |handle: &mut dyn FnMut(Event<'_, '_>)| {
        parser.next_event().map(handle).map_err(|_| JsonError::Malformed)
    };
    let (mut depth, mut first, mut done) = (0u32, true, false);
    // The name of the member whose value comes next.
    let (mut name, mut length) = ([0; 64], None);
    while !done {
        next(&mut |event| {
            let value = match &event {
                Event::StartObject | Event::StartArray => Value::Nested,
                Event::String(text) => Value::Text(text.as_str()),
                Event::Number(number) => Value::Number(number.as_str()),
                Event::Bool(value) => Value::Bool(*value),
                Event::Null => Value::Null,
                Event::EndObject | Event::EndArray => {
                    depth = depth.saturating_sub(1);
                    return;
                }
                Event::EndDocument => {
                    done = true;
                    return;
                }
                Event::Key(key) => {
                    // Names that don't fit are nobody's.
                    let key = key.as_str().as_bytes();
                    let fits = depth == 1 && key.len() <= name.len();
                    length = fits.then_some(key.len());
                    if fits {
                        name[..key.len()].copy_from_slice(key);
                    }
                    return;
                }
            };
            if depth == 1
                && let Some(name) = length.take().and_then(|length| name.get(..length))
                && let Ok(name) = core::str::from_utf8(name)
            {
                visit(name, value);
            }
            if depth == 0 && first && event != Event::StartObject {
                first = false;
            }
            depth += u32::from(value == Value::Nested);
        })?;
        if !first {
            return Err(JsonError::NoObject);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    fn read(text: &str) -> Result<Vec<(String, String)>, JsonError> {
        let mut all = Vec::new();
        members(text.as_bytes(), |name, value| all.push((name.to_string(), format!("{value:?}"))))?;
        Ok(all)
    }

    #[test]
    fn members_of_an_object() {
        let text = r#" {"a": -1.5e3, "b\n":"x\"A", "c":{"a":[1,{"a":2}]}, "d":[[],{}],
            "e":true,"f":null,"g":""} "#;
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(
            read(text).unwrap(),
            vec![
                pair("a", "Number(\"-1.5e3\")"),
                pair("b\n", "Text(\"x\\\"A\")"),
                pair("c", "Nested"),
                pair("d", "Nested"),
                pair("e", "Bool(true)"),
                pair("f", "Null"),
                pair("g", "Text(\"\")"),
            ]
        );
        assert_eq!(read("{}"), Ok(vec![]));
        assert_eq!(read("[{}]"), Err(JsonError::NoObject));
        assert_eq!(read("1"), Err(JsonError::NoObject));
        for bad in
            ["", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":01}", "{}x", "\u{0}"]
        {
            assert_eq!(read(bad), Err(JsonError::Malformed), "{bad}");
        }
    }

    #[test]
    fn numbers_and_flags() {
        assert_eq!(Value::Number("12.9").unsigned(), Some(12));
        assert_eq!(Value::Number("-1").unsigned(), None);
        assert_eq!(Value::Number("99999999999999999999").unsigned(), None);
        assert!(Value::Number("1").is_set() && Value::Bool(true).is_set());
        assert!(!Value::Number("0").is_set() && !Value::Null.is_set());
    }

    #[test]
    fn deep_nesting_is_an_error() {
        for bracket in ["[", "{\"a\":"] {
            let text = String::from("{\"a\":") + &bracket.repeat(100_000);
            assert_eq!(read(&text), Err(JsonError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes: Vec<u8>, text in "[\\[\\]{}\":,0-9a\\\\u.eE+ -]{0,60}") {
            let _ = members(&bytes, |_, _| {});
            let _ = members(text.as_bytes(), |_, value| { value.unsigned(); });
            let _ = members(format!("{{\"a\":{text}}}").as_bytes(), |_, _| {});
        }

        /// What is written is read back.
        #[test]
        fn text_survives(name in ".{0,12}", text in "\\PC{0,60}", number: u64) {
            let json = format!("{{{}:{},\"n\":{number}}}", Text(&name), Text(&text));
            let mut seen = Vec::new();
            members(json.as_bytes(), |name, value| match value {
                Value::Text(text) => seen.push((name.to_string(), text.to_string())),
                other => assert_eq!(other.unsigned(), Some(number)),
            }).unwrap();
            prop_assert_eq!(seen, vec![(name, text)]);
        }
    }
}
