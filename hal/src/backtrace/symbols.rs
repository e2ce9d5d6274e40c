//! Names for addresses: a text of lines `hexaddress name`, sorted by address, searched in place.
//!
//! The text comes as a boot module, so it may be missing, cut or garbage: every lookup is bounded
//! and at worst finds nothing.

/// A symbol table as text.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a> {
    text: &'a [u8],
}

/// What an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// The function's name.
    pub name: &'a str,
    /// Where it starts.
    pub start: u64,
    /// How far behind its start the address lies.
    pub offset: u64,
}

impl<'a> Symbols<'a> {
    /// Over any bytes.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The last symbol that starts at or before `address`.
    pub fn find(&self, address: u64) -> Option<Symbol<'a>> {
        // Between `low` (a line's start) and `high` (a line's start, or the end) lies what is
        // sought.
        let (mut low, mut high) = (0, self.text.len());
        let mut best = None;
        while low < high {
            let middle = self.line_start(low, low + (high - low) / 2);
            let end = self.line_end(middle);
            let (start, name) = parse(&self.text[middle..end])?;
            if start <= address {
                best = Some(Symbol { name, start, offset: address - start });
                low = (end + 1).min(high);
            } else {
                high = middle;
            }
        }
        best
    }

    /// The start of the line that `at` lies in, at or after `low`.
    fn line_start(&self, low: usize, at: usize) -> usize {
        self.text[low..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(low, |found| low + found + 1)
    }

    /// The line's end: its line feed, or the text's end.
    fn line_end(&self, start: usize) -> usize {
        let feed = self.text[start..].iter().position(|byte| *byte == b'\n');
        feed.map_or(self.text.len(), |found| start + found)
    }
}

fn parse(line: &[u8]) -> Option<(u64, &str)> {
    let line = core::str::from_utf8(line).ok()?;
    let (address, name) = line.trim_end().split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::string::String;

    #[test]
    fn finds_what_an_address_belongs_to() {
        let symbols = Symbols::new(b"ffffffff80000000 _start\nffffffff80000100 core::fmt::write\n");
        assert_eq!(symbols.find(0xffff_ffff_7fff_ffff), None);
        let write = symbols.find(0xffff_ffff_8000_0123).unwrap();
        assert_eq!((write.name, write.offset), ("core::fmt::write", 0x23));
        assert_eq!(symbols.find(0xffff_ffff_8000_0000).unwrap().name, "_start");
        assert_eq!(Symbols::new(b"").find(7), None);
        assert_eq!(Symbols::new(b"12 without end").find(0x13).unwrap().name, "without end");
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(
            starts in prop::collection::btree_map(0..5000_u64, "[a-z:<> ]{1,12}[a-z]", 0..60),
            sought in prop::collection::vec(0..6000_u64, 1..30),
        ) {
            let mut text = String::new();
            for (start, name) in &starts {
                writeln!(text, "{start:x} {name}").unwrap();
            }
            let map: BTreeMap<u64, String> = starts;
            for address in sought {
                let expected = map.range(..=address).next_back().map(|(s, n)| (*s, n.as_str()));
                let found = Symbols::new(text.as_bytes()).find(address);
                prop_assert_eq!(found.map(|f| (f.start, f.name)), expected);
            }
        }

        #[test]
        fn garbage_is_harmless(text in prop::collection::vec(any::<u8>(), 0..300), address: u64) {
            let _ = Symbols::new(&text).find(address);
        }

        #[test]
        fn nearly_right_is_harmless(text in "([0-9a-g]{0,18} ?[a-z]{0,4}\n?){0,20}", address: u64) {
            let _ = Symbols::new(text.as_bytes()).find(address);
        }
    }
}
