//! What is wrong with a boot medium, and doing it to its files.

use anyhow::{Context, Result};

use crate::image::Entry;

/// What is done to the boot medium first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Nothing.
    None,
    /// A file gets other contents: no ELF, only noise.
    Corrupt(&'static str),
    /// A file loses its second half.
    Cut(&'static str),
    /// A file named by `limine.conf` is not there.
    Remove(&'static str),
    /// `limine.conf` itself reads like this.
    Configuration(&'static str),
    /// More modules, of this many MiB together.
    Ballast(usize),
}

impl Mutation {
    /// Does it to the files of a boot medium.
    pub fn apply(self, entries: &mut Vec<Entry>) -> Result<()> {
        let find = |entries: &Vec<Entry>, path: &str| {
            let found = entries.iter().position(|entry| entry.path == path);
            found.with_context(|| format!("there is no {path} on the medium to damage"))
        };
        match self {
            Self::None => {}
            Self::Corrupt(path) => {
                let at = find(entries, path)?;
                entries[at].contents = noise(4096);
            }
            Self::Cut(path) => {
                let at = find(entries, path)?;
                let half = entries[at].contents.len() / 2;
                entries[at].contents.truncate(half);
            }
            Self::Remove(path) => {
                let at = find(entries, path)?;
                entries.remove(at);
            }
            Self::Configuration(text) => {
                let at = find(entries, "limine.conf")?;
                entries[at].contents = text.as_bytes().to_vec();
            }
            Self::Ballast(size) => {
                let at = find(entries, "limine.conf")?;
                // In pieces, so that scattered memory fills up too.
                for piece in 0..size / PIECE {
                    let lines = format!(
                        "    module_path: boot():/pollux/ballast{piece}\n    \
                         module_cmdline: ballast{piece}\n"
                    );
                    entries[at].contents.extend_from_slice(lines.as_bytes());
                    let path = format!("pollux/ballast{piece}");
                    entries.push(Entry::new(path, vec![0x5a; PIECE << 20]));
                }
            }
        }
        Ok(())
    }
}

/// Size of one module of ballast, in MiB.
const PIECE: usize = 2;

/// The same noise every time (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_damaged_as_told() {
        let fresh = || vec![Entry::new("limine.conf", *b"x\n"), Entry::new("pollux/a", *b"abcd")];
        let mutated = |mutation: Mutation| {
            let mut entries = fresh();
            mutation.apply(&mut entries).map(|()| entries)
        };
        assert_eq!(mutated(Mutation::Cut("pollux/a")).unwrap()[1].contents, b"ab");
        assert_eq!(mutated(Mutation::Corrupt("pollux/a")).unwrap()[1].contents.len(), 4096);
        assert_eq!(mutated(Mutation::Remove("pollux/a")).unwrap().len(), 1);
        let heavy = mutated(Mutation::Ballast(4)).unwrap();
        assert_eq!((heavy.len(), heavy[3].contents.len()), (4, 2 << 20));
        assert!(String::from_utf8_lossy(&heavy[0].contents).contains("pollux/ballast"));
        assert!(mutated(Mutation::Remove("pollux/b")).is_err());
    }
}
