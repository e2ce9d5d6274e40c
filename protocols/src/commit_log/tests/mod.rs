//! The log over simulated disks: power cuts, bit flips, wraps, and bytes that mean nothing.

extern crate std;

mod cuts;
mod damage;
mod forged;
mod formats;
mod history;
mod life;

use super::*;
use history::History;
use std::vec;
use std::vec::Vec;

const PARTITION: Guid = Guid([0x51; 16]);

/// A disk whose writes may be lost until they are flushed.
#[derive(Clone, Debug)]
struct Disk {
    partition: Partition,
    /// What would survive.
    bytes: Vec<u8>,
    /// Written since the last flush, block by block.
    pending: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    fn new(block_size: u32, bytes: u64) -> Self {
        let partition =
            Partition { id: PARTITION, block_size, blocks: bytes / u64::from(block_size) };
        Self { partition, bytes: vec![0; bytes as usize], pending: Vec::new() }
    }

    fn put(&mut self, block: u64, bytes: &[u8]) {
        let at = block as usize * self.partition.block_size as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The step as the disk sees it: one block at a time.
    fn atoms(&self, step: &Step) -> Vec<Atom> {
        match step {
            Step::Flush => vec![Atom::Flush],
            Step::Write { block, bytes } => {
                assert!(!bytes.is_empty());
                let blocks = bytes.chunks_exact(self.partition.block_size as usize);
                assert!(blocks.remainder().is_empty());
                let atom = |(block, bytes): (u64, &[u8])| Atom::Write(block, bytes.to_vec());
                (*block..).zip(blocks).map(atom).collect()
            }
        }
    }

    fn carry_out(&mut self, atom: Atom) {
        match atom {
            Atom::Write(block, bytes) => {
                assert!(block < self.partition.blocks);
                self.pending.push((block, bytes));
            }
            Atom::Flush => self.cut(|_| true),
        }
    }

    /// Keeps those pending writes that `survives` agrees to, by their order.
    fn cut(&mut self, mut survives: impl FnMut(usize) -> bool) {
        for (at, (block, bytes)) in core::mem::take(&mut self.pending).into_iter().enumerate() {
            if survives(at) {
                self.put(block, &bytes);
            }
        }
    }

    /// All steps of the writer, to the end.
    fn run(&mut self, writer: &mut Writer) {
        while let Some(step) = writer.step() {
            self.atoms(&step).into_iter().for_each(|atom| self.carry_out(atom));
        }
    }

    fn recover(&self) -> Result<Found, Refusal> {
        self.recover_seeing(&mut |_| ())
    }

    fn recover_seeing(&self, see: &mut dyn FnMut(Seen<'_>)) -> Result<Found, Refusal> {
        let mut recovery = Recovery::new(self.partition);
        let mut reads = 0;
        while let Some(Blocks { first, count }) = recovery.wanted() {
            let size = self.partition.block_size as usize;
            let start = first as usize * size;
            recovery.give(&self.bytes[start..start + count as usize * size], see);
            reads += 1;
            assert!(reads < 10_000, "it does not end");
        }
        recovery.finish().unwrap()
    }

    fn log(&self) -> Log {
        match self.recover() {
            Ok(Found::Log(log)) => *log,
            other => panic!("{other:?}"),
        }
    }
}

/// What a disk does as a whole or not at all.
#[derive(Clone, Debug)]
enum Atom {
    Write(u64, Vec<u8>),
    Flush,
}
