//! Sockets as futures: the client of the network service.
//!
//! ```text
//!   read, write ──> rings in a memory object ──> service           (no system call while it is awake)
//!        │ nothing there, no room
//!        └──> waker ──> reactor: looks at all sockets somebody waits at; when it has looked in vain
//!                       for a while it says "asleep" in their rings, looks once more, and waits for
//!                       the one signal they all have
//! ```
//!
//! [`Network`] is made of the capability that `--net` gives a program. A socket is a memory object
//! with two rings and a doorbell; dropped, a connection is reset unless [`TcpStream::finish`] was
//! called, and then closed after all that was written. Every future may be dropped: what was read
//! or written until then stays so.
//!
//! At each socket one task may read and one may write at a time.

mod query;
mod reactor;
mod socket;
mod tcp;
mod udp;

use alloc::rc::Rc;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use executor::JoinHandle;

use super::calls;
use super::capability::Endpoint;
use super::executor::{sleep, spawn};
use crate::abi::Error;
use crate::abi::message::{Info, Message};
use crate::socket_ring::{
    Addresses, Bind, Connect, INFO, InterfaceInfo, LISTEN, Layout, LayoutError, Listen, Listening,
    SocketError,
};
use reactor::Board;
use socket::Socket;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;

/// Bytes of a ring, if nothing else is said.
const USUAL: u32 = 64 << 10;

/// Milliseconds between two looks at the addresses.
const LOOK_MS: u64 = 50;

/// How large a socket's rings are.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes to the network: a power of two, within
    /// [`CAPACITY_MIN`](crate::socket_ring::CAPACITY_MIN) and
    /// [`CAPACITY_MAX`](crate::socket_ring::CAPACITY_MAX).
    pub to_network: u32,
    /// Bytes from the network.
    pub from_network: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { to_network: USUAL, from_network: USUAL }
    }
}

impl Setup {
    fn layout(self) -> Result<Layout, NetworkError> {
        Layout::new(self.to_network, self.from_network).map_err(NetworkError::Layout)
    }
}

/// Why something did not work over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// A call was refused.
    Refused(Error),
    /// There are no such rings.
    Layout(LayoutError),
    /// What became of a socket or a query.
    Socket(SocketError),
    /// A datagram is longer than the socket's ring takes.
    TooLong,
    /// The other end does not talk like a network service.
    NoNetworkService,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::Socket(error) => error.fmt(f),
            Self::TooLong => f.write_str("the datagram is too long"),
            Self::NoNetworkService => f.write_str("the other end is no network service"),
        }
    }
}

impl From<Error> for NetworkError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<SocketError> for NetworkError {
    fn from(error: SocketError) -> Self {
        Self::Socket(error)
    }
}

/// The network, for the tasks of one thread.
#[derive(Clone)]
pub struct Network {
    endpoint: Rc<Endpoint>,
    hub: Rc<Hub>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// What all sockets of a [`Network`] share.
struct Hub {
    board: Rc<Board>,
    /// Ends with this value.
    _reactor: JoinHandle<()>,
}

impl Network {
    /// The network behind `endpoint`.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
        let board = Rc::new(Board::new()?);
        let reactor = spawn("net", reactor::run(board.clone()));
        let hub = Rc::new(Hub { board, _reactor: reactor });
        Ok(Self { endpoint: Rc::new(endpoint), hub })
    }

    /// What an interface is, and one of its addresses: both by number. `InvalidArgument`: there is
    /// no such interface.
    pub fn interface(&self, number: u64, address: u64) -> Result<InterfaceInfo, NetworkError> {
        let reply = self.endpoint.call(&Message::new(INFO, [number, address, 0, 0, 0, 0]))?;
        InterfaceInfo::from_words(reply.words).ok_or(NetworkError::NoNetworkService)
    }

    /// Waits until an interface has an address by which others reach it, for at most so many
    /// milliseconds. Whether one has.
    pub async fn is_ready(&self, limit_ms: u64) -> bool {
        for waited_ms in (0..=limit_ms).step_by(LOOK_MS as usize) {
            if self.has_address() {
                return true;
            }
            if waited_ms + LOOK_MS <= limit_ms {
                sleep(LOOK_MS * 1_000_000).await;
            }
        }
        false
    }

    fn has_address(&self) -> bool {
        let reaches = |address: IpAddr| match address {
            IpAddr::V4(address) => !address.is_unspecified(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        };
        let addresses = |number| {
            let address = move |place| Some(self.interface(number, place).ok()?.address?.0);
            (0..).map_while(address)
        };
        let exists = |number: &u64| self.interface(*number, 0).is_ok();
        (0..).take_while(exists).flat_map(addresses).any(reaches)
    }

    /// Connects to `peer`.
    pub async fn connect(&self, peer: SocketAddr) -> Result<TcpStream, NetworkError> {
        self.connect_with(peer, Setup::default()).await
    }

    /// The same, with rings of one's own choice.
    pub async fn connect_with(
        &self,
        peer: SocketAddr,
        setup: Setup,
    ) -> Result<TcpStream, NetworkError> {
        let layout = setup.layout()?;
        let bits = self.hub.board.bits();
        let message = Connect { layout, bits, peer }.to_message();
        let socket = Socket::open(&self.hub, &self.endpoint, message, layout)?;
        TcpStream::opened(socket).await
    }

    /// Listens at `port`, with room for `backlog` connections that nobody has accepted yet.
    pub fn listen(&self, port: u16, backlog: u16) -> Result<TcpListener, NetworkError> {
        let reply = self.endpoint.call(&Listen { port, backlog }.to_message())?;
        match reply.info {
            info if info == Info::new(LISTEN, 1) => {
                let listener = Endpoint::from_handle(reply.capabilities[0]);
                Ok(TcpListener::new(self.hub.clone(), listener))
            }
            info if info == Info::new(LISTEN, 0) => Err(Listening::why_not(reply.words).into()),
            _ => Err(NetworkError::NoNetworkService),
        }
    }

    /// A UDP socket at `port`; 0: at any that is free.
    pub async fn bind(&self, port: u16) -> Result<UdpSocket, NetworkError> {
        self.bind_with(port, Setup::default()).await
    }

    /// The same, with rings of one's own choice.
    pub async fn bind_with(&self, port: u16, setup: Setup) -> Result<UdpSocket, NetworkError> {
        let layout = setup.layout()?;
        let bits = self.hub.board.bits();
        let message = Bind { layout, bits, port }.to_message();
        let socket = Socket::open(&self.hub, &self.endpoint, message, layout)?;
        UdpSocket::opened(socket).await
    }

    /// The addresses of a host name, or the one that it is.
    pub async fn resolve(&self, host: &str) -> Result<Addresses, NetworkError> {
        query::resolve(self, host).await
    }

    /// Nanoseconds to `host` and back, by an echo request with so many bytes, waited for for at
    /// most `limit_ms` milliseconds.
    pub async fn ping(
        &self,
        host: IpAddr,
        sequence: u16,
        payload_bytes: u16,
        limit_ms: u32,
    ) -> Result<u64, NetworkError> {
        query::ping(self, host, sequence, payload_bytes, limit_ms).await
    }
}

/// Gives back what a call did not take along.
fn drop_luggage(message: &Message) {
    for handle in &message.capabilities[..message.info.capabilities()] {
        let _ = calls::drop_capability(*handle);
    }
}
