//! Intel's gigabit Ethernet family: 82540 and its kin, 82574, and the I217 to I219 of chipsets.
//!
//! [`run`] is the whole driver: reset, read the station's address, program, announce the device as
//! a [`NetDevice`](crate::net::NetDevice), and look after it until it is told to stop or the device
//! fails for good.
//!
//! ```text
//!          reset, address      program            announce
//!   run ─────────────────> set up ──────> running ─────────> serving
//!    │ any error             │ any error                  trouble │ ^ │ told to stop;
//!    │                       │                                    v │ │ gone, given up
//!    v                       v                                  reset v
//!   end <── rings closed: memory back if the device has stopped, else leaked ── reset
//! ```
//!
//! | file | what |
//! |---|---|
//! | `registers` | reset, within its time |
//! | `station`, `phy`, `setup` | the address; the transceiver; programming the device |
//! | `nic` | the device as its user and its reaper see it |
//! | `receive`, `transmit` | the rings |
//! | `offload` | what the device is told of checksums and segments |
//! | `watch` | link, counts, hangs, resets |
//!
//! There is one queue each way and one reaper. Nothing here knows how arrival is noticed: that is
//! [`reap`]'s business, and may change while it runs. Sent frames raise no interrupts, unless
//! somebody waits for room.
//!
//! **What has been seen to work where.** In QEMU: 82540EM, 82545EM and 82544GC (`e1000`, by interrupt
//! line) and 82574L (`e1000e`, by MSI-X). Only a simulated device has seen: EEPROMs with the early
//! layout, the chipset models with their shared transceiver, descriptors that make no sense, hangs.
//! On the chipset models the device is reset but not its transceiver, which keeps what firmware made
//! of it; its power-saving states (K1, ULP) are not touched, nor are the rings flushed as the I219
//! wants it before it loses power.
//!
//! QEMU's devices have habits of their own. For a second after receiving is turned on the 82540EM
//! receives nothing. The 82574L, up to QEMU 8.0 and on networks without virtio headers (user
//! networking), sends packets that are to be cut into TCP segments as IP fragments.
//!
//! Sources: as [`protocols::e1000`] says.

#[cfg(test)]
mod model;
mod nic;
mod offload;
mod phy;
mod receive;
mod registers;
mod setup;
mod station;
#[cfg(test)]
mod tests;
mod transmit;
mod watch;

use alloc::string::String;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform, Priority, sleep, spawn};
use futures_util::future::{Either, select};
use hal::dma::{DmaDomain, DmaError};
use hal::mmio::DeviceRegion;
use hal::pci::{Function, InterruptKind, Interrupts, PciError};
use protocols::e1000::{Cause, Model, model};

pub use self::nic::Nic;
use self::nic::{Memory, Queue};
use self::registers::Registers;
use crate::completion::CompletionMode;
use crate::reaper::reap;

/// Bytes of registers that are mapped: all there are.
const REGISTER_BYTES: usize = 128 << 10;
/// From when a device was silenced until its interrupt may be taken away.
const SETTLE: Duration = Duration::from_millis(1);

/// What the driver is given.
pub struct Parts {
    /// What it is called in the log, such as `net0`.
    pub name: String,
    /// Its PCI device id.
    pub device: u16,
    /// Its registers.
    pub registers: DeviceRegion,
    /// The memory it can reach.
    pub dma: DmaDomain,
    /// Its interrupts: the first is used. None: it is polled.
    pub interrupts: Interrupts,
    /// How arrival is noticed to begin with.
    pub mode: CompletionMode,
    /// Ends the driver in an orderly way.
    pub stop: Arc<Notify>,
}

/// Why a device is not served, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum E1000Error {
    /// It lacks something that this driver needs. Refuse it.
    #[error("not a device this driver can use: {0}")]
    Unsupported(&'static str),
    /// Its address is nobody's. Have its EEPROM written, or use another device.
    #[error("it has no address that a station can have")]
    NoAddress,
    /// It did not do something in time.
    #[error("its {0} does not end")]
    NotInTime(&'static str),
    /// It had to be reset too often.
    #[error("resets do not help")]
    Hopeless,
    /// Nothing answers any more.
    #[error("the device is gone")]
    Gone,
    /// There is no memory for its rings.
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// How the device interrupts, as far as that changes what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// By MSI-X: causes have names of their own.
    Table,
    /// By one message, or by a line.
    One,
    /// Not at all.
    None,
}

impl Signal {
    /// What interrupts at any time.
    const fn always(self) -> u32 {
        match self {
            Self::Table => Cause::RECEIVE_QUEUE | Cause::OTHER | Cause::LINK,
            Self::One => Cause::RECEIVED | Cause::LINK,
            Self::None => 0,
        }
    }

    /// What interrupts while somebody waits for room.
    const fn sent(self) -> u32 {
        match self {
            Self::Table => Cause::TRANSMIT_QUEUE,
            Self::One => Cause::SENT,
            Self::None => 0,
        }
    }
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
    let registers = function.map_bar(0, REGISTER_BYTES)?;
    function.enable_bus_master()?;
    let device = function.header().device;
    Ok(Parts { name, device, registers, dma, interrupts, mode, stop: Arc::new(Notify::new()) })
}

/// Serves it until it is told to stop (`Ok`), or the device fails for good. `announce` is given the
/// device once it can be used.
///
/// The future may be dropped at any time: the device is told to stop, and the memory it might still
/// use is leaked.
///
/// # Errors
/// The device cannot be used, or failed.
pub async fn run<P: Platform>(
    parts: Parts,
    announce: impl FnOnce(Arc<Nic>),
) -> Result<(), E1000Error> {
    let Parts { name, device, registers, dma, interrupts, mode, stop } = parts;
    let model: Model = model(device).ok_or(E1000Error::Unsupported("its id is not known"))?;
    let Interrupts { kind, mut vectors } = interrupts;
    vectors.truncate(1);
    let interrupt = vectors.pop();
    let signal = match (kind, &interrupt) {
        (_, None) => Signal::None,
        (InterruptKind::MsiX, Some(_)) => Signal::Table,
        (_, Some(_)) => Signal::One,
    };
    let registers = Registers::new_checked(&name, registers, model)?;
    registers.reset::<P>().await?;
    let mac = registers.station_address::<P>().await?;
    log::info!("{name}: Intel {}, {mac}, interrupts: {kind:?}", model.name);
    registers.wake_phy::<P>().await;
    let nic = Arc::new(Nic::new(registers, mac, &dma, signal, mode)?);
    let ending = Ending { nic: &nic };
    nic.begin();
    let queue = Queue(nic.clone());
    let reaper = spawn::<P, _>("net queue", Priority::High, async move {
        reap(&queue, &queue.0.port.control, interrupt).await
    });
    announce(nic.clone());
    let stopped = async {
        stop.wait().await;
        Ok(())
    };
    let served = first(stopped, async { Err(nic.watch::<P>().await) }).await;
    let memory = nic.come_to_rest::<P>().await;
    core::mem::forget(ending);
    nic.end(memory);
    // It sees the rings closed.
    let _ = reaper.await;
    served
}

impl Nic {
    /// Programs the device for the first time.
    fn begin(&self) {
        let (mut receive, mut transmit) = (self.receive.lock(), self.transmit.lock());
        if let (Some(receive), Some(transmit)) = (&mut *receive, &mut *transmit) {
            self.program(receive, transmit);
        }
    }

    /// Stops the device; says what may become of its memory.
    async fn come_to_rest<P: Platform>(&self) -> Memory {
        self.registers.silence();
        // A message sent just before is still to arrive.
        sleep::<P>(ticks::<P>(SETTLE)).await;
        match self.registers.reset::<P>().await.and_then(|()| self.registers.hand_back()) {
            // Off the bus it reaches no memory.
            Ok(()) | Err(E1000Error::Gone) => Memory::Free,
            Err(error) => {
                let name = self.registers.name();
                log::error!("{name}: {error}: it may still use memory, which is not used again");
                Memory::Leak
            }
        }
    }
}

/// Closes the rings of a driver that is dropped half-way.
struct Ending<'a> {
    nic: &'a Nic,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.nic.registers.reset_unseen();
        self.nic.end(Memory::Leak);
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
