//! Submission queue entries: commands, as eight 64-bit words (NVMe 1.4, sections 4.2, 5 and 6).

use super::{LogPage, Prp};

/// What a command is called until it completes.
pub type CommandId = u16;

/// The address of a page of memory as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(pub u64);

/// A command, as it lies in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub [u64; 8]);

mod admin {
    pub(super) const DELETE_IO_SUBMISSION_QUEUE: u8 = 0x00;
    pub(super) const CREATE_IO_SUBMISSION_QUEUE: u8 = 0x01;
    pub(super) const GET_LOG_PAGE: u8 = 0x02;
    pub(super) const DELETE_IO_COMPLETION_QUEUE: u8 = 0x04;
    pub(super) const CREATE_IO_COMPLETION_QUEUE: u8 = 0x05;
    pub(super) const IDENTIFY: u8 = 0x06;
    pub(super) const ABORT: u8 = 0x08;
    pub(super) const SET_FEATURES: u8 = 0x09;
    pub(super) const ASYNCHRONOUS_EVENT_REQUEST: u8 = 0x0c;
    pub(super) const DOORBELL_BUFFER_CONFIG: u8 = 0x7c;
}

mod io {
    pub(super) const FLUSH: u8 = 0x00;
    pub(super) const WRITE: u8 = 0x01;
    pub(super) const READ: u8 = 0x02;
    pub(super) const WRITE_ZEROES: u8 = 0x08;
    pub(super) const DATASET_MANAGEMENT: u8 = 0x09;
}

mod feature {
    pub(super) const NUMBER_OF_QUEUES: u32 = 0x07;
    pub(super) const ASYNCHRONOUS_EVENTS: u32 = 0x0b;
}

/// Queues lie in one piece of memory.
const CONTIGUOUS: u32 = 1;
/// A completion queue raises interrupts.
const INTERRUPTS: u32 = 1 << 1;
/// Dataset management: the ranges are not needed any more.
const DEALLOCATE: u32 = 1 << 2;
/// Every namespace at once.
const ALL_NAMESPACES: u32 = u32::MAX;

/// Most blocks one command can name.
pub const BLOCKS_MOST: u32 = 1 << 16;

impl Command {
    fn new(opcode: u8, namespace: u32, dwords: [u32; 6]) -> Self {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let [d10, d11, d12, d13, d14, d15] = dwords;
        Self([
            pair(u32::from(opcode), namespace),
            0,
            0,
            0,
            0,
            pair(d10, d11),
            pair(d12, d13),
            pair(d14, d15),
        ])
    }

    fn identify(what: u32, namespace: u32) -> Self {
        Self::new(admin::IDENTIFY, namespace, [what, 0, 0, 0, 0, 0])
    }

    /// Identify: the controller.
    pub fn identify_controller() -> Self {
        Self::identify(1, 0)
    }

    /// Identify: a namespace.
    pub fn identify_namespace(namespace: u32) -> Self {
        Self::identify(0, namespace)
    }

    /// Identify: the ids of the active namespaces.
    pub fn identify_active() -> Self {
        Self::identify(2, 0)
    }

    /// Set features: asks for `count` I/O queue pairs, at least one. What is granted is in the
    /// result: [`granted_queues`](super::granted_queues).
    pub fn set_queue_count(count: u16) -> Self {
        let count = u32::from(count.saturating_sub(1));
        let dwords = [feature::NUMBER_OF_QUEUES, count << 16 | count, 0, 0, 0, 0];
        Self::new(admin::SET_FEATURES, 0, dwords)
    }

    /// Set features: which events are reported, as bits of [`super::EVENTS_WANTED`].
    pub fn set_events(wanted: u32) -> Self {
        Self::new(admin::SET_FEATURES, 0, [feature::ASYNCHRONOUS_EVENTS, wanted, 0, 0, 0, 0])
    }

    /// Creates I/O completion queue `queue` of `entries` entries, at least 2, that raises interrupt
    /// `vector`, or none.
    pub fn create_completion_queue(
        queue: u16,
        entries: u16,
        at: Page,
        vector: Option<u16>,
    ) -> Self {
        let size = u32::from(entries.saturating_sub(1)) << 16 | u32::from(queue);
        let interrupts = vector.map_or(0, |vector| u32::from(vector) << 16 | INTERRUPTS);
        let dwords = [size, interrupts | CONTIGUOUS, 0, 0, 0, 0];
        Self::new(admin::CREATE_IO_COMPLETION_QUEUE, 0, dwords).with_memory(Prp::one(at))
    }

    /// Creates I/O submission queue `queue` of `entries` entries, whose completions go to the
    /// completion queue of the same number.
    pub fn create_submission_queue(queue: u16, entries: u16, at: Page) -> Self {
        let size = u32::from(entries.saturating_sub(1)) << 16 | u32::from(queue);
        let dwords = [size, u32::from(queue) << 16 | CONTIGUOUS, 0, 0, 0, 0];
        Self::new(admin::CREATE_IO_SUBMISSION_QUEUE, 0, dwords).with_memory(Prp::one(at))
    }

    /// Deletes I/O submission queue `queue`: once done, the controller has stopped with all that
    /// came by it.
    pub fn delete_submission_queue(queue: u16) -> Self {
        Self::new(admin::DELETE_IO_SUBMISSION_QUEUE, 0, [u32::from(queue), 0, 0, 0, 0, 0])
    }

    /// Deletes I/O completion queue `queue`, after its submission queue.
    pub fn delete_completion_queue(queue: u16) -> Self {
        Self::new(admin::DELETE_IO_COMPLETION_QUEUE, 0, [u32::from(queue), 0, 0, 0, 0, 0])
    }

    /// Aborts command `id` of submission queue `queue`, if the controller can.
    pub fn abort(queue: u16, id: CommandId) -> Self {
        let which = u32::from(id) << 16 | u32::from(queue);
        Self::new(admin::ABORT, 0, [which, 0, 0, 0, 0, 0])
    }

    /// The first `bytes` bytes (a multiple of 4) of log page `page`, of the controller as a whole.
    pub fn log_page(page: LogPage, bytes: usize) -> Self {
        let dwords = (bytes / 4).saturating_sub(1) as u32;
        let dwords = [page as u32 | (dwords & 0xffff) << 16, dwords >> 16, 0, 0, 0, 0];
        Self::new(admin::GET_LOG_PAGE, ALL_NAMESPACES, dwords)
    }

    /// Completes when something happens: see [`AsyncEvent`](super::AsyncEvent).
    pub fn await_event() -> Self {
        Self::new(admin::ASYNCHRONOUS_EVENT_REQUEST, 0, [0; 6])
    }

    /// Names the memory in which doorbells are mirrored, a page, and that in which the controller
    /// says at which of their values it wants the register written, another one.
    pub fn set_doorbell_buffer(doorbells: Page, events: Page) -> Self {
        let prp = Prp { first: doorbells.0, second: events.0 };
        Self::new(admin::DOORBELL_BUFFER_CONFIG, 0, [0; 6]).with_memory(prp)
    }

    fn on_blocks(opcode: u8, namespace: u32, lba: u64, blocks: u32) -> Self {
        let count = blocks.clamp(1, BLOCKS_MOST) - 1;
        Self::new(opcode, namespace, [lba as u32, (lba >> 32) as u32, count, 0, 0, 0])
    }

    /// Reads `blocks` blocks (1 to [`BLOCKS_MOST`]) from block `lba` on.
    pub fn read(namespace: u32, lba: u64, blocks: u32) -> Self {
        Self::on_blocks(io::READ, namespace, lba, blocks)
    }

    /// Writes `blocks` blocks (1 to [`BLOCKS_MOST`]) from block `lba` on.
    pub fn write(namespace: u32, lba: u64, blocks: u32) -> Self {
        Self::on_blocks(io::WRITE, namespace, lba, blocks)
    }

    /// Makes `blocks` blocks (1 to [`BLOCKS_MOST`]) from block `lba` on read as zeros.
    pub fn write_zeroes(namespace: u32, lba: u64, blocks: u32) -> Self {
        Self::on_blocks(io::WRITE_ZEROES, namespace, lba, blocks)
    }

    /// Gives up the data of one range, which lies in memory: [`discard_range`].
    pub fn deallocate(namespace: u32) -> Self {
        Self::new(io::DATASET_MANAGEMENT, namespace, [0, DEALLOCATE, 0, 0, 0, 0])
    }

    /// Makes what was written survive a loss of power.
    pub fn flush(namespace: u32) -> Self {
        Self::new(io::FLUSH, namespace, [0; 6])
    }

    /// The same, with this memory.
    #[must_use]
    pub const fn with_memory(mut self, prp: Prp) -> Self {
        self.0[3] = prp.first;
        self.0[4] = prp.second;
        self
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

/// Bytes of a range of blocks as [`Command::deallocate`] takes it.
pub const RANGE_BYTES: usize = 16;

/// A range of blocks as [`Command::deallocate`] takes it (6.7).
pub const fn discard_range(lba: u64, blocks: u32) -> [u8; RANGE_BYTES] {
    ((lba as u128) << 64 | (blocks as u128) << 32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_the_specification_says() {
        let prp = Prp { first: 0x1000, second: 0x2000 };
        let read = Command::read(7, 0x1_0000_0002, 8).with_memory(prp).called(0xabcd);
        assert_eq!(read.0[0], 0x0000_0007_abcd_0002);
        assert_eq!(
            (read.0[3], read.0[4], read.0[5], read.0[6]),
            (0x1000, 0x2000, 0x1_0000_0002, 7)
        );
        assert_eq!((read.id(), read.opcode(), read.namespace()), (0xabcd, 2, 7));
        assert_eq!((read.dword(10), read.dword(11), read.dword(12)), (2, 1, 7));
        assert_eq!(read.prp(), prp);
        assert_eq!(Command::write(1, 0, BLOCKS_MOST).dword(12), 0xffff);
        let queue = Command::create_submission_queue(1, 64, Page(0x3000));
        assert_eq!((queue.dword(10), queue.dword(11)), (63 << 16 | 1, 1 << 16 | 1));
        let queue = Command::create_completion_queue(3, 64, Page(0x3000), Some(3));
        assert_eq!((queue.dword(10), queue.dword(11)), (63 << 16 | 3, 3 << 16 | 3));
        let queue = Command::create_completion_queue(3, 64, Page(0x3000), None);
        assert_eq!((queue.dword(11), queue.prp().first), (1, 0x3000));
        assert_eq!(Command::set_queue_count(4).dword(11), 3 << 16 | 3);
        assert_eq!(Command::identify_active().dword(10), 2);
        assert_eq!(Command::flush(1).called(1).called(2).id(), 2);
        assert_eq!(Command::abort(2, 0x1234).dword(10), 0x1234_0002);
        let log = Command::log_page(LogPage::Health, 512);
        assert_eq!((log.opcode(), log.namespace(), log.dword(10)), (2, u32::MAX, 127 << 16 | 2));
        assert_eq!(Command::deallocate(1).dword(11), 4);
        let range = discard_range(0x0102_0304_0506_0708, 0x0a0b_0c0d);
        assert_eq!(range[..8], [0, 0, 0, 0, 0x0d, 0x0c, 0x0b, 0x0a]);
        assert_eq!(range[8..], [8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
