//! TCP connections, and listening for them.

use alloc::rc::Rc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

use super::socket::{Socket, Want};
use super::{Hub, NetworkError, Setup};
use crate::runtime::capability::Endpoint;
use crate::socket_ring::{Accept, Corrupt, Ending, SocketError};

/// A connection.
pub struct TcpStream(Rc<Socket>);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

const fn corrupt(_: Corrupt) -> SocketError {
    SocketError::Corrupt
}

impl TcpStream {
    /// A socket, once it is open.
    pub(super) async fn opened(socket: Rc<Socket>) -> Result<Self, NetworkError> {
        poll_fn(|context| socket.poll_opened(context)).await?;
        Ok(Self(socket))
    }

    /// The other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.client.borrow().peer(&self.0.memory)
    }

    /// This end.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.client.borrow().local(&self.0.memory)
    }

    /// Hands `take` what has come, where it lies, in one piece, at least a byte; it says how much
    /// of it it has used. `None` at the end.
    pub async fn read_with<R>(
        &self,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<Option<R>, SocketError> {
        let mut take = Some(take);
        poll_fn(|context| {
            // Before the ring: what came before the end is there then.
            let ending = self.0.input_end();
            let read = self.0.read_with(|bytes| match take.take() {
                Some(take) => {
                    let (used, result) = take(bytes);
                    (used, Some(result))
                }
                None => (0, None),
            });
            match (read, ending) {
                (Err(error), _) => Poll::Ready(Err(corrupt(error))),
                (Ok(Some(result)), _) => Poll::Ready(Ok(result)),
                (Ok(None), Some(Ending::Done)) => Poll::Ready(Ok(None)),
                (Ok(None), Some(Ending::Failed(error))) => Poll::Ready(Err(error)),
                (Ok(None), None) => self.0.wait_for(Want::Data, context),
            }
        })
        .await
    }

    /// Reads what has come, at least a byte; 0 at the end.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, SocketError> {
        let read = self.read_with(|bytes| {
            let count = bytes.len().min(into.len());
            into[..count].copy_from_slice(&bytes[..count]);
            (count, count)
        });
        read.await.map(|count| count.unwrap_or(0))
    }

    /// Hands `put` room for what is to be sent, where it lies, in one piece, at least a byte; it
    /// says how much of it it has filled.
    pub async fn write_with<R>(
        &self,
        put: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, SocketError> {
        let mut put = Some(put);
        poll_fn(|context| {
            match self.0.output_end() {
                None => {}
                Some(Ending::Done) => return Poll::Ready(Err(SocketError::Reset)),
                Some(Ending::Failed(error)) => return Poll::Ready(Err(error)),
            }
            let written = self.0.write_with(|room| match put.take() {
                Some(put) => {
                    let (filled, result) = put(room);
                    (filled, Some(result))
                }
                None => (0, None),
            });
            match written {
                Err(error) => Poll::Ready(Err(corrupt(error))),
                Ok(Some(Some(result))) => Poll::Ready(Ok(result)),
                Ok(_) => self.0.wait_for(Want::Room(1), context),
            }
        })
        .await
    }

    /// Writes as much as there is room for, at least a byte.
    pub async fn write(&self, from: &[u8]) -> Result<usize, SocketError> {
        if from.is_empty() {
            return Ok(0);
        }
        self.write_with(|room| {
            let count = room.len().min(from.len());
            room[..count].copy_from_slice(&from[..count]);
            (count, count)
        })
        .await
    }

    /// Writes all of it.
    pub async fn write_all(&self, mut from: &[u8]) -> Result<(), SocketError> {
        while !from.is_empty() {
            let written = self.write(from).await?;
            from = &from[written..];
        }
        Ok(())
    }

    /// Says that nothing follows what was written. The other side may go on sending. Nothing may
    /// be written after this.
    pub fn finish(&self) {
        let wake = self.0.client.borrow_mut().finish(&self.0.memory);
        self.0.ring(wake);
    }

    /// The same, and waits until the other side has acknowledged all of it.
    pub async fn shutdown(&self) -> Result<(), SocketError> {
        self.finish();
        poll_fn(|context| match self.0.output_end() {
            Some(Ending::Done) => Poll::Ready(Ok(())),
            Some(Ending::Failed(error)) => Poll::Ready(Err(error)),
            None => self.0.wait_for(Want::Finished, context),
        })
        .await
    }
}

/// Accepts connections to a port. Dropped, nobody listens any more.
pub struct TcpListener {
    hub: Rc<Hub>,
    endpoint: Endpoint,
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").finish_non_exhaustive()
    }
}

impl TcpListener {
    pub(super) fn new(hub: Rc<Hub>, endpoint: Endpoint) -> Self {
        Self { hub, endpoint }
    }

    /// The next connection.
    pub async fn accept(&self) -> Result<TcpStream, NetworkError> {
        self.accept_with(Setup::default()).await
    }

    /// The same, with rings of one's own choice.
    pub async fn accept_with(&self, setup: Setup) -> Result<TcpStream, NetworkError> {
        let layout = setup.layout()?;
        let message = Accept { layout, bits: self.hub.board.bits() }.to_message();
        let socket = Socket::open(&self.hub, &self.endpoint, message, layout)?;
        TcpStream::opened(socket).await
    }
}
