//! What a partition may hold after a power cut: everything up to the last completed flush, and of
//! what was written since then, whatever the disk happened to have kept.
//!
//! ```text
//!   write write FLUSH │ write write write ✂
//!   └── all of it ──┘   └── each sector: there or not, in any order ──┘
//! ```
//!
//! [`Disk`] goes along a log of writes; at every place it can be shown as one of those that may
//! survive there, and is itself again afterwards. What is in flight at the cut is the case of the
//! cut after it, with some of its sectors gone.

use std::ops::Range;

use super::write_log::{Operation, Stays};
use crate::network::random::Random;

/// Which of the unflushed sectors survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// All: the operating system was killed, not the power.
    All,
    /// None.
    None,
    /// Some, by the dice of this seed: whole writes lost, torn ones, older over newer.
    Some(u64),
}

/// An unflushed sector.
#[derive(Clone, Copy, Debug)]
struct Sector<'a> {
    /// Its place in the partition.
    at: usize,
    data: &'a [u8],
    /// Which write it is of.
    write: usize,
}

/// A partition at some place of a log of writes.
pub struct Disk<'a> {
    /// What stays for certain.
    bytes: Vec<u8>,
    /// Where the partition lies on the disk.
    range: Range<u64>,
    sector: usize,
    unflushed: Vec<Sector<'a>>,
    writes: usize,
}

impl<'a> Disk<'a> {
    /// As it was before anything of the log: the partition of that `range` of the disk.
    pub fn new(bytes: Vec<u8>, range: Range<u64>, sector: usize) -> Self {
        Self { bytes, range, sector, unflushed: Vec::new(), writes: 0 }
    }

    /// Goes on by one operation.
    pub fn advance(&mut self, operation: &Operation<'a>) {
        match *operation {
            Operation::Flush => {
                for Sector { at, data, .. } in self.unflushed.drain(..) {
                    self.bytes[at..at + data.len()].copy_from_slice(data);
                }
            }
            Operation::Write { offset, data, stays } => {
                let pieces = data.chunks(self.sector).enumerate();
                for (number, data) in pieces {
                    let place = offset + (number * self.sector) as u64;
                    let Some(at) = self.inside(place, data.len()) else { continue };
                    match stays {
                        Stays::AfterFlush => {
                            self.unflushed.push(Sector { at, data, write: self.writes });
                        }
                        Stays::AtOnce => {
                            self.unflushed.retain(|sector| sector.at != at);
                            self.bytes[at..at + data.len()].copy_from_slice(data);
                        }
                    }
                }
                self.writes += 1;
            }
            // What discarded blocks hold is the disk's affair: as if it kept them.
            Operation::Discard { .. } => {}
        }
    }

    /// Where in the partition those bytes of the disk are, if they are.
    fn inside(&self, place: u64, length: usize) -> Option<usize> {
        let is_inside = place >= self.range.start && place + length as u64 <= self.range.end;
        is_inside.then(|| (place - self.range.start) as usize)
    }

    /// How many of its sectors are not flushed.
    pub fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// Shows it to `look` as what survives a power cut here.
    pub fn survives<R>(&mut self, survival: Survival, look: impl FnOnce(&[u8]) -> R) -> R {
        let chosen = match survival {
            Survival::All => self.unflushed.clone(),
            Survival::None => Vec::new(),
            Survival::Some(seed) => self.diced(&mut Random::new(seed)),
        };
        let mut before: Vec<(usize, Vec<u8>)> = Vec::with_capacity(chosen.len());
        for Sector { at, data, .. } in chosen {
            let place = &mut self.bytes[at..at + data.len()];
            before.push((at, place.to_vec()));
            place.copy_from_slice(data);
        }
        let seen = look(&self.bytes);
        for (at, data) in before.into_iter().rev() {
            self.bytes[at..at + data.len()].copy_from_slice(&data);
        }
        seen
    }

    /// Some of the unflushed sectors, in the order in which they reach the medium.
    fn diced(&self, random: &mut Random) -> Vec<Sector<'a>> {
        // From hardly anything lost to nearly everything; of what is lost, some only in part.
        let lost = random.pick(&[300, 1_500, 5_000, 9_000]);
        let torn = random.pick(&[0, 2_000, 5_000]);
        let mut chosen = Vec::new();
        let mut rest = &self.unflushed[..];
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|sector| sector.write == first.write).count();
            let (write, others) = rest.split_at(count);
            rest = others;
            if random.happens(torn) {
                chosen.extend(write.iter().filter(|_| random.happens(5_000)));
            } else if !random.happens(lost) {
                chosen.extend(write);
            }
        }
        for left in (1..chosen.len()).rev() {
            chosen.swap(left, random.below(left as u64 + 1) as usize);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 512;

    fn write(offset: u64, data: &[u8]) -> Operation<'_> {
        Operation::Write { offset, data, stays: Stays::AfterFlush }
    }

    #[test]
    fn what_was_flushed_stays_and_nothing_else_has_to() {
        let mut disk = Disk::new(vec![0; 4096], 1024..5120, SECTOR);
        disk.advance(&write(1024, &[1; 2048]));
        disk.advance(&write(0, &[9; 512]));
        disk.advance(&write(5120, &[9; 512]));
        disk.advance(&Operation::Flush);
        disk.advance(&write(1536, &[2; 1024]));
        let mut seen = [false; 4];
        for seed in 0..500 {
            disk.survives(Survival::Some(seed), |bytes| {
                assert_eq!((bytes[0], bytes[1536], bytes[2048]), (1, 1, 0));
                seen[usize::from(bytes[512] == 2) * 2 + usize::from(bytes[1024] == 2)] = true;
            });
        }
        assert_eq!(seen, [true; 4], "nothing, one sector, the other, both");
        disk.survives(Survival::All, |bytes| assert_eq!((bytes[512], bytes[1535]), (2, 2)));
        disk.survives(Survival::None, |bytes| assert_eq!((bytes[512], bytes[1535]), (1, 1)));
        assert_eq!(disk.unflushed.len(), 2);
    }

    #[test]
    fn older_data_may_be_what_stays() {
        let mut disk = Disk::new(vec![0; 512], 0..512, SECTOR);
        disk.advance(&write(0, &[1; 512]));
        disk.advance(&write(0, &[2; 512]));
        let mut seen = [false; 3];
        for seed in 0..200 {
            disk.survives(Survival::Some(seed), |bytes| seen[usize::from(bytes[0])] = true);
        }
        assert_eq!(seen, [true; 3]);
        // What is forced onto the medium is there, and nothing older comes over it.
        let forced = Operation::Write { offset: 0, data: &[3; 512], stays: Stays::AtOnce };
        disk.advance(&forced);
        for seed in 0..200 {
            disk.survives(Survival::Some(seed), |bytes| assert_eq!(bytes[0], 3));
        }
    }
}
