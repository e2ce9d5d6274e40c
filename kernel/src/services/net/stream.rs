//! A TCP connection whose reads and writes are futures.
//!
//! ```text
//!   connect ─┐                    ┌─ finish ──> all sent and acknowledged
//!            ├──> TcpStream ──────┤
//!   accept ──┘   read, write      └─ drop: reset, unless finish was called
//! ```
//!
//! Every future may be dropped: what was read or written until then stays so.

use super::interface::Interface;
use super::{Charge, Net, NetError, time};
use alloc::rc::Rc;
use alloc::vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use protocols::ingress::receive_capacity;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, CongestionControl, RecvError, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

/// How long a peer may keep silent while something is to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a socket's buffers are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// What has come and was not read: the window.
    pub receive: usize,
    /// What was written and is not acknowledged.
    pub transmit: usize,
}

impl Buffers {
    /// For requests and answers, by the hundred.
    pub const SMALL: Self = Self { receive: 4 << 10, transmit: 16 << 10 };
    /// For most.
    pub const USUAL: Self = Self { receive: 64 << 10, transmit: 64 << 10 };
    /// For as much as the link carries.
    pub const LARGE: Self = Self { receive: 512 << 10, transmit: 512 << 10 };

    /// A socket that has them.
    pub(super) fn socket(self) -> tcp::Socket<'static> {
        let receive = tcp::SocketBuffer::new(vec![0; receive_capacity(self.receive)]);
        let transmit = tcp::SocketBuffer::new(vec![0; self.transmit]);
        let mut socket = tcp::Socket::new(receive, transmit);
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_timeout(Some(PATIENCE));
        socket.set_nagle_enabled(false);
        socket
    }

    /// How many bytes they are together.
    pub(super) const fn bytes(self) -> usize {
        self.receive + self.transmit
    }
}

/// A connection.
pub struct TcpStream {
    interface: Rc<Interface>,
    handle: SocketHandle,
    is_finished: bool,
    /// Goes to the interface with the connection, when the stream is dropped.
    charge: Option<Charge>,
}

impl Net {
    /// Connects to `to`. Ends after a minute without an answer.
    ///
    /// # Errors
    /// No way there, refused, no answer, or no room for a socket.
    pub async fn connect(&self, to: IpEndpoint, buffers: Buffers) -> Result<TcpStream, NetError> {
        let begun = time::now();
        let interface = self.interface_for(to.addr)?;
        let port = self.free_port()?;
        let charge = self.charge(buffers.bytes())?;
        let handle = interface.insert(buffers.socket()).ok_or(NetError::LimitReached)?;
        let stream = TcpStream { interface, handle, is_finished: false, charge: Some(charge) };
        stream.interface.stack(|stack| {
            stack
                .with(handle, |socket: &mut tcp::Socket, context| socket.connect(context, to, port))
                .map_err(|_| NetError::BadAddress)
        })?;
        stream.interface.kick();
        poll_fn(|context| {
            stream.with(|socket| match socket.state() {
                State::SynSent | State::SynReceived => {
                    socket.register_send_waker(context.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
        })
        .await;
        match stream.with(|socket| socket.state()) {
            // Refused and given up look alike, but for the time they take.
            State::Closed if time::now() < begun + PATIENCE => Err(NetError::Refused),
            State::Closed => Err(NetError::TimedOut),
            _ => Ok(stream),
        }
    }
}

impl TcpStream {
    /// A connection that was accepted.
    pub(super) fn accepted(interface: Rc<Interface>, handle: SocketHandle, charge: Charge) -> Self {
        Self { interface, handle, is_finished: false, charge: Some(charge) }
    }

    /// Where it begins on this machine.
    pub(super) fn interface(&self) -> &Interface {
        &self.interface
    }

    fn with<R>(&self, f: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        self.interface.stack(|stack| f(stack.sockets.get_mut(self.handle)))
    }

    /// The other end. `None` once the connection is over.
    pub fn peer(&self) -> Option<IpEndpoint> {
        self.with(|socket| socket.remote_endpoint())
    }

    /// This end. `None` once the connection is over.
    pub fn local(&self) -> Option<IpEndpoint> {
        self.with(|socket| socket.local_endpoint())
    }

    /// Hands `take` what has come and lies in one piece; it says how much of it it has used. Ready
    /// with nothing handed out (`None`) at the end of the stream.
    ///
    /// # Errors
    /// The connection was reset.
    pub fn poll_read_with<R>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Poll<Result<Option<R>, NetError>> {
        let taken = self.with(|socket| {
            if socket.can_recv() {
                return Poll::Ready(Ok(socket.recv(take).ok()));
            }
            let is_beginning = matches!(socket.state(), State::SynSent | State::SynReceived);
            if is_beginning || socket.may_recv() {
                socket.register_recv_waker(context.waker());
                return Poll::Pending;
            }
            match socket.peek(1) {
                Err(RecvError::Finished) => Poll::Ready(Ok(None)),
                _ => Poll::Ready(Err(NetError::Reset)),
            }
        });
        if let Poll::Ready(Ok(Some(_))) = taken {
            // The window is wider now.
            self.interface.kick();
        }
        taken
    }

    /// Hands `put` free room of the socket's buffer in one piece; it says how much of it it has
    /// filled.
    ///
    /// # Errors
    /// The connection was reset, or finished by this side.
    pub fn poll_write_with<R>(
        &self,
        context: &mut Context<'_>,
        put: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Poll<Result<R, NetError>> {
        if self.is_finished {
            return Poll::Ready(Err(NetError::Finished));
        }
        let put = self.with(|socket| {
            if !socket.may_send() {
                return Poll::Ready(Err(NetError::Reset));
            }
            if socket.can_send() {
                return Poll::Ready(socket.send(put).map_err(|_| NetError::Reset));
            }
            socket.register_send_waker(context.waker());
            Poll::Pending
        });
        if let Poll::Ready(Ok(_)) = put {
            self.interface.kick();
        }
        put
    }

    /// Reads what there is, at least a byte; 0 at the end.
    ///
    /// # Errors
    /// The connection was reset.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, NetError> {
        poll_fn(|context| {
            let copied = self.poll_read_with(context, |bytes| {
                let count = bytes.len().min(into.len());
                into[..count].copy_from_slice(&bytes[..count]);
                (count, count)
            });
            copied.map(|copied| copied.map(|count| count.unwrap_or(0)))
        })
        .await
    }

    /// Writes as much as there is room for, at least a byte.
    ///
    /// # Errors
    /// The connection was reset, or finished by this side.
    pub async fn write(&self, from: &[u8]) -> Result<usize, NetError> {
        if from.is_empty() {
            return Ok(0);
        }
        poll_fn(|context| {
            self.poll_write_with(context, |room| {
                let count = room.len().min(from.len());
                room[..count].copy_from_slice(&from[..count]);
                (count, count)
            })
        })
        .await
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The connection was reset, or finished by this side. Some of it may have been sent.
    pub async fn write_all(&self, mut from: &[u8]) -> Result<(), NetError> {
        while !from.is_empty() {
            let written = self.write(from).await?;
            from = &from[written..];
        }
        Ok(())
    }

    /// Hands `take` what has come, as [`poll_read_with`](Self::poll_read_with).
    ///
    /// # Errors
    /// The connection was reset.
    pub async fn read_with<R>(
        &self,
        mut take: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> Result<Option<R>, NetError> {
        poll_fn(|context| self.poll_read_with(context, &mut take)).await
    }

    /// Hands `put` free room, as [`poll_write_with`](Self::poll_write_with).
    ///
    /// # Errors
    /// The connection was reset, or finished by this side.
    pub async fn write_with<R>(
        &self,
        mut put: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> Result<R, NetError> {
        poll_fn(|context| self.poll_write_with(context, &mut put)).await
    }

    /// Ends this side at once, without waiting: what was written is still sent. The other side may
    /// go on sending.
    pub fn shut_down(&mut self) {
        self.is_finished = true;
        self.with(tcp::Socket::close);
        self.interface.kick();
    }

    /// Ends this side, and waits until the other has acknowledged all that was sent.
    ///
    /// # Errors
    /// The connection was reset before that.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        self.shut_down();
        poll_fn(|context| self.poll_finished(context)).await
    }

    /// Whether the other side has acknowledged all that was sent, after
    /// [`shut_down`](Self::shut_down).
    ///
    /// # Errors
    /// The connection was reset before that.
    pub fn poll_finished(&self, context: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        self.with(|socket| match socket.state() {
            State::FinWait2 | State::TimeWait | State::Closed if socket.send_queue() > 0 => {
                Poll::Ready(Err(NetError::Reset))
            }
            State::FinWait2 | State::TimeWait | State::Closed => Poll::Ready(Ok(())),
            _ => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
        })
    }

    /// Resets the connection: the other side is told.
    pub fn abort(&mut self) {
        self.is_finished = true;
        self.with(tcp::Socket::abort);
        self.interface.kick();
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        if !self.is_finished {
            self.with(tcp::Socket::abort);
        }
        if let Some(charge) = self.charge.take() {
            self.interface.let_linger(self.handle, charge);
        }
    }
}
