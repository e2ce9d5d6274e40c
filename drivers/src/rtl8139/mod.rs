//! Realtek's RTL8139, Fast Ethernet on plain PCI.
//!
//! ```text
//!   run ── reset ──> address, memory ──> announce ──> running <────────────┐
//!            │                                          │ told to stop     │ trouble: all memory
//!            v not in time                              │                  │ back, started anew
//!          error                      gone: error <─────┼── reset ─────────┘
//!                                                       v
//!                                     what is under way is sent ──> reset ──> memory back
//! ```
//!
//! | file | what |
//! |---|---|
//! | `registers` | the registers, reset, start |
//! | `receive` | the receive buffer: frames are copied out of it |
//! | `transmit` | four descriptors, each lent a frame's own memory |
//! | `noticing` | what the reaper does at each look |
//! | `serve` | supervision: hangs, resets, the end |
//!
//! Whatever is wrong with the device is answered by its reset: a bad header in the receive buffer,
//! a frame that is never sent, a receiver that stands still. What was in its descriptors then is
//! lost, as on the wire; if it does not even reset, its memory is leaked.
//!
//! It has no checksum offload, no segmentation, and interrupts by its line alone. Not here: the
//! descriptor rings of the 8139C+, waking up by the network.
//!
//! Source: the data sheet named in [`protocols::rtl8139`].

#[cfg(test)]
mod model;
mod noticing;
mod receive;
mod registers;
mod serve;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform};
use futures_util::future::{Either, select};
use hal::dma::{AddressLimit, DmaDomain, DmaError};
use hal::mmio::DeviceRegion;
use hal::pci::{Function, Interrupts, PciError};
use protocols::pci::{BAR_COUNT, BarKind};
use protocols::rtl8139::{
    Causes, DESCRIPTORS, GroupFilter, HeaderError, LONGEST_TRANSMIT, REGISTER_BYTES,
};

use self::receive::Receiver;
use self::registers::{CAUSES, Registers};
use self::transmit::Transmitter;
use crate::completion::CompletionMode;
use crate::net::{
    Frame, FramePool, LinkState, MacAddress, NetDevice, NetInfo, Offload, Port, Refused,
};

/// The addresses it puts on the bus.
const REACH: AddressLimit = AddressLimit::bits(32);
/// Bytes of a frame's buffer: two to a page would need an allocator; the rest is not touched.
const BUFFER_BYTES: usize = 2048;
/// Buffers kept for the next frames: as many as can wait in a port.
const KEPT: usize = 256;

/// What the driver is given.
pub struct Parts {
    /// What it is called in the log, such as `net0`.
    pub name: String,
    /// Its registers.
    pub registers: DeviceRegion,
    /// The memory it can reach.
    pub dma: DmaDomain,
    /// Its interrupts.
    pub interrupts: Interrupts,
    /// How arrival is noticed to begin with.
    pub mode: CompletionMode,
    /// Ends the driver in an orderly way.
    pub stop: Arc<Notify>,
}

/// Why the driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Rtl8139Error {
    /// Nothing answers any more.
    #[error("the device is gone")]
    Gone,
    /// It has fewer registers than it should: it is not what its ids say.
    #[error("it has too few registers")]
    TooFewRegisters,
    /// It has no address of its own: its EEPROM is empty or damaged.
    #[error("{0} cannot be its address: its EEPROM is empty or damaged")]
    BadAddress(MacAddress),
    /// It did not do something within the time it has for it.
    #[error("the device was not {0} within {1} ms")]
    NotInTime(&'static str, u64),
    /// There is no memory for its receive buffer.
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// What a reset is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
enum Trouble {
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("the receiver does not recover from an overflow")]
    Overflow,
    #[error("the receiver stands still")]
    ReceiverStuck,
    #[error("a frame is not sent")]
    TransmitterStuck,
    #[error("a frame was given up")]
    Aborted,
    #[error("the bus failed")]
    Bus,
    #[error("it interrupts for nothing")]
    Storm,
    #[error("it has forgotten how it was started")]
    Forgetful,
}

/// What the device is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Running,
    /// In trouble: it is being reset.
    Resting,
    /// The driver has ended, or is about to.
    Closed,
}

/// A device that is being served.
pub struct Nic {
    name: String,
    info: NetInfo,
    registers: Registers,
    port: Port,
    pool: Arc<FramePool>,
    /// A [`State`]. Changes away from `Running` count for a sender once it has the transmitter.
    state: AtomicU8,
    receiver: spin::Mutex<Receiver>,
    transmitter: spin::Mutex<Transmitter>,
    /// Somebody found all descriptors taken, and waits.
    wants_room: AtomicBool,
    /// A [`GroupFilter`].
    groups: AtomicU64,
    /// Looks in a row that found causes, and nothing else; overflows after which nothing came.
    vain_looks: AtomicU32,
    overflows: AtomicU32,
    trouble: spin::Mutex<Option<Trouble>>,
    troubled: Notify,
}

/// The parts of the device that `function` is. Lets it reach memory.
///
/// # Errors
/// Its registers cannot be had.
pub fn attach(
    name: String,
    function: &Function,
    dma: DmaDomain,
    interrupts: Interrupts,
    mode: CompletionMode,
) -> Result<Parts, PciError> {
    // The same registers are behind one in I/O ports and one in memory, in either order.
    let is_memory = |index: &u8| {
        function.bar(*index).is_ok_and(|bar| matches!(bar.kind, BarKind::Memory { .. }))
    };
    let bar = (0..BAR_COUNT).find(is_memory).ok_or(PciError::NoBar(1))?;
    let registers = function.map_bar(bar, REGISTER_BYTES)?;
    function.enable_bus_master()?;
    Ok(Parts { name, registers, dma, interrupts, mode, stop: Arc::new(Notify::new()) })
}

/// Serves it until it is told to stop (`Ok`), or the device fails for good. `announce` is given it
/// once it is ready.
///
/// The future may be dropped at any time: the device is told to stop, and the memory that it might
/// still use is leaked.
///
/// # Errors
/// The device cannot be used, or is gone.
pub async fn run<P: Platform>(
    parts: Parts,
    announce: impl FnOnce(Arc<Nic>),
) -> Result<(), Rtl8139Error> {
    let Parts { name, registers, dma, interrupts, mode, stop } = parts;
    let nic = Arc::new(Nic::bring_up::<P>(name, registers, dma, mode).await?);
    nic.serve::<P>(interrupts.vectors.into_iter().next(), &stop, announce).await
}

impl Nic {
    /// Looks whether it can be used, and readies all but starting it.
    async fn bring_up<P: Platform>(
        name: String,
        registers: DeviceRegion,
        dma: DmaDomain,
        mode: CompletionMode,
    ) -> Result<Self, Rtl8139Error> {
        if registers.bytes() < REGISTER_BYTES {
            return Err(Rtl8139Error::TooFewRegisters);
        }
        let registers = Registers::new(registers);
        registers.reset::<P>().await?;
        let mac = registers.mac();
        if !mac.is_station() {
            return Err(Rtl8139Error::BadAddress(mac));
        }
        let dma = dma.limited(REACH);
        let receiver = Receiver::new(&dma)?;
        Ok(Self {
            name,
            info: NetInfo {
                mac,
                max_frame_bytes: LONGEST_TRANSMIT as u16,
                transmit_depth: DESCRIPTORS as u16,
                inserts_checksums: false,
                max_segmented_bytes: 0,
            },
            registers,
            port: Port::new(mode),
            pool: FramePool::new(dma, BUFFER_BYTES, KEPT),
            state: AtomicU8::new(State::Resting as u8),
            receiver: spin::Mutex::new(receiver),
            transmitter: spin::Mutex::new(Transmitter::default()),
            wants_room: AtomicBool::new(false),
            groups: AtomicU64::new(0),
            vain_looks: AtomicU32::new(0),
            overflows: AtomicU32::new(0),
            trouble: spin::Mutex::new(None),
            troubled: Notify::new(),
        })
    }

    /// What kind of device it is, as figures and names call it.
    pub fn kind(&self) -> &'static str {
        "rtl8139"
    }

    fn state(&self) -> State {
        match self.state.load(Relaxed) {
            state if state == State::Running as u8 => State::Running,
            state if state == State::Resting as u8 => State::Resting,
            _ => State::Closed,
        }
    }

    /// From here on nothing is put into the device, unless it runs.
    fn set_state(&self, state: State) {
        let transmitter = self.transmitter.lock();
        self.state.store(state as u8, Relaxed);
        drop(transmitter);
    }

    /// Silences the device at once, and has it reset.
    fn declare(&self, trouble: Trouble) {
        if self.state() != State::Running {
            return;
        }
        self.set_state(State::Resting);
        self.registers.stop_unseen();
        *self.trouble.lock() = Some(trouble);
        self.troubled.notify();
    }
}

impl fmt::Debug for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.name, self.info.mac, self.state())
    }
}

impl NetDevice for Nic {
    fn info(&self) -> &NetInfo {
        &self.info
    }

    #[inline]
    fn port(&self) -> &Port {
        &self.port
    }

    #[inline]
    fn frame(&self, bytes: usize) -> Result<Frame, DmaError> {
        if bytes > LONGEST_TRANSMIT { Err(DmaError::BadSize) } else { self.pool.fresh(bytes) }
    }

    fn try_transmit(&self, frame: Frame) -> Result<(), Refused> {
        let bytes = frame.len();
        if bytes == 0 || bytes > LONGEST_TRANSMIT || frame.offload != Offload::default() {
            return Err(Refused::Unfit(frame));
        }
        let mut transmitter = self.transmitter.lock();
        let state = self.state();
        if state == State::Closed || self.port.link() == LinkState::Down {
            return Err(Refused::Down(frame));
        }
        if state == State::Resting {
            self.wants_room.store(true, Relaxed);
            return Err(Refused::Full(frame));
        }
        if transmitter.is_full() {
            let taken = transmitter.take_back(self.registers.summary(), &self.pool);
            if !matches!(taken, Ok(1..)) {
                // Its own interrupt, if it has not come before, finds out what is wrong.
                self.wants_room.store(true, Relaxed);
                self.registers.let_through(CAUSES | Causes::TRANSMIT);
                return Err(Refused::Full(frame));
            }
        }
        match transmitter.put(frame, &self.registers, &self.pool) {
            Ok(()) => self.port.note_transmitted(bytes),
            Err(back) => {
                // The watch says when to try again.
                self.wants_room.store(true, Relaxed);
                return back.map_or(Ok(()), |frame| Err(Refused::Full(frame)));
            }
        }
        Ok(())
    }

    /// Nothing: each frame is told to the device as it is put in.
    fn kick(&self) {}

    fn listen_to(&self, groups: &[MacAddress]) {
        let all = groups.iter().fold(GroupFilter::default(), |some, group| some.with(&group.0));
        let transmitter = self.transmitter.lock();
        self.groups.store(all.0, Relaxed);
        if self.state() == State::Running {
            self.registers.set_groups(all);
        }
        drop(transmitter);
    }
}

/// Whichever ends first.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match select(pin!(one), pin!(other)).await {
        Either::Left((output, _)) | Either::Right((output, _)) => output,
    }
}

fn ticks<P: Platform>(span: Duration) -> u64 {
    let ticks = span.as_nanos().saturating_mul(u128::from(P::ticks_per_second())) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The time `span` from now.
fn after<P: Platform>(span: Duration) -> Instant {
    P::now().after(ticks::<P>(span))
}
