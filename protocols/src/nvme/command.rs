//! Submission queue entries: commands, as eight 64-bit words (NVMe 1.4, sections 4.2, 5 and 6).

use super::Prp;

/// What a command is called until it completes.
pub type CommandId = u16;

/// The address of a page of memory as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(pub u64);

/// A command, as it lies in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub [u64; 8]);

mod admin {
    pub(super) const CREATE_IO_SUBMISSION_QUEUE: u8 = 0x01;
    pub(super) const CREATE_IO_COMPLETION_QUEUE: u8 = 0x05;
    pub(super) const IDENTIFY: u8 = 0x06;
    pub(super) const SET_FEATURES: u8 = 0x09;
}

mod io {
    pub(super) const FLUSH: u8 = 0x00;
    pub(super) const WRITE: u8 = 0x01;
    pub(super) const READ: u8 = 0x02;
}

/// Queues lie in one piece of memory.
const CONTIGUOUS: u32 = 1;
/// The feature "number of queues".
const NUMBER_OF_QUEUES: u32 = 0x07;

impl Command {
    fn new(opcode: u8, namespace: u32, prp: Prp, dwords: [u32; 6]) -> Self {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let [d10, d11, d12, d13, d14, d15] = dwords;
        Self([
            pair(u32::from(opcode), namespace),
            0,
            0,
            prp.first,
            prp.second,
            pair(d10, d11),
            pair(d12, d13),
            pair(d14, d15),
        ])
    }

    fn identify(what: u32, namespace: u32, into: Page) -> Self {
        Self::new(admin::IDENTIFY, namespace, Prp::one(into), [what, 0, 0, 0, 0, 0])
    }

    /// Identify: the controller.
    pub fn identify_controller(into: Page) -> Self {
        Self::identify(1, 0, into)
    }

    /// Identify: a namespace.
    pub fn identify_namespace(namespace: u32, into: Page) -> Self {
        Self::identify(0, namespace, into)
    }

    /// Identify: the ids of the active namespaces.
    pub fn identify_active(into: Page) -> Self {
        Self::identify(2, 0, into)
    }

    /// Set features: asks for `count` I/O queue pairs, at least one.
    pub fn set_queue_count(count: u16) -> Self {
        let count = u32::from(count.saturating_sub(1));
        let dwords = [NUMBER_OF_QUEUES, count << 16 | count, 0, 0, 0, 0];
        Self::new(admin::SET_FEATURES, 0, Prp::NONE, dwords)
    }

    /// Creates I/O completion queue `queue` of `entries` entries, at least 2, that raises no
    /// interrupt.
    pub fn create_completion_queue(queue: u16, entries: u16, at: Page) -> Self {
        let size = u32::from(entries.saturating_sub(1)) << 16 | u32::from(queue);
        let dwords = [size, CONTIGUOUS, 0, 0, 0, 0];
        Self::new(admin::CREATE_IO_COMPLETION_QUEUE, 0, Prp::one(at), dwords)
    }

    /// Creates I/O submission queue `queue` of `entries` entries, whose completions go to the
    /// completion queue of the same number.
    pub fn create_submission_queue(queue: u16, entries: u16, at: Page) -> Self {
        let size = u32::from(entries.saturating_sub(1)) << 16 | u32::from(queue);
        let dwords = [size, u32::from(queue) << 16 | CONTIGUOUS, 0, 0, 0, 0];
        Self::new(admin::CREATE_IO_SUBMISSION_QUEUE, 0, Prp::one(at), dwords)
    }

    fn transfer(opcode: u8, namespace: u32, lba: u64, blocks: u16, prp: Prp) -> Self {
        let dwords = [lba as u32, (lba >> 32) as u32, u32::from(blocks.saturating_sub(1)), 0, 0, 0];
        Self::new(opcode, namespace, prp, dwords)
    }

    /// Reads `blocks` blocks (at least one) from block `lba` on.
    pub fn read(namespace: u32, lba: u64, blocks: u16, prp: Prp) -> Self {
        Self::transfer(io::READ, namespace, lba, blocks, prp)
    }

    /// Writes `blocks` blocks (at least one) from block `lba` on.
    pub fn write(namespace: u32, lba: u64, blocks: u16, prp: Prp) -> Self {
        Self::transfer(io::WRITE, namespace, lba, blocks, prp)
    }

    /// Makes what was written survive a loss of power.
    pub fn flush(namespace: u32) -> Self {
        Self::new(io::FLUSH, namespace, Prp::NONE, [0; 6])
    }

    /// The same, called `id`.
    #[must_use]
    pub const fn called(mut self, id: CommandId) -> Self {
        self.0[0] = self.0[0] & !(0xffff << 16) | (id as u64) << 16;
        self
    }

    /// What it is called.
    pub const fn id(&self) -> CommandId {
        (self.0[0] >> 16) as u16
    }

    /// What is to be done.
    pub const fn opcode(&self) -> u8 {
        self.0[0] as u8
    }

    /// The namespace it is for.
    pub const fn namespace(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// The memory it names.
    pub const fn prp(&self) -> Prp {
        Prp { first: self.0[3], second: self.0[4] }
    }

    /// Double word 10 to 15, by its number.
    pub const fn dword(&self, number: usize) -> u32 {
        (self.0[number / 2 % 8] >> (number % 2 * 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_the_specification_says() {
        let prp = Prp { first: 0x1000, second: 0x2000 };
        let read = Command::read(7, 0x1_0000_0002, 8, prp).called(0xabcd);
        assert_eq!(read.0[0], 0x0000_0007_abcd_0002);
        assert_eq!(
            (read.0[3], read.0[4], read.0[5], read.0[6]),
            (0x1000, 0x2000, 0x1_0000_0002, 7)
        );
        assert_eq!((read.id(), read.opcode(), read.namespace()), (0xabcd, 2, 7));
        assert_eq!((read.dword(10), read.dword(11), read.dword(12)), (2, 1, 7));
        assert_eq!(read.prp(), prp);
        let queue = Command::create_submission_queue(1, 64, Page(0x3000));
        assert_eq!((queue.dword(10), queue.dword(11)), (63 << 16 | 1, 1 << 16 | 1));
        assert_eq!(Command::set_queue_count(4).dword(11), 3 << 16 | 3);
        assert_eq!(Command::identify_active(Page(0)).dword(10), 2);
        assert_eq!(Command::flush(1).called(1).called(2).id(), 2);
    }
}
