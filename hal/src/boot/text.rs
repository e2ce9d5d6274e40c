//! A small store for the loader's texts, so that they outlive the loader's memory.

use core::str;

/// Texts copied one behind the other into a fixed buffer.
pub struct TextStore<const N: usize> {
    bytes: [u8; N],
    used: usize,
    /// Texts with bytes that were not UTF-8.
    pub replaced: u32,
    /// Texts that were cut for want of space.
    pub cut: u32,
}

impl<const N: usize> TextStore<N> {
    /// An empty store.
    pub const fn new() -> Self {
        Self { bytes: [0; N], used: 0, replaced: 0, cut: 0 }
    }

    /// Copies `text`, replacing what is not UTF-8 by U+FFFD and control characters by spaces.
    /// Returns the place of the copy.
    pub fn push(&mut self, text: &[u8]) -> (usize, usize) {
        let start = self.used;
        let mut fits = true;
        let mut valid = true;
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                let character = if character.is_control() { ' ' } else { character };
                fits = fits && self.push_char(character);
            }
            if !chunk.invalid().is_empty() {
                valid = false;
                fits = fits && self.push_char(char::REPLACEMENT_CHARACTER);
            }
        }
        self.replaced += u32::from(!valid);
        self.cut += u32::from(!fits);
        (start, self.used)
    }

    /// The text at a place that [`push`](Self::push) returned; empty if it never did.
    pub fn get(&self, (start, end): (usize, usize)) -> &str {
        self.bytes.get(start..end).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }

    fn push_char(&mut self, character: char) -> bool {
        let mut buffer = [0; 4];
        let encoded = character.encode_utf8(&mut buffer).as_bytes();
        let Some(space) = self.bytes.get_mut(self.used..self.used + encoded.len()) else {
            return false;
        };
        space.copy_from_slice(encoded);
        self.used += encoded.len();
        true
    }
}

impl<const N: usize> Default for TextStore<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_texts_apart() {
        let mut store = TextStore::<32>::new();
        let first = store.push(b"log=info headless");
        let second = store.push("µs".as_bytes());
        assert_eq!(store.get(first), "log=info headless");
        assert_eq!(store.get(second), "µs");
        assert_eq!((store.replaced, store.cut), (0, 0));
    }

    #[test]
    fn replaces_what_is_no_text() {
        let mut store = TextStore::<32>::new();
        let place = store.push(b"a\xff\xfe=\x07b");
        assert_eq!(store.get(place), "a\u{fffd}\u{fffd}= b");
        assert_eq!(store.replaced, 1);
    }

    #[test]
    fn cuts_at_a_character() {
        let mut store = TextStore::<4>::new();
        let place = store.push("aaaµb".as_bytes());
        assert_eq!(store.get(place), "aaa");
        assert_eq!(store.cut, 1);
        assert_eq!(store.get((0, 99)), "");
    }
}
