//! Connections that others begin.
//!
//! smoltcp has no queue of connections: one socket listens, and becomes the connection. So a
//! listener has a few sockets at each interface, replaces those that are taken, and keeps as many
//! half-open and unaccepted connections as its backlog is long.
//!
//! ```text
//!   Listen ── SYN ──> SynReceived ── ACK ──> ready ── accept ──> TcpStream
//!     ^                    │
//!     └── replaced <───────┴── the oldest give way when the backlog is full (SYN flood)
//! ```

use super::adapter::BEGINNINGS;
use super::interface::Interface;
use super::{Buffers, Charge, Net, NetError, TcpStream};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::task::{Poll, Waker};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};

/// Sockets that listen at a port of an interface: what begins in one turn finds one each.
pub const LISTENING: usize = BEGINNINGS;
/// The smallest backlog.
pub const BACKLOG_MIN: usize = LISTENING;

/// Accepts connections to a port, at all interfaces. Dropped, nobody listens any more; connections
/// that nobody accepted are reset.
pub struct TcpListener(Rc<Shared>);

/// What a listener and the interfaces share.
pub struct Shared {
    net: Net,
    port: u16,
    backlog: usize,
    buffers: Buffers,
    places: RefCell<Vec<Place>>,
    ready: RefCell<VecDeque<TcpStream>>,
    waiting: RefCell<Option<Waker>>,
    touched: Arc<Touched>,
}

/// A socket that listens, or whose connection is being made. Those that have been touched longest
/// ago are first.
struct Place {
    interface: Rc<Interface>,
    handle: SocketHandle,
    mark: Arc<Mark>,
    charge: Charge,
}

/// Something has happened to one of the sockets.
#[derive(Default)]
struct Touched {
    flag: AtomicBool,
    /// How often that was.
    count: AtomicU64,
}

/// When something happened to a socket last, so that connections are accepted in their order.
struct Mark {
    touched: Arc<Touched>,
    count: AtomicU64,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.count.store(self.touched.count.fetch_add(1, Relaxed), Relaxed);
        self.touched.flag.store(true, Relaxed);
    }
}

impl Net {
    /// Listens at `port`, with room for `backlog` connections that nobody has accepted yet.
    ///
    /// # Errors
    /// Somebody has the port, or there is no room.
    pub fn listen(
        &self,
        port: u16,
        backlog: usize,
        buffers: Buffers,
    ) -> Result<TcpListener, NetError> {
        if port == 0 {
            return Err(NetError::BadAddress);
        }
        let mut all = self.0.listeners.borrow_mut();
        all.retain(|other| other.strong_count() > 0);
        if all.iter().filter_map(Weak::upgrade).any(|other| other.port == port) {
            return Err(NetError::PortTaken(port));
        }
        let shared = Rc::new(Shared {
            net: self.clone(),
            port,
            backlog: backlog.max(BACKLOG_MIN),
            buffers,
            places: RefCell::new(Vec::new()),
            ready: RefCell::new(VecDeque::new()),
            waiting: RefCell::new(None),
            touched: Arc::default(),
        });
        all.push(Rc::downgrade(&shared));
        drop(all);
        let interfaces = self.interfaces();
        for interface in &interfaces {
            shared.listen_at(self, interface);
        }
        if !interfaces.is_empty() && shared.places.borrow().is_empty() {
            return Err(NetError::LimitReached);
        }
        Ok(TcpListener(shared))
    }
}

impl TcpListener {
    /// The next connection.
    pub async fn accept(&self) -> TcpStream {
        poll_fn(|context| {
            let next = self.0.ready.borrow_mut().pop_front();
            match next {
                Some(stream) => {
                    // There is room for another that listens, where there was none before.
                    self.0.touched.flag.store(true, Relaxed);
                    stream.interface().kick();
                    Poll::Ready(stream)
                }
                None => {
                    *self.0.waiting.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Shared {
    /// Listens at `interface` too.
    pub fn listen_at(&self, net: &Net, interface: &Rc<Interface>) {
        for _ in 0..LISTENING {
            if self.add(net, interface).is_none() {
                log::warn!("{}: port {}: no room to listen", interface.name, self.port);
                // When something is closed there is room again.
                self.touched.flag.store(true, Relaxed);
                break;
            }
        }
    }

    /// Listens no longer at `interface`, which has gone.
    pub fn leave(&self, interface: &Rc<Interface>) {
        let here = |place: &Place| Rc::ptr_eq(&place.interface, interface);
        let (gone, left) = self.places.take().into_iter().partition(here);
        *self.places.borrow_mut() = left;
        let gone: Vec<Place> = gone;
        gone.into_iter().for_each(|place| interface.remove(place.handle));
        self.ready.borrow_mut().retain(|stream| !core::ptr::eq(stream.interface(), &**interface));
    }

    /// One more socket that listens.
    fn add(&self, net: &Net, interface: &Rc<Interface>) -> Option<()> {
        let charge = net.charge(self.buffers.bytes()).ok()?;
        let mut socket = self.buffers.socket();
        socket.listen(self.port).ok()?;
        let mark = Arc::new(Mark { touched: self.touched.clone(), count: AtomicU64::new(0) });
        socket.register_send_waker(&Waker::from(mark.clone()));
        let handle = interface.insert(socket)?;
        let interface = interface.clone();
        self.places.borrow_mut().push(Place { interface, handle, mark, charge });
        Some(())
    }

    /// Looks at all sockets, if something has happened to any.
    fn settle(&self) {
        if self.touched.flag.swap(false, Relaxed) {
            self.net.interfaces().iter().for_each(|interface| self.settle_at(interface));
        }
    }

    /// Looks at the sockets of `interface`: which connections are ready, which sockets are to be
    /// replaced.
    fn settle_at(&self, interface: &Rc<Interface>) {
        let (mut listening, mut half_open, mut whole) = (0, Vec::new(), Vec::new());
        let mut at = 0;
        loop {
            // Nothing is borrowed below: places are taken out there.
            let next = self.places.borrow().get(at).map(|place| {
                let is_here = Rc::ptr_eq(&place.interface, interface);
                (place.handle, is_here, Waker::from(place.mark.clone()))
            });
            let Some((place, is_here, waker)) = next else { break };
            if !is_here {
                at += 1;
                continue;
            }
            let state = interface.stack(|stack| {
                let socket: &mut tcp::Socket = stack.sockets.get_mut(place);
                socket.register_send_waker(&waker);
                socket.state()
            });
            match state {
                State::Listen => listening += 1,
                State::SynReceived => half_open.push(place),
                State::Closed => {
                    let place = self.places.borrow_mut().remove(at);
                    place.interface.let_linger(place.handle, place.charge);
                    continue;
                }
                _ => {
                    whole.push(self.places.borrow_mut().remove(at));
                    continue;
                }
            }
            at += 1;
        }
        whole.sort_by_key(|place| place.mark.count.load(Relaxed));
        for Place { interface, handle, charge, .. } in whole {
            let stream = TcpStream::accepted(interface, handle, charge);
            self.ready.borrow_mut().push_back(stream);
        }
        if let Some(waker) = self.waiting.borrow_mut().take_if(|_| !self.ready.borrow().is_empty())
        {
            waker.wake();
        }
        // A few listen at a time: every frame is shown to all sockets there are. Beside them there
        // are as many half-open ones as the backlog has room for; the oldest of more give way:
        // somebody begins connections and does not go on.
        let room = self.backlog.saturating_sub(self.ready.borrow().len());
        let wanted = if room > 0 { LISTENING } else { 0 };
        let excess = half_open.len().saturating_sub(room.max(LISTENING));
        for handle in half_open.into_iter().take(excess) {
            self.places.borrow_mut().retain(|place| {
                !(place.handle == handle && Rc::ptr_eq(&place.interface, interface))
            });
            interface.remove(handle);
        }
        for _ in listening..wanted {
            if self.add(&self.net, interface).is_none() {
                // When something is closed there is room again.
                self.touched.flag.store(true, Relaxed);
                break;
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for place in self.places.take() {
            place.interface.remove(place.handle);
        }
    }
}

/// Looks after the sockets of all listeners.
pub fn settle(net: &Net) {
    net.0.listeners.borrow().iter().filter_map(Weak::upgrade).for_each(|one| one.settle());
}
