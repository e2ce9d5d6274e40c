//! What the reaper does at each look: reads why the device wants attention, sees to it, and says
//! so, before anything else is looked at. What comes in between is reported again.

use core::sync::atomic::Ordering::Relaxed;

use protocols::rtl8139::Causes;

use super::registers::CAUSES;
use super::{Nic, Rtl8139Error, State, Trouble};
use crate::net::LinkState;
use crate::reaper::CompletionQueue;

/// So many looks in a row at causes without anything behind them are put up with.
const VAIN_LOOKS_MOST: u32 = 1000;
/// So many overflows in a row after which nothing could be read.
const OVERFLOWS_MOST: u32 = 3;

impl CompletionQueue for Nic {
    type Error = Rtl8139Error;

    fn drain(&self, limit: usize) -> Result<usize, Rtl8139Error> {
        match self.state() {
            State::Running => {}
            State::Resting => return Ok(0),
            State::Closed => return Err(Rtl8139Error::Gone),
        }
        let causes = self.registers.causes();
        let mut receiver = self.receiver.lock();
        if causes.0 == 0 && !receiver.has_more {
            return Ok(0);
        }
        if causes.is_gone() {
            return Err(Rtl8139Error::Gone);
        }
        let mut seen = causes.0 & CAUSES;
        let wants_room = self.wants_room.load(Relaxed);
        if wants_room {
            seen |= causes.0 & Causes::TRANSMIT;
        }
        if seen != 0 {
            self.registers.clear(seen);
        }
        let mut found = 0;
        if seen & Causes::SYSTEM_ERROR != 0 {
            self.declare(Trouble::Bus);
            return Ok(0);
        }
        if seen & Causes::LINK != 0 {
            self.look_at_link();
        }
        if seen & Causes::RECEIVE_ERROR != 0 {
            self.port.note_receive_errors(1);
        }
        if seen & Causes::TRANSMIT != 0 {
            found += self.make_room();
        }
        if causes.has(Causes::RECEIVE) || receiver.has_more {
            let (frames, verdict) = receiver.drain(&self.registers, &self.pool, &self.port, limit);
            found += frames;
            if let Err(error) = verdict {
                return self.distrust(error.into()).map(|()| found);
            }
        }
        drop(receiver);
        if causes.has(Causes::OVERFLOW) {
            self.overflowed(causes, found);
        }
        self.judge(seen, found);
        Ok(found)
    }

    /// Frames come unasked, but not without a link. The watch notices when that is back.
    fn is_idle(&self) -> bool {
        self.port.link() == LinkState::Down
    }
}

impl Nic {
    pub(super) fn look_at_link(&self) {
        self.port.set_link(self.registers.link());
    }

    /// Takes back what was sent, for somebody who waits. Says how many frames that were.
    pub(super) fn make_room(&self) -> usize {
        let mut transmitter = self.transmitter.lock();
        let taken = transmitter.take_back(self.registers.summary(), &self.pool);
        let has_room = !transmitter.is_full() && self.state() == State::Running;
        if has_room && self.wants_room.swap(false, Relaxed) {
            self.registers.let_through(CAUSES);
            self.port.room_made();
        }
        drop(transmitter);
        taken.unwrap_or_else(|_| {
            self.declare(Trouble::Aborted);
            0
        })
    }

    /// What was in the buffer made no sense: the device has gone, or has to be reset.
    fn distrust(&self, trouble: Trouble) -> Result<(), Rtl8139Error> {
        if self.registers.command().is_gone() {
            return Err(Rtl8139Error::Gone);
        }
        self.port.note_receive_errors(1);
        self.declare(trouble);
        Ok(())
    }

    /// The buffer had no room for frames. What was read has made some; only now the device may be
    /// told that this has been seen.
    fn overflowed(&self, causes: Causes, found: usize) {
        self.registers.clear(causes.0 & Causes::OVERFLOW);
        if found > 0 || self.port.space() == 0 {
            self.overflows.store(0, Relaxed);
        } else if self.overflows.fetch_add(1, Relaxed) + 1 >= OVERFLOWS_MOST {
            self.declare(Trouble::Overflow);
        }
    }

    /// A device whose causes don't go away would keep its core busy.
    fn judge(&self, seen: u16, found: usize) {
        if found > 0 || seen == 0 || self.port.space() == 0 {
            self.vain_looks.store(0, Relaxed);
        } else if self.vain_looks.fetch_add(1, Relaxed) + 1 >= VAIN_LOOKS_MOST {
            self.declare(Trouble::Storm);
        }
    }
}
