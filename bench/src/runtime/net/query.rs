//! Questions to the network service.

use core::future::poll_fn;
use core::net::IpAddr;
use core::task::Poll;

use super::socket::{Socket, Want};
use super::{Network, NetworkError};
use crate::socket_ring::{Addresses, NAME_MAX, PAYLOAD_MAX, Ping, Query, Resolve, SocketError};

async fn answered(socket: &Socket) {
    poll_fn(|context| {
        if Query.is_over(&socket.memory) {
            Poll::Ready(())
        } else {
            socket.wait_for(Want::Answer, context)
        }
    })
    .await;
}

/// The addresses of a name.
pub(super) async fn resolve(network: &Network, host: &str) -> Result<Addresses, NetworkError> {
    if host.is_empty() || host.len() > NAME_MAX {
        return Err(SocketError::BadName.into());
    }
    let (hub, bits) = (&network.hub, network.hub.board.bits());
    let message = Resolve { bits, length: host.len() as u16 }.to_message();
    let prepare = |memory: &_| Query.set_name(memory, host);
    let socket = Socket::ask(hub, &network.endpoint, message, prepare)?;
    answered(&socket).await;
    Ok(Query.addresses(&socket.memory)?)
}

/// An echo.
pub(super) async fn ping(
    network: &Network,
    host: IpAddr,
    sequence: u16,
    payload_bytes: u16,
    limit_ms: u32,
) -> Result<u64, NetworkError> {
    if payload_bytes > PAYLOAD_MAX {
        return Err(NetworkError::TooLong);
    }
    let (hub, bits) = (&network.hub, network.hub.board.bits());
    let message = Ping { bits, host, sequence, payload_bytes, limit_ms }.to_message();
    let socket = Socket::ask(hub, &network.endpoint, message, |_| Some(()))?;
    answered(&socket).await;
    Ok(Query.round_trip_ns(&socket.memory)?)
}
