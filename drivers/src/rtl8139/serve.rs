//! Supervision of a device while its reaper works: resets it when it is in trouble, looks now and
//! then whether it is, and brings it to its end.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform, sleep};
use hal::interrupt::Interrupt;
use protocols::rtl8139::GroupFilter;

use super::{Nic, Rtl8139Error, State, Trouble, after, first, ticks};
use crate::net::{LinkState, NetDevice};
use crate::reaper::reap;

/// How often the device is looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// So many of these a frame may take to be sent: 5 s.
const SEND_LOOKS: u32 = 20;
/// So many of these something may stay in the receive buffer: 1 s.
const RECEIVE_LOOKS: u32 = 4;
/// How long what is under way may take when the driver is told to stop.
const FINISH_LIMIT: Duration = Duration::from_secs(1);
const FINISH_INTERVAL: Duration = Duration::from_millis(1);
/// After so long without trouble the next reset comes at once again.
const CALM: Duration = Duration::from_secs(10);
/// The longest pause before a reset.
const PAUSE_MS_MOST: u64 = 1024;

/// Whether the device has provably stopped using memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// It was reset, or is off the bus.
    Yes,
    /// Nobody knows.
    No,
}

/// Ends a driver that is dropped half-way.
struct Ending<'a>(&'a Nic);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close(Stopped::No);
    }
}

impl Nic {
    pub(super) async fn serve<P: Platform>(
        self: &Arc<Self>,
        interrupt: Option<Interrupt>,
        stop: &Notify,
        announce: impl FnOnce(Arc<Nic>),
    ) -> Result<(), Rtl8139Error> {
        let ending = Ending(self);
        self.start();
        announce(self.clone());
        let told = async {
            stop.wait().await;
            // Before its interrupt is given back, the device must raise none.
            self.registers.let_through(0);
            Ok(())
        };
        let reaped = async { Err(reap(&**self, &self.port.control, interrupt).await) };
        let served = first(told, first(reaped, self.supervise::<P>())).await;
        let stopped = match served {
            Ok(()) => self.finish::<P>().await,
            Err(Rtl8139Error::Gone) => Stopped::Yes,
            Err(_) => Stopped::No,
        };
        self.close(stopped);
        core::mem::forget(ending);
        served
    }

    /// Starts it after a reset.
    fn start(&self) {
        let Some(buffer) = self.receiver.lock().rewind() else { return };
        let transmitter = self.transmitter.lock();
        self.registers.start(buffer, GroupFilter(self.groups.load(Relaxed)));
        self.vain_looks.store(0, Relaxed);
        self.overflows.store(0, Relaxed);
        self.look_at_link();
        self.state.store(State::Running as u8, Relaxed);
        drop(transmitter);
        if self.wants_room.swap(false, Relaxed) {
            self.port.room_made();
        }
        self.port.control.look_now();
    }

    /// Goes on until the device fails for good.
    async fn supervise<P: Platform>(&self) -> Result<(), Rtl8139Error> {
        let mut resets = Resets::new();
        loop {
            let troubled = async {
                self.troubled.wait().await;
                Ok(())
            };
            first(troubled, self.watch::<P>()).await?;
            let Some(trouble) = self.trouble.lock().take() else { continue };
            self.recover::<P>(trouble, &mut resets).await?;
        }
    }

    async fn recover<P: Platform>(
        &self,
        trouble: Trouble,
        resets: &mut Resets,
    ) -> Result<(), Rtl8139Error> {
        let (name, pause_ms) = (&self.name, resets.next::<P>());
        log::warn!("{name}: {trouble}: reset");
        self.port.note_reset();
        sleep::<P>(ticks::<P>(Duration::from_millis(pause_ms))).await;
        self.registers.reset::<P>().await?;
        let mut lost = 0;
        for loan in self.transmitter.lock().rewind() {
            self.pool.put(loan.reclaim());
            lost += 1;
        }
        self.port.note_transmit_errors(lost);
        self.start();
        Ok(())
    }

    /// Ends when the device is gone; what else is wrong is declared.
    async fn watch<P: Platform>(&self) -> Result<(), Rtl8139Error> {
        let (mut sending, mut receiving) = (Standstill::default(), Standstill::default());
        loop {
            sleep::<P>(ticks::<P>(WATCH_INTERVAL)).await;
            let command = self.registers.command();
            if command.is_gone() {
                return Err(Rtl8139Error::Gone);
            }
            if !command.is_running() || !self.registers.is_configured() {
                self.declare(Trouble::Forgetful);
            }
            self.look_at_link();
            self.port.note_missed(self.registers.take_missed());
            self.make_room();
            let (is_sending, done) = {
                let transmitter = self.transmitter.lock();
                (!transmitter.is_empty() && self.link() != LinkState::Down, transmitter.done)
            };
            if sending.looks(is_sending, done) > SEND_LOOKS {
                self.declare(Trouble::TransmitterStuck);
            }
            let (is_receiving, taken) = {
                let receiver = self.receiver.lock();
                (receiver.has_more && self.port.space() > 0, receiver.taken)
            };
            if receiving.looks(is_receiving, taken) > RECEIVE_LOOKS {
                self.declare(Trouble::ReceiverStuck);
            }
            // An interrupt may have been lost.
            self.port.control.look_now();
        }
    }

    /// Lets what is under way be sent, then stops the device.
    async fn finish<P: Platform>(&self) -> Stopped {
        self.set_state(State::Closed);
        let deadline = after::<P>(FINISH_LIMIT);
        loop {
            let mut transmitter = self.transmitter.lock();
            let taken = transmitter.take_back(self.registers.summary(), &self.pool);
            let is_done = transmitter.is_empty() || taken.is_err();
            drop(transmitter);
            if is_done || self.link() == LinkState::Down {
                break;
            }
            if P::now() >= deadline {
                log::warn!("{}: frames are still under way; cut off", self.name);
                break;
            }
            sleep::<P>(ticks::<P>(FINISH_INTERVAL)).await;
        }
        match self.registers.reset::<P>().await {
            Ok(()) | Err(Rtl8139Error::Gone) => Stopped::Yes,
            Err(error) => {
                log::error!("{}: {error}: its memory is given up", self.name);
                Stopped::No
            }
        }
    }

    /// Nothing goes in or out any more. Memory comes back if the device has stopped.
    fn close(&self, stopped: Stopped) {
        self.set_state(State::Closed);
        self.registers.stop_unseen();
        let lent = self.transmitter.lock().rewind();
        let buffer = self.receiver.lock().take_buffer();
        if stopped == Stopped::Yes {
            lent.for_each(|loan| self.pool.put(loan.reclaim()));
            if let Some(buffer) = buffer {
                buffer.retire();
            }
        } else {
            // Dropped, both are leaked.
            lent.for_each(drop);
            drop(buffer);
        }
        self.port.set_link(LinkState::Down);
        self.port.room_made();
    }
}

/// How often resets came one upon the other.
struct Resets {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Resets {
    const fn new() -> Self {
        Self { in_a_row: 0, last: None }
    }

    /// Counts one; how many milliseconds to wait before it, so that a device that is broken for
    /// good costs little.
    fn next<P: Platform>(&mut self) -> u64 {
        let now = P::now();
        let is_calm = self.last.is_none_or(|last| last.after(ticks::<P>(CALM)) < now);
        self.in_a_row = if is_calm { 0 } else { self.in_a_row.saturating_add(1) };
        self.last = Some(now);
        match self.in_a_row {
            0 => 0,
            many => PAUSE_MS_MOST.min(1 << many.min(16)),
        }
    }
}

/// How long something has been due without moving.
#[derive(Default)]
struct Standstill {
    count: u64,
    looks: u32,
}

impl Standstill {
    /// Looks at it once more: how many looks in a row it has been due with this count.
    fn looks(&mut self, is_due: bool, count: u64) -> u32 {
        self.looks = if is_due && count == self.count { self.looks + 1 } else { 0 };
        self.count = count;
        self.looks
    }
}
