//! One line of text put together on the stack, so that nothing is formatted under the console's
//! lock.

use core::fmt;

/// Text of at most `N` bytes; what does not fit is cut, and the end says so.
pub struct Line<const N: usize> {
    bytes: [u8; N],
    used: usize,
    cut: bool,
}

const MARK: &str = " [cut]";

impl<const N: usize> Line<N> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: [0; N], used: 0, cut: false }
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.used]).unwrap_or("")
    }

    /// Whether something did not fit.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Empties it.
    pub fn clear(&mut self) {
        (self.used, self.cut) = (0, false);
    }

    /// How much of `text`, in whole characters, fits into `room` bytes.
    fn fitting(text: &str, room: usize) -> &str {
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        &text[..end]
    }

    fn append(&mut self, text: &str) {
        self.bytes[self.used..self.used + text.len()].copy_from_slice(text.as_bytes());
        self.used += text.len();
    }
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let fits = Self::fitting(text, N - MARK.len() - self.used);
        self.append(fits);
        if fits.len() < text.len() {
            self.cut = true;
            self.append(MARK);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut line = Line::<16>::new();
        write!(line, "µµ{}", 1234).unwrap();
        assert_eq!(line.as_str(), "µµ1234");
        write!(line, "5µ7").unwrap();
        write!(line, "more").unwrap();
        assert_eq!(line.as_str(), "µµ12345 [cut]");
        assert!(line.is_cut());
        line.clear();
        assert_eq!(line.as_str(), "");
    }
}
