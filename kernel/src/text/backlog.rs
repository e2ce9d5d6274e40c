//! Lines of a log that wait for their reader, in a ring of bytes of a fixed size. When it is full,
//! the oldest give way, and are counted.
//!
//! ```text
//!  oldest ─► length 2 │ microseconds 8 │ core 2 │ level 1 │ target's length 1 │ target │ text │ …
//! ```

/// Bytes before target and text.
const HEAD: usize = 14;
/// Longest line with all that belongs to it, in bytes.
pub const ENTRY_MAX: usize = 1024;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When.
    pub microseconds: u64,
    /// On which core.
    pub core: u16,
    /// How bad it is: the number of a level.
    pub level: u8,
    /// Who speaks. Cut to 255 bytes.
    pub target: &'a str,
    /// What was said. Cut, so that the entry has no more than [`ENTRY_MAX`] bytes.
    pub text: &'a str,
}

/// What was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// Lines lost since the one taken before.
    pub lost: u64,
    /// The oldest that is left.
    pub entry: Entry<'a>,
}

/// The ring, of `N` bytes, more than [`ENTRY_MAX`].
pub struct Backlog<const N: usize> {
    bytes: [u8; N],
    first: usize,
    used: usize,
    lost: u64,
}

impl<const N: usize> Backlog<N> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { bytes: [0; N], first: 0, used: 0, lost: 0 }
    }

    /// Whether no line waits.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Puts a line in. Allocates nothing.
    pub fn push(&mut self, entry: &Entry<'_>) {
        let target = cut(entry.target, 255);
        let text = cut(entry.text, ENTRY_MAX - HEAD - target.len());
        let length = HEAD + target.len() + text.len();
        while self.used + length > N {
            self.drop_oldest();
        }
        let mut head = [0; HEAD];
        head[..2].copy_from_slice(&(length as u16).to_le_bytes());
        head[2..10].copy_from_slice(&entry.microseconds.to_le_bytes());
        head[10..12].copy_from_slice(&entry.core.to_le_bytes());
        head[12] = entry.level;
        head[13] = target.len() as u8;
        for part in [&head, target.as_bytes(), text.as_bytes()] {
            self.append(part);
        }
    }

    /// Takes the oldest line out, by way of `into`.
    pub fn take<'b>(&mut self, into: &'b mut [u8; ENTRY_MAX]) -> Option<Taken<'b>> {
        if self.used == 0 {
            return None;
        }
        let length = self.oldest();
        for (at, byte) in into.iter_mut().take(length).enumerate() {
            *byte = self.bytes[(self.first + at) % N];
        }
        self.remove(length);
        let (head, rest) = into[..length].split_at(HEAD);
        let target = rest.get(..usize::from(head[13])).unwrap_or(&[]);
        let text = &rest[target.len()..];
        let mut microseconds = [0; 8];
        microseconds.copy_from_slice(&head[2..10]);
        let entry = Entry {
            microseconds: u64::from_le_bytes(microseconds),
            core: u16::from_le_bytes([head[10], head[11]]),
            level: head[12],
            // They went in as text.
            target: core::str::from_utf8(target).unwrap_or(""),
            text: core::str::from_utf8(text).unwrap_or(""),
        };
        Some(Taken { lost: core::mem::take(&mut self.lost), entry })
    }

    /// Lines were lost elsewhere, before they came here.
    pub fn note_lost(&mut self, lines: u64) {
        self.lost = self.lost.saturating_add(lines);
    }

    fn append(&mut self, part: &[u8]) {
        for byte in part {
            self.bytes[(self.first + self.used) % N] = *byte;
            self.used += 1;
        }
    }

    /// Length of the oldest line.
    fn oldest(&self) -> usize {
        let at = |offset: usize| self.bytes[(self.first + offset) % N];
        let length = usize::from(u16::from_le_bytes([at(0), at(1)]));
        length.clamp(HEAD, self.used.clamp(HEAD, ENTRY_MAX))
    }

    fn remove(&mut self, length: usize) {
        self.first = (self.first + length) % N;
        self.used = self.used.saturating_sub(length);
    }

    fn drop_oldest(&mut self) {
        let length = self.oldest();
        self.remove(length);
        self.lost = self.lost.saturating_add(1);
    }
}

impl<const N: usize> Default for Backlog<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// As much of `text` as fits into `most` bytes, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use alloc::string::String;
    use proptest::prelude::*;

    const RING: usize = 3000;

    #[test]
    fn long_lines_are_cut() {
        let mut backlog = Backlog::<RING>::new();
        let (target, text) = ("ü".repeat(200), "µ".repeat(2000));
        backlog.push(&Entry { microseconds: 1, core: 2, level: 3, target: &target, text: &text });
        let mut buffer = [0; ENTRY_MAX];
        let taken = backlog.take(&mut buffer).unwrap();
        assert_eq!((taken.entry.target.len(), taken.entry.text.len()), (254, 756));
        assert!(backlog.is_empty() && backlog.take(&mut buffer).is_none());
    }

    proptest! {
        /// The ring behaves as a queue that forgets its oldest and counts them.
        #[test]
        fn is_a_queue(steps in proptest::collection::vec((0u8..3, "\\PC{0,40}", ".{0,900}"), 0..80)) {
            let mut backlog = Backlog::<RING>::new();
            let mut model: VecDeque<(u64, String, String)> = VecDeque::new();
            let mut buffer = [0; ENTRY_MAX];
            let (mut number, mut lost, mut size) = (0, 0, 0);
            let bytes = |target: &str, text: &str| {
                HEAD + target.len() + cut(text, ENTRY_MAX - HEAD - target.len()).len()
            };
            for (what, target, text) in steps {
                if what == 0 {
                    let taken = backlog.take(&mut buffer);
                    let expected = model.pop_front();
                    prop_assert_eq!(taken.is_some(), expected.is_some());
                    if let (Some(taken), Some((number, target, text))) = (taken, expected) {
                        let Entry { microseconds, core, level, .. } = taken.entry;
                        prop_assert_eq!((microseconds, core, level), (number, number as u16, 4));
                        prop_assert_eq!(taken.entry.target, &target);
                        prop_assert_eq!(taken.entry.text, cut(&text, ENTRY_MAX - HEAD - target.len()));
                        prop_assert_eq!(taken.lost, core::mem::take(&mut lost));
                        size -= bytes(&target, &text);
                    }
                    continue;
                }
                number += 1;
                let core = number as u16;
                backlog.push(&Entry { microseconds: number, core, level: 4, target: &target, text: &text });
                size += bytes(&target, &text);
                model.push_back((number, target, text));
                while size > RING {
                    let (_, target, text) = model.pop_front().unwrap();
                    size -= bytes(&target, &text);
                    lost += 1;
                }
            }
        }
    }
}
