//! Datagrams.

use alloc::rc::Rc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use super::NetworkError;
use super::socket::{Socket, Want};
use crate::socket_ring::{DatagramError, Ending, SocketError};

/// A port for datagrams.
pub struct UdpSocket(Rc<Socket>);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("port", &self.port()).finish_non_exhaustive()
    }
}

const fn error(ending: Ending) -> SocketError {
    match ending {
        Ending::Done => SocketError::Gone,
        Ending::Failed(error) => error,
    }
}

impl UdpSocket {
    /// A socket, once it is open.
    pub(super) async fn opened(socket: Rc<Socket>) -> Result<Self, NetworkError> {
        poll_fn(|context| socket.poll_opened(context)).await?;
        Ok(Self(socket))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.client.borrow().local(&self.0.memory).map_or(0, |local| local.port())
    }

    /// Datagrams that the service could not send: no way there, or no address of a peer.
    pub fn unsent(&self) -> u64 {
        self.0.client.borrow().unsent(&self.0.memory)
    }

    /// Polls to put a datagram on its way; shown to the service at the next
    /// [`flush`](Self::flush).
    fn poll_put(
        &self,
        context: &Context<'_>,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), NetworkError>> {
        if let Some(ending) = self.0.output_end() {
            return Poll::Ready(Err(error(ending).into()));
        }
        let mut client = self.0.client.borrow_mut();
        let written = client.output.write_datagram(&self.0.memory, to, bytes);
        let half = client.output.capacity() / 2;
        drop(client);
        match written {
            Ok(()) => Poll::Ready(Ok(())),
            Err(DatagramError::TooLong) => Poll::Ready(Err(NetworkError::TooLong)),
            Err(DatagramError::Corrupt(_)) => Poll::Ready(Err(SocketError::Corrupt.into())),
            Err(DatagramError::Full) => {
                self.flush();
                self.0.wait_for(Want::Room(half), context)
            }
        }
    }

    /// Sends `bytes` to `to`; done when they are on their way to the service.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), NetworkError> {
        self.queue_to(bytes, to).await?;
        self.flush();
        Ok(())
    }

    /// The same, but the service sees it with the next [`flush`](Self::flush), or when the ring is
    /// full: for many datagrams in a row.
    pub async fn queue_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), NetworkError> {
        poll_fn(|context| self.poll_put(context, bytes, to)).await
    }

    /// Shows the service what was queued.
    pub fn flush(&self) {
        let wake = self.0.client.borrow_mut().output.publish(&self.0.memory);
        self.0.ring(wake);
    }

    /// The next datagram: its length, and where it is from. What does not fit is cut off.
    pub async fn receive(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), NetworkError> {
        poll_fn(|context| {
            let ending = self.0.input_end();
            match self.take(into) {
                Some(Ok(taken)) => Poll::Ready(Ok(taken)),
                Some(Err(error)) => Poll::Ready(Err(error.into())),
                None => match ending {
                    Some(ending) => Poll::Ready(Err(error(ending).into())),
                    None => self.0.wait_for(Want::Data, context),
                },
            }
        })
        .await
    }

    /// A datagram that is there.
    fn take(&self, into: &mut [u8]) -> Option<Result<(usize, SocketAddr), SocketError>> {
        let mut client = self.0.client.borrow_mut();
        let datagram = match client.input.datagram(&self.0.memory) {
            Ok(datagram) => datagram?,
            Err(_) => return Some(Err(SocketError::Corrupt)),
        };
        client.input.take_datagram(&self.0.memory, datagram, into);
        let wake = client.input.publish(&self.0.memory);
        drop(client);
        self.0.ring(wake);
        Some(Ok((datagram.len(), datagram.peer)))
    }
}
