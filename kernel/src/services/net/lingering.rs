//! Connections that nobody has any more, on their way to their end: what was written still goes out,
//! and a peer is told of a reset. They keep their buffers, and the charge for these, until then.

use super::{Charge, time};
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};

/// Most of them at an interface.
const MOST: usize = 256;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(120);
/// Of these, those that only wait for stray segments (TIME-WAIT).
const RESTING_MAX: usize = 64;
/// How often they are looked at.
const SWEEP: Duration = Duration::from_millis(5);

/// Those of one interface, the ones that have waited longest first.
pub struct Lingering {
    all: Vec<One>,
    swept: Instant,
}

struct One {
    handle: SocketHandle,
    until: Instant,
    _charge: Charge,
}

impl Lingering {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self { all: Vec::new(), swept: now }
    }

    /// Takes one in. If they are too many, the one to be removed for it.
    pub fn add(&mut self, handle: SocketHandle, charge: Charge) -> Option<SocketHandle> {
        let until = time::now() + LONGEST;
        self.all.push(One { handle, until, _charge: charge });
        if self.all.len() > MOST { self.take_oldest() } else { None }
    }

    /// Forgets the one that has waited longest, which is to be removed.
    pub fn take_oldest(&mut self) -> Option<SocketHandle> {
        (!self.all.is_empty()).then(|| self.all.remove(0).handle)
    }

    /// Removes those that have come to their end. When to look again, whatever happens.
    pub fn sweep(&mut self, sockets: &mut SocketSet<'static>, now: Instant) -> Option<Instant> {
        if self.all.is_empty() {
            return None;
        }
        if now < self.swept + SWEEP {
            return Some(self.swept + SWEEP);
        }
        self.swept = now;
        let rests = |one: &&One| sockets.get::<tcp::Socket>(one.handle).state() == State::TimeWait;
        let mut excess = self.all.iter().filter(rests).count().saturating_sub(RESTING_MAX);
        self.all.retain(|one| {
            let socket = sockets.get::<tcp::Socket>(one.handle);
            let is_over = match socket.state() {
                // One that was reset still has to say so: it knows its peer until then.
                State::Closed if socket.remote_endpoint().is_none() => true,
                State::TimeWait if excess > 0 => {
                    excess -= 1;
                    true
                }
                _ => one.until <= now,
            };
            if is_over {
                sockets.remove(one.handle);
            }
            !is_over
        });
        self.all.iter().map(|one| one.until).min()
    }
}
