//! How much to read ahead: more each time somebody goes on where they were.
//!
//! Several readers may be under way, and a file's blocks and its allocation table are read in
//! turns; each is a stream, known by where it will go on.

/// Most streams followed; a new one replaces the one that was not heard of for longest.
const STREAMS: usize = 4;

#[derive(Clone, Copy, Default)]
struct Stream {
    next: u64,
    blocks: u64,
}

pub(super) struct Streams {
    /// The latest one first.
    streams: [Stream; STREAMS],
    least: u64,
    most: u64,
}

impl Streams {
    /// Windows begin at `least` blocks and double up to `most`.
    pub(super) fn new(least: u64, most: u64) -> Self {
        Self { streams: [Stream::default(); STREAMS], least: least.max(1), most: most.max(1) }
    }

    /// How many blocks to read when the one at `lba` is missed and `wanted` are wanted.
    pub(super) fn window(&mut self, lba: u64, wanted: u64) -> u64 {
        let known = self.streams.iter().position(|stream| stream.blocks > 0 && stream.next == lba);
        let blocks = match known {
            Some(at) => self.streams[at].blocks.saturating_mul(2),
            None => self.least,
        };
        let blocks = blocks.max(wanted).min(self.most);
        self.streams[..=known.unwrap_or(STREAMS - 1)].rotate_right(1);
        self.streams[0] = Stream { next: lba.saturating_add(blocks), blocks };
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_while_somebody_goes_on() {
        let mut streams = Streams::new(8, 64);
        assert_eq!(streams.window(100, 1), 8);
        // Another reader does not disturb the first.
        assert_eq!(streams.window(5000, 20), 20);
        assert_eq!(streams.window(108, 1), 16);
        assert_eq!(streams.window(124, 1), 32);
        assert_eq!(streams.window(5020, 1), 40);
        assert_eq!(streams.window(156, 1), 64);
        assert_eq!(streams.window(220, 1), 64);
        assert_eq!(streams.window(7, 1), 8, "a jump begins anew");
    }
}
