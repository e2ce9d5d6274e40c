//! Datagrams as futures.
//!
//! smoltcp sends a socket's datagrams in order, and waits for as long as it takes with one whose
//! next hop does not answer (ARP, neighbour discovery). Others are not kept waiting behind it for
//! good: what has not moved for [`STUCK`] is dropped.

use super::interface::Interface;
use super::{Charge, Net, NetError, Waiter, time};
use crate::platform::Pollux;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Datagrams that wait, either way.
const DATAGRAMS: usize = 256;
/// Their bytes.
const BYTES: usize = 128 << 10;
/// Bytes of a socket's buffers at one interface.
pub const BUFFER_BYTES: usize = 2 * BYTES;

/// How long a datagram may wait for its next hop: smoltcp asks for that twice meanwhile.
const STUCK: Duration = Duration::from_millis(1500);

/// A port for datagrams, at all interfaces.
pub struct UdpSocket {
    net: Net,
    port: u16,
    sockets: RefCell<Vec<Place>>,
    /// Wakes who waits for room that does not come.
    stuck: RefCell<Option<executor::Sleep<Pollux>>>,
    /// Wakes who waits for datagrams when there is another interface for them.
    changes: Rc<Waiter>,
}

/// A socket of smoltcp's, at one interface.
struct Place {
    interface: Rc<Interface>,
    handle: SocketHandle,
    /// Bytes it was given, ever.
    put: u64,
    /// Of these, those that had left at the last look, and since when no more have.
    left: u64,
    since: Instant,
    _charge: Charge,
}

impl Place {
    /// Drops what it is to send, and with it what has come, if that is stuck.
    fn look(&mut self, port: u16, now: Instant) {
        self.interface.stack(|stack| {
            let socket: &mut udp::Socket = stack.sockets.get_mut(self.handle);
            // Empty ones take a place, too.
            let waiting = socket.send_queue() as u64 + u64::from(!socket.can_send());
            let left = self.put.wrapping_sub(waiting);
            if waiting == 0 || left != self.left {
                (self.left, self.since) = (left, now);
            } else if now >= self.since + STUCK {
                socket.close();
                // It was bound so before.
                let _ = socket.bind(port);
                (self.left, self.since) = (self.put, now);
            }
        });
    }
}

impl Net {
    /// A socket at `port`; 0: at any that is free.
    ///
    /// # Errors
    /// Somebody has the port, or there is no room.
    pub fn bind(&self, port: u16) -> Result<UdpSocket, NetError> {
        let port = if port == 0 { self.free_port()? } else { port };
        let mut ports = self.0.ports.borrow_mut();
        if ports.contains(&port) {
            return Err(NetError::PortTaken(port));
        }
        ports.push(port);
        drop(ports);
        let (sockets, stuck) = (RefCell::new(Vec::new()), RefCell::new(None));
        let changes = self.waiter();
        let socket = UdpSocket { net: self.clone(), port, sockets, stuck, changes };
        socket.follow()?;
        Ok(socket)
    }
}

fn buffer() -> udp::PacketBuffer<'static> {
    udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; BYTES])
}

impl UdpSocket {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Is there at interfaces that have come, and no longer at those that went.
    fn follow(&self) -> Result<(), NetError> {
        let interfaces = self.net.0.interfaces.borrow();
        let mut sockets = self.sockets.borrow_mut();
        if sockets.len() == interfaces.len()
            && sockets.iter().zip(&*interfaces).all(|(have, one)| Rc::ptr_eq(&have.interface, one))
        {
            return Ok(());
        }
        sockets.retain(|have| interfaces.iter().any(|one| Rc::ptr_eq(&have.interface, one)));
        for interface in &*interfaces {
            if sockets.iter().any(|have| Rc::ptr_eq(&have.interface, interface)) {
                continue;
            }
            let charge = self.net.charge(BUFFER_BYTES)?;
            let mut socket = udp::Socket::new(buffer(), buffer());
            let here = IpListenEndpoint { addr: None, port: self.port };
            socket.bind(here).map_err(|_| NetError::BadAddress)?;
            let handle = interface.insert(socket).ok_or(NetError::LimitReached)?;
            let (interface, since) = (interface.clone(), time::now());
            sockets.push(Place { interface, handle, put: 0, left: 0, since, _charge: charge });
        }
        Ok(())
    }

    /// Has `fill` write a datagram of `bytes` bytes for `to`, once there is room for it.
    ///
    /// # Errors
    /// No way there, or too long.
    pub fn poll_send_with(
        &self,
        context: &mut Context<'_>,
        to: IpEndpoint,
        bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Poll<Result<(), NetError>> {
        if to.port == 0 {
            return Poll::Ready(Err(NetError::BadAddress));
        }
        if let Err(error) = self.follow() {
            return Poll::Ready(Err(error));
        }
        let interface = match self.net.interface_for(to.addr) {
            Ok(interface) => interface,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let mut sockets = self.sockets.borrow_mut();
        let Some(place) = sockets.iter_mut().find(|have| Rc::ptr_eq(&have.interface, &interface))
        else {
            return Poll::Ready(Err(NetError::NoRoute(to.addr)));
        };
        place.look(self.port, time::now());
        let sent = interface.stack(|stack| {
            let socket: &mut udp::Socket = stack.sockets.get_mut(place.handle);
            if bytes > socket.payload_send_capacity() {
                return Poll::Ready(Err(NetError::TooLong));
            }
            match socket.send(bytes, to) {
                Ok(room) => {
                    fill(room);
                    Poll::Ready(Ok(()))
                }
                Err(udp::SendError::BufferFull) => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                Err(udp::SendError::Unaddressable) => Poll::Ready(Err(NetError::BadAddress)),
            }
        });
        interface.kick();
        match sent {
            Poll::Ready(Ok(())) => place.put += bytes as u64,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let mut stuck =
                    executor::sleep_until::<Pollux>(time::deadline(place.since + STUCK));
                // If it is over already the next look is at once.
                if Pin::new(&mut stuck).poll(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                *self.stuck.borrow_mut() = Some(stuck);
            }
        }
        sent
    }

    /// Whether all that was sent has left the socket.
    pub fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        let left = |place: &Place| {
            place.interface.stack(|stack| {
                let socket: &mut udp::Socket = stack.sockets.get_mut(place.handle);
                socket.register_send_waker(context.waker());
                socket.send_queue() == 0
            })
        };
        if self.sockets.borrow().iter().all(left) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Hands `take` the next datagram and where it is from.
    pub fn poll_receive_with<R>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8], IpEndpoint) -> R,
    ) -> Poll<R> {
        // Without room for a socket there, it hears nothing there.
        let _ = self.follow();
        for Place { interface, handle, .. } in &*self.sockets.borrow() {
            let ready = interface.stack(|stack| {
                let socket: &mut udp::Socket = stack.sockets.get_mut(*handle);
                let ready = socket.can_recv();
                if !ready {
                    socket.register_recv_waker(context.waker());
                }
                ready
            });
            if !ready {
                continue;
            }
            return interface.stack(|stack| {
                let socket: &mut udp::Socket = stack.sockets.get_mut(*handle);
                match socket.recv() {
                    Ok((bytes, from)) => Poll::Ready(take(bytes, from.endpoint)),
                    Err(_) => Poll::Pending,
                }
            });
        }
        self.changes.register(context.waker());
        Poll::Pending
    }

    /// Sends `bytes` to `to`; done when the socket has them.
    ///
    /// # Errors
    /// No way there, or too long.
    pub async fn send_to(&self, bytes: &[u8], to: IpEndpoint) -> Result<(), NetError> {
        let fill = |room: &mut [u8]| room.copy_from_slice(bytes);
        poll_fn(|context| self.poll_send_with(context, to, bytes.len(), fill)).await
    }

    /// The next datagram: how long it is, and where it is from. What does not fit is cut off.
    pub async fn receive(&self, into: &mut [u8]) -> (usize, IpEndpoint) {
        poll_fn(|context| {
            self.poll_receive_with(context, |bytes, from| {
                let count = bytes.len().min(into.len());
                into[..count].copy_from_slice(&bytes[..count]);
                (bytes.len(), from)
            })
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        for place in self.sockets.take() {
            place.interface.remove(place.handle);
        }
        self.net.0.ports.borrow_mut().retain(|port| *port != self.port);
    }
}
