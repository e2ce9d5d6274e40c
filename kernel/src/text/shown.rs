//! Bytes from programs, made fit to be seen: what could move a terminal's cursor, forge a line or
//! turn text around becomes `?`.

use alloc::string::String;
use core::fmt::{self, Display, Formatter, Write};

/// Shows bytes on one line: UTF-8 as it is, a tab as a space, all else as `?`. Line ends at the end
/// are left out.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let line = &self.0[..end.map_or(0, |last| last + 1)];
        for chunk in line.utf8_chunks() {
            for character in chunk.valid().chars() {
                f.write_char(fit(character))?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char('?')?;
            }
        }
        Ok(())
    }
}

fn fit(character: char) -> char {
    match character {
        '\t' => ' ',
        // Line and paragraph separators, marks and overrides of direction, byte order mark.
        '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => '?',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
        other if other.is_control() => '?',
        other => other,
    }
}

/// Most bytes of a line; a longer one is cut into several.
pub const LINE_MAX: usize = 512;

/// Cuts what a program writes, in any pieces, into lines.
#[derive(Debug, Default)]
pub struct Lines {
    pending: alloc::vec::Vec<u8>,
}

impl Lines {
    /// Nothing written yet.
    pub const fn new() -> Self {
        Self { pending: alloc::vec::Vec::new() }
    }

    /// Takes `bytes`; `show` sees every line that is complete with them, as text.
    pub fn write(&mut self, bytes: &[u8], mut show: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            while self.pending.len() + rest.len() > LINE_MAX {
                let (head, tail) = rest.split_at(LINE_MAX - self.pending.len());
                self.pending.extend_from_slice(head);
                rest = tail;
                self.finish(&mut show);
            }
            self.pending.extend_from_slice(rest);
            if self.pending.last() == Some(&b'\n') {
                self.finish(&mut show);
            }
        }
    }

    /// Shows what is left without a line end, if anything.
    pub fn flush(&mut self, mut show: impl FnMut(&str)) {
        if !self.pending.is_empty() {
            self.finish(&mut show);
        }
    }

    /// Whether everything has been shown.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn finish(&mut self, show: &mut impl FnMut(&str)) {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = write!(text, "{}", Shown(&self.pending));
        self.pending.clear();
        show(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn harmful_bytes_become_question_marks() {
        assert_eq!(Shown("gr\u{fc}n\tab\r\n".as_bytes()).to_string(), "gr\u{fc}n ab");
        assert_eq!(Shown(b"a\x1b[2Jb\x00\x9b\xff\xfec").to_string(), "a?[2Jb????c");
        assert_eq!(Shown(b"one\nERROR: two").to_string(), "one?ERROR: two");
        assert_eq!(Shown("\u{202e}\u{85}".as_bytes()).to_string(), "??");
        assert_eq!(Shown(b"\n\r\n").to_string(), "");
    }

    fn lines(pieces: &[&[u8]]) -> (Vec<String>, Lines) {
        let (mut seen, mut lines) = (Vec::new(), Lines::new());
        for piece in pieces {
            lines.write(piece, |line| seen.push(line.to_string()));
        }
        (seen, lines)
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let (seen, mut rest) = lines(&[b"a", b"b\nc", b"", b"d\r\n\ne"]);
        assert_eq!(seen, ["ab", "cd", ""]);
        assert!(!rest.is_empty());
        let mut last = Vec::new();
        rest.flush(|line| last.push(line.to_string()));
        rest.flush(|line| last.push(line.to_string()));
        assert_eq!(last, ["e"]);
        // A character cut in two by the writes is still one.
        assert_eq!(lines(&[b"\xc3", b"\xbc\n"]).0, ["\u{fc}"]);
    }

    #[test]
    fn endless_lines_are_cut() {
        let (seen, rest) = lines(&[&vec![b'x'; LINE_MAX * 3 + 5]]);
        assert!(seen.iter().all(|line| line.len() == LINE_MAX));
        assert_eq!((seen.len(), rest.pending.len()), (3, 5));
    }
}
