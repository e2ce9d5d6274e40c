//! How ring 3 reaches the network: a socket is opened by message, then its bytes go through two
//! rings in a memory object.
//!
//! ```text
//!   client                                                        network service
//!     │  Call CONNECT, BIND, ACCEPT: memory object, notification ───> │
//!     │ <──────────────────────────────────────────── doorbell, core  │
//!     │                                                               │
//!     │  memory object:  ┌ to the network ┐ ─────────────────────────>│──> socket ──> frames
//!     │                  └────────────────┘                           │
//!     │ <──────────────────────────────── ┌ from the network ┐ <──────│<── socket <── frames
//!     │                                   └──────────────────┘        │
//!     │            state, ends, addresses <───────────────────────────│
//! ```
//!
//! A TCP connection's rings carry its bytes; those of a UDP socket [datagrams](DATAGRAM_HEADER), each
//! with its address. The service copies once, between the shared ring and the socket's buffer.
//!
//! Neither side makes a system call for data. Each of the two sides of a [ring](Writer) that finds
//! nothing to do says in a word that it sleeps, looks once more, and sleeps; who then adds something,
//! or makes room, reads that word and rings: the client signals the doorbell, the service the
//! client's notification. Each side stores before it loads with a full fence between, so one of them
//! always sees the other. A ring that is full is the back-pressure: the socket's window closes
//! behind it, or the client's writes wait.
//!
//! ```text
//!   Opening ──connected, accepted, bound──> Open ──both directions have ended──> Over
//!      └────────refused, unreachable, …──────────────────────────────────────────^
//! ```
//!
//! Each direction ends by itself: what comes from the network with the peer's end or an error, what
//! goes there when the client says that it has [finished](Client::finish) and the peer has
//! acknowledged all of it, or with an error. What came before the end can still be read.
//!
//! The doorbell *is* the socket: when the last capability to signal it is gone (dropped, or with the
//! end of its process), the socket is closed if the client had finished, after what is in the ring;
//! otherwise it is reset.
//!
//! [`RESOLVE`] and [`PING`] are opened in the same way, with an object of one page, and end with
//! their answer ([`Query`]).
//!
//! Everything in the memory object is in the hands of the client while the service reads it:
//! [`Server`] reads each word once and checks the copy; counters and datagrams that make no sense
//! end the socket. The client's side checks as much.

mod address;
mod client;
mod datagram;
mod ending;
mod layout;
mod message;
mod query;
mod ring;
mod server;
#[cfg(test)]
mod tests;

pub use crate::block_ring::{Corrupt, Wake};
pub use client::Client;
pub use datagram::{DATAGRAM_HEADER, Datagram, DatagramError, datagram_max};
pub use ending::{Ending, SocketError, State};
pub use layout::{CAPACITY_MAX, CAPACITY_MIN, Layout, LayoutError};
pub use message::{
    ACCEPT, Accept, BIND, Bind, CONNECT, Connect, INFO, InterfaceInfo, LISTEN, Link, Listen,
    Listening, PAYLOAD_MAX, PING, Ping, RESOLVE, Resolve,
};
pub use query::{ADDRESSES_MAX, Addresses, NAME_MAX, Query, QueryServer};
pub use ring::{Reader, Writer};
pub use server::Server;
