//! The kernel's command line: words apart by spaces, each `key` or `key=value`.

use core::str::SplitWhitespace;

/// A command line, split on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandLine<'a>(pub &'a str);

impl<'a> CommandLine<'a> {
    /// The options in order: key, and value where there is a `=`.
    pub fn options(&self) -> Words<'a> {
        Words(self.0.split_whitespace())
    }
    /// The value of the last `key=value`; `Some("")` for a bare `key`.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.options().filter(|(k, _)| *k == key).last().map(|(_, value)| value.unwrap_or(""))
    }
    /// Whether `key` appears, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.options().any(|(k, _)| k == key)
    }
}

/// Iterator over `(key, value)`.
#[derive(Clone, Debug)]
pub struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Iterator for Words<'a> {
    type Item = (&'a str, Option<&'a str>);
    fn next(&mut self) -> Option<Self::Item> {
        let word = self.0.next()?;
        Some(match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let line = CommandLine("  log=warn headless run=a=b log=info  =x ");
        assert_eq!(line.value("log"), Some("info"), "the last one counts");
        assert_eq!(line.value("headless"), Some(""));
        assert_eq!(line.value("run"), Some("a=b"));
        assert_eq!(line.value("smp"), None);
        assert!(line.has("headless") && !line.has("head"));
        assert_eq!(line.options().last(), Some(("", Some("x"))));
    }
}
