//! Why something did not work over the network.

use smoltcp::wire::IpAddress;
use thiserror_no_std::Error;

/// Why an operation on the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetError {
    /// No interface has a way there. Wait for an address, or give one.
    #[error("there is no way to {0}: no interface has an address and a route for it")]
    NoRoute(IpAddress),
    /// It is this machine's own address, and there is no way from it to itself.
    #[error("{0} is this machine: it does not talk to itself over the network")]
    Ourselves(IpAddress),
    /// The other machine has nobody at that port.
    #[error("the connection was refused")]
    Refused,
    /// The other machine ended the connection, or this one lost its address.
    #[error("the connection was reset")]
    Reset,
    /// Nobody answered in time.
    #[error("there was no answer in time")]
    TimedOut,
    /// The connection was ended for sending by this side.
    #[error("nothing can be sent after the end")]
    Finished,
    /// Sockets or the memory for their buffers are used up. Close some.
    #[error("too many sockets")]
    LimitReached,
    /// Somebody has the port.
    #[error("port {0} is taken")]
    PortTaken(u16),
    /// No name server has that name.
    #[error("no such host name")]
    NoSuchName,
    /// No name server is known.
    #[error("no name server is known: by DHCP, or net.dns=ADDRESS")]
    NoNameServer,
    /// It is not a host name.
    #[error("this is no host name")]
    BadName,
    /// The datagram is longer than the socket's buffer.
    #[error("the datagram is too long")]
    TooLong,
    /// A whole address cannot be meant.
    #[error("nothing can be sent to that address or port")]
    BadAddress,
    /// The network core does not answer.
    #[error("{0}")]
    NoNetwork(#[from] NoNetwork),
}

/// The network core's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the network core does not answer")]
pub struct NoNetwork;
