//! Looking after a device while it is served, slowly: its link, its counts, whether it hangs.
//!
//! ```text
//!   look ── gone ─> end
//!    │ ^
//!    │ └─ 250 ms, or the link's interrupt, or nonsense in the receive ring
//!    v
//!   hangs, or nonsense ──> reset: the rings are taken away, emptied, given back ──> look
//! ```

use core::time::Duration;

use executor::{Instant, Platform, sleep};
use hal::mmio::Register;
use protocols::e1000::offset;

use super::nic::{Memory, Nic};
use super::{E1000Error, first, ticks};
use crate::net::LinkState;

/// Between two looks when nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Between two readings of the counts. They stop at their highest value, not before 65,535 s.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// The transmit ring has not moved for so long with the link up: it hangs.
const HANG_LIMIT: Duration = Duration::from_secs(2);
/// So many resets are tried in so long.
const RESETS_MOST: u32 = 10;
const RESETS_WINDOW: Duration = Duration::from_secs(60);

/// Why it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
enum Trouble {
    #[error("it has sent nothing for 2 s although the link is up")]
    Hangs,
    #[error("receive descriptor {0} makes no sense ({1:#018x})")]
    Nonsense(usize, u64),
}

/// What was seen at the last look.
struct Seen {
    link: LinkState,
    head: u32,
    /// Since when the transmit ring has not moved.
    moved: Instant,
    counted: Instant,
    resets: u32,
    first_reset: Instant,
}

impl Nic {
    /// Looks after it until it is gone, or not to be helped.
    pub(super) async fn watch<P: Platform>(&self) -> E1000Error {
        let now = P::now();
        let mut seen = Seen {
            link: LinkState::Down,
            head: 0,
            moved: now,
            counted: now,
            resets: 0,
            first_reset: now,
        };
        loop {
            if let Err(error) = self.look_once::<P>(&mut seen).await {
                return error;
            }
            first(sleep::<P>(ticks::<P>(LOOK_INTERVAL)), self.look.wait()).await;
        }
    }

    async fn look_once<P: Platform>(&self, seen: &mut Seen) -> Result<(), E1000Error> {
        self.look_at_link::<P>(seen)?;
        let now = P::now();
        if now.since(seen.counted) >= ticks::<P>(COUNT_INTERVAL) {
            seen.counted = now;
            self.count();
        }
        if let Some(trouble) = self.trouble::<P>(seen) {
            log::error!("{}: {trouble}; resetting it", self.registers.name());
            if now.since(seen.first_reset) >= ticks::<P>(RESETS_WINDOW) {
                (seen.resets, seen.first_reset) = (0, now);
            }
            if seen.resets >= RESETS_MOST {
                return Err(E1000Error::Hopeless);
            }
            seen.resets += 1;
            self.begin_anew::<P>().await?;
            self.port.note_reset();
            (seen.head, seen.moved) = (0, P::now());
            self.look_at_link::<P>(seen)?;
        }
        if self.is_overdue() {
            // Its interrupt may be lost; then the cause still stands and keeps others from coming.
            self.acknowledge();
            self.port.control.look_now();
        }
        Ok(())
    }

    fn look_at_link<P: Platform>(&self, seen: &mut Seen) -> Result<(), E1000Error> {
        let name = self.registers.name();
        let status = self.registers.status()?;
        let link = if status.link_is_up() {
            LinkState::Up { megabits: status.megabits() }
        } else {
            LinkState::Down
        };
        if link != seen.link {
            match link {
                LinkState::Up { megabits } => log::debug!("{name}: link up, {megabits} Mbit/s"),
                LinkState::Down => log::debug!("{name}: link down"),
            }
            (seen.link, seen.moved) = (link, P::now());
            self.port.set_link(link);
            // With the link down a polled ring was not looked at.
            self.port.control.look_now();
        }
        Ok(())
    }

    /// Adds up what the device has counted since the last time.
    fn count(&self) {
        let read = |offset| u64::from(self.registers.read(Register::at(offset)));
        let sum = |offsets: &[usize]| offsets.iter().map(|offset| read(*offset)).sum();
        self.port.note_missed(read(offset::MPC));
        self.port.note_receive_errors(sum(&[offset::CRCERRS, offset::RXERRC, offset::RLEC]));
        self.port.note_transmit_errors(sum(&[offset::ECOL, offset::LATECOL]));
    }

    fn trouble<P: Platform>(&self, seen: &mut Seen) -> Option<Trouble> {
        if let Some(nonsense) = self.nonsense.lock().take() {
            return Some(Trouble::Nonsense(nonsense.place, nonsense.word));
        }
        self.take_back_sent();
        let (head, is_busy) = self.transmit.lock().as_ref()?.progress();
        let now = P::now();
        if head != seen.head || !is_busy || seen.link == LinkState::Down {
            (seen.head, seen.moved) = (head, now);
        }
        (now.since(seen.moved) >= ticks::<P>(HANG_LIMIT)).then_some(Trouble::Hangs)
    }

    /// Resets the device under its user, who notices nothing but a pause. Frames under way are
    /// lost; their memory comes back.
    async fn begin_anew<P: Platform>(&self) -> Result<(), E1000Error> {
        let rings = (self.receive.lock().take(), self.transmit.lock().take());
        let (Some(mut receive), Some(mut transmit)) = rings else { return Ok(()) };
        // Should this be dropped or fail, the rings are leaked: the device may still use them.
        match self.registers.reset::<P>().await {
            Ok(()) => {}
            Err(E1000Error::Gone) => {
                *self.receive.lock() = Some(receive);
                *self.transmit.lock() = Some(transmit);
                self.end(Memory::Free);
                return Err(E1000Error::Gone);
            }
            Err(error) => return Err(error),
        }
        self.registers.wake_phy::<P>().await;
        self.program(&mut receive, &mut transmit);
        *self.receive.lock() = Some(receive);
        *self.transmit.lock() = Some(transmit);
        self.room_made();
        self.port.control.look_now();
        Ok(())
    }
}
