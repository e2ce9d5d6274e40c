//! What a call brings along that opens a session.

use super::{QUERY_BYTES, tcp, udp};
use crate::authority::Capability;
use crate::ipc::service::Request;
use crate::services::session::Session;
use crate::services::session::places::{NETWORK, Place};
use protocols::abi::Error;
use protocols::socket_ring::Layout;

/// What it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Luggage {
    /// Bytes of the memory object, at least.
    object_bytes: usize,
    /// Bytes that the socket's buffers will have.
    buffer_bytes: usize,
    /// What to signal.
    bits: u64,
}

impl Luggage {
    /// For a connection.
    pub fn of_stream(layout: Layout, bits: u64) -> Self {
        let buffers = tcp::buffers(layout);
        let buffer_bytes = buffers.receive + buffers.transmit;
        Self { object_bytes: layout.bytes(), buffer_bytes, bits }
    }

    /// For a connection whose buffers are the listener's.
    pub fn of_accepted(layout: Layout, bits: u64) -> Self {
        let buffer_bytes = tcp::ACCEPTED.receive + tcp::ACCEPTED.transmit;
        Self { object_bytes: layout.bytes(), buffer_bytes, bits }
    }

    /// For a UDP socket.
    pub fn of_datagrams(layout: Layout, bits: u64) -> Self {
        Self { object_bytes: layout.bytes(), buffer_bytes: udp::BUFFER_BYTES, bits }
    }

    /// For a query.
    pub const fn of_query(bits: u64) -> Self {
        Self { object_bytes: QUERY_BYTES, buffer_bytes: QUERY_BYTES, bits }
    }
}

/// What ring 3's sockets may have of the buffers that there may be; the rest stays for the kernel's
/// own.
const PART: usize = 2;

/// A place for a session or a listener of `process`, with so many bytes of buffers.
pub fn take_place(process: u32, buffer_bytes: usize) -> Result<Place, Error> {
    NETWORK.take(process, buffer_bytes, super::super::buffers_max() / PART)
}

/// Takes it out of the request. Beside the session, what its client rings it with.
pub fn open(request: &mut Request, luggage: Luggage) -> Result<(Session, Capability), Error> {
    let process = request.sender.process();
    let (session, (), doorbell) = Session::open(request, luggage.bits, |pages| {
        if pages.bytes() < luggage.object_bytes {
            return Err(Error::InvalidArgument);
        }
        Ok(((), take_place(process, luggage.buffer_bytes)?))
    })?;
    Ok((session, doorbell))
}
