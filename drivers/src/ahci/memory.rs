//! The memory a port shares with its driver, and when it is freed.
//!
//! ```text
//!   page of a port:  0x000 list of commands (32 headers)
//!                    0x400 frames received
//!                    0x600 answers to the driver's own commands (512 bytes)
//!                    0x800 table of the driver's own command
//!   tables of a disk: one for each slot, 4224 bytes: the command's frame, then 256 pieces
//! ```
//!
//! Freed with its last owner if the port has provably stopped by then, else leaked.

use core::sync::atomic::{AtomicBool, Ordering};

use hal::dma::{DeviceAddress, DmaDomain, DmaError, DmaRing, Loan, PAGE};
use protocols::ahci::{Fis, Header, Piece, SLOTS, merge, place};
use protocols::ata::{Command, SECTOR_BYTES};

/// Most pieces of memory of one command.
const PIECES: usize = 256;
/// Most bytes of one command: every page may be a piece.
pub(super) const TRANSFER_MOST: u32 = (PIECES * PAGE) as u32;
/// Entries of 16 bytes of a table: 128 bytes of the command, then the pieces.
const TABLE_ENTRIES: usize = 8 + PIECES;

const WORD: usize = 8;
const RECEIVED: usize = 0x400;
const ANSWER: usize = 0x600;
const OWN_TABLE: usize = 0x800;
/// Pieces begin so many bytes into a table.
const OWN_PIECES: usize = OWN_TABLE + protocols::ahci::PRDT_OFFSET;

/// A ring that its last owner frees or leaks.
pub(super) struct Kept<const WORDS: usize> {
    ring: Option<DmaRing<WORDS>>,
    address: DeviceAddress,
    /// Whether a device may be using it.
    in_use: AtomicBool,
}

impl<const WORDS: usize> Kept<WORDS> {
    fn new(mut ring: DmaRing<WORDS>) -> Self {
        let address = ring.address();
        Self { ring: Some(ring), address, in_use: AtomicBool::new(false) }
    }

    /// A device is about to be told of it.
    pub(super) fn lend(&self) {
        self.in_use.store(true, Ordering::Release);
    }

    /// The device has provably stopped.
    pub(super) fn give_back(&self) {
        self.in_use.store(false, Ordering::Release);
    }

    fn set_entry(&self, index: usize, entry: [u64; WORDS]) {
        if let Some(ring) = &self.ring {
            ring.set_entry(index, entry);
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.word(index, 0))
    }
}

impl<const WORDS: usize> Drop for Kept<WORDS> {
    fn drop(&mut self) {
        if !self.in_use.load(Ordering::Acquire)
            && let Some(ring) = self.ring.take()
        {
            ring.retire();
        }
    }
}

/// A port's page.
pub(super) struct Page(pub(super) Kept<1>);

impl Page {
    pub(super) fn new(dma: &DmaDomain) -> Result<Self, DmaError> {
        Ok(Self(Kept::new(dma.ring(PAGE / WORD)?)))
    }

    pub(super) fn list(&self) -> DeviceAddress {
        self.0.address
    }

    pub(super) fn received(&self) -> DeviceAddress {
        self.0.address.plus(RECEIVED as u64)
    }

    fn set(&self, at: usize, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            self.0.set_entry(at / WORD + index, [*word]);
        }
    }

    fn words<const N: usize>(&self, at: usize) -> [u64; N] {
        core::array::from_fn(|index| self.0.word(at / WORD + index))
    }

    pub(super) fn set_header(&self, slot: usize, header: Header) {
        self.set(slot % SLOTS * 32, &header.words());
    }

    pub(super) fn header(&self, slot: usize) -> Header {
        Header::read(self.words(slot % SLOTS * 32))
    }

    /// Writes the driver's own command: it answers with 512 bytes, or with none.
    pub(super) fn own_command(&self, command: &Command, answer: Answer) -> Header {
        self.set(OWN_TABLE, &command.frame_words());
        let address = self.0.address.plus(ANSWER as u64).0;
        self.set(OWN_PIECES, &Piece { address, bytes: SECTOR_BYTES as u64 }.words());
        let pieces = match answer {
            Answer::Sector => 1,
            Answer::None => 0,
        };
        let table = self.0.address.plus(OWN_TABLE as u64).0;
        Header { table, pieces, writes_device: false }
    }

    /// What the driver's own command gave.
    pub(super) fn answer(&self) -> [u8; SECTOR_BYTES] {
        let mut bytes = [0; SECTOR_BYTES];
        for (index, part) in bytes.chunks_exact_mut(WORD).enumerate() {
            part.copy_from_slice(&self.0.word(ANSWER / WORD + index).to_le_bytes());
        }
        bytes
    }

    /// Whether a frame that ends commands has come since they were forgotten: memory is looked at
    /// for a fraction of what a register costs.
    pub(super) fn came(&self, frames: Frames) -> bool {
        let word = |at: usize| self.0.word((RECEIVED + at) / WORD);
        match frames {
            Frames::Queued => word(place::DEVICE_BITS) != 0,
            Frames::Alone => word(place::REGISTERS) != 0 || word(place::PIO_SETUP) != 0,
        }
    }

    /// Forgets the frames that have come. Those of a command that comes alone hold its answer.
    pub(super) fn forget(&self, frames: Frames) {
        let places = match frames {
            Frames::Queued => &[place::DEVICE_BITS][..],
            Frames::Alone => &[place::REGISTERS, place::PIO_SETUP],
        };
        for at in places {
            self.set(RECEIVED + at, &[0]);
        }
    }

    /// The address in the registers that the device sent last, see
    /// [`Command::smart_status`].
    pub(super) fn received_lba(&self) -> u64 {
        let mut bytes = [0; 24];
        let words: [u64; 3] = self.words(RECEIVED + place::REGISTERS);
        for (part, word) in bytes.chunks_exact_mut(WORD).zip(words) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        match Fis::new_checked(&bytes) {
            Ok(Fis::Registers(registers)) => registers.lba,
            _ => 0,
        }
    }
}

/// The frames that end commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// Queued ones.
    Queued,
    /// One that came alone.
    Alone,
}

/// What one of the driver's own commands answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 512 bytes.
    Sector,
    /// Nothing.
    None,
}

/// The tables of a disk's slots.
pub(super) struct Tables(pub(super) Kept<2>);

impl Tables {
    pub(super) fn new(dma: &DmaDomain, slots: u16) -> Result<Self, DmaError> {
        Ok(Self(Kept::new(dma.ring(usize::from(slots) * TABLE_ENTRIES)?)))
    }

    /// Writes slot `slot`'s table. `None`: more than [`TRANSFER_MOST`] bytes, or memory beyond
    /// `highest`.
    pub(super) fn set(
        &self,
        slot: usize,
        command: &Command,
        loan: Option<&Loan>,
        highest: u64,
    ) -> Option<Written> {
        let first = slot * TABLE_ENTRIES;
        let [a, b, c] = command.frame_words();
        self.0.set_entry(first, [a, b]);
        self.0.set_entry(first + 1, [c, 0]);
        let mut pieces = 0;
        if let Some(loan) = loan {
            let bytes = loan.bytes();
            let pages = (0..bytes.div_ceil(PAGE)).map(|page| loan.page(page).0);
            for piece in merge(pages, PAGE as u64, bytes as u64) {
                let last = piece.address.checked_add(piece.bytes - 1)?;
                if pieces == PIECES || last > highest {
                    return None;
                }
                self.0.set_entry(first + 8 + pieces, piece.words());
                pieces += 1;
            }
        }
        let table = self.0.address.plus((first * 16) as u64).0;
        Some(Written { table, pieces: pieces as u16 })
    }
}

/// A table as its header names it.
pub(super) struct Written {
    pub(super) table: u64,
    pub(super) pieces: u16,
}
