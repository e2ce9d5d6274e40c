//! A UDP session: carries datagrams between a program's rings and a socket.
//!
//! Its states are those of [`super::tcp`]'s, without ends of a direction. Datagrams that arrive
//! while the program's ring is full wait in the socket; beyond that they are lost, as UDP's are.

use super::super::{Net, UdpSocket, after_ms};
use super::{convert, log_corrupt, ring};
use crate::platform::Pollux;
use crate::services::session::{Gone, Session};
use core::convert::Infallible;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::{Context, Poll};
use executor::yield_now;
use protocols::socket_ring::{Corrupt, DatagramError, Ending, Layout, Server, SocketError};

/// Datagrams moved each way before other tasks have a turn.
const BATCH: usize = 64;
/// Turns without anything before it sleeps.
const PATIENCE: u32 = 64;
/// Milliseconds in which what a client left behind has to go out.
const LINGER_MS: u64 = 2_000;

/// Bytes of the buffers of a UDP socket at one interface.
pub const BUFFER_BYTES: usize = super::super::udp::BUFFER_BYTES;

/// Serves a socket at `port`; 0: any.
pub async fn serve(net: Net, session: Session, layout: Layout, port: u16) {
    if session.check().is_err() {
        return;
    }
    let server = Server::new(layout);
    let socket = match net.bind(port) {
        Ok(socket) => socket,
        Err(error) => return end(&session, &server, convert::error(error)),
    };
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), socket.port());
    ring(&session, server.open(&session.memory(), Some(local), None));
    Carrier { session, server, socket }.run().await;
}

/// Tells the client that it is over.
fn end(session: &Session, server: &Server, error: SocketError) {
    let memory = session.memory();
    ring(session, server.end_input(&memory, Ending::Failed(error)));
    ring(session, server.end_output(&memory, Ending::Failed(error)));
    ring(session, server.end(&memory));
}

struct Carrier {
    session: Session,
    server: Server,
    socket: UdpSocket,
}

/// Why it stops.
enum Stop {
    Gone(Gone),
    Corrupt,
}

impl From<Gone> for Stop {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<Corrupt> for Stop {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl Carrier {
    async fn run(mut self) {
        let Err(stop) = self.carry().await;
        let Self { session, server, socket } = &mut self;
        match stop {
            Stop::Corrupt => {
                log_corrupt(session.process);
                end(session, server, SocketError::Corrupt);
            }
            // What lies in the rings is none of the client's any more.
            Stop::Gone(Gone::Revoked) => {}
            // Datagrams it has sent are sent.
            Stop::Gone(Gone::Left) => {
                let sent =
                    session.while_held(|context| match send(context, session, server, socket) {
                        Ok(0) | Err(Corrupt) => socket.poll_sent(context),
                        Ok(_) => {
                            context.waker().wake_by_ref();
                            Poll::Pending
                        }
                    });
                let _ = executor::timeout::<Pollux, _>(after_ms(LINGER_MS), sent).await;
            }
        }
    }

    async fn carry(&mut self) -> Result<Infallible, Stop> {
        let Self { session, server, socket } = self;
        let memory = session.memory();
        let mut in_vain = 0;
        loop {
            session.check()?;
            let moved = poll_fn(|context| Poll::Ready(turn(context, session, server, socket)));
            in_vain = if moved.await? > 0 { 0 } else { in_vain + 1 };
            if in_vain < PATIENCE {
                yield_now().await;
                continue;
            }
            in_vain = 0;
            server.output.fall_asleep(&memory);
            server.input.fall_asleep(&memory);
            let woken = session.wait(|context| match turn(context, session, server, socket) {
                Ok(0) => Poll::Pending,
                moved => Poll::Ready(moved),
            });
            let woken = woken.await?;
            server.output.wake_up(&memory);
            server.input.wake_up(&memory);
            woken.transpose()?;
        }
    }
}

/// Moves what can be moved, each way. How many datagrams.
fn turn(
    context: &mut Context<'_>,
    session: &Session,
    server: &mut Server,
    socket: &UdpSocket,
) -> Result<usize, Corrupt> {
    let sent = send(context, session, server, socket)?;
    Ok(sent + receive(context, session, server, socket)?)
}

/// From the socket to the ring. How many datagrams.
fn receive(
    context: &mut Context<'_>,
    session: &Session,
    server: &mut Server,
    socket: &UdpSocket,
) -> Result<usize, Corrupt> {
    let memory = session.memory();
    let mut moved = 0;
    while moved < BATCH && server.input.has_room_for_datagram(&memory)? {
        let received = socket.poll_receive_with(context, |bytes, from| {
            server.input.write_datagram(&memory, from.into(), bytes)
        });
        match received {
            Poll::Ready(Ok(())) => {}
            // One that never fits is lost.
            Poll::Ready(Err(DatagramError::TooLong | DatagramError::Full)) => {}
            Poll::Ready(Err(DatagramError::Corrupt(corrupt))) => return Err(corrupt),
            Poll::Pending => break,
        }
        moved += 1;
    }
    ring(session, server.input.publish(&memory));
    Ok(moved)
}

/// From the ring to the socket. How many datagrams.
fn send(
    context: &mut Context<'_>,
    session: &Session,
    server: &mut Server,
    socket: &UdpSocket,
) -> Result<usize, Corrupt> {
    let memory = session.memory();
    let mut moved = 0;
    while moved < BATCH
        && let Some(datagram) = server.output.datagram(&memory)?
    {
        let to = datagram.peer.into();
        let sent = socket.poll_send_with(context, to, datagram.len(), |room| {
            server.output.take_datagram(&memory, datagram, room);
        });
        match sent {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                server.output.take_datagram(&memory, datagram, &mut []);
                server.could_not_send(&memory);
            }
            Poll::Pending => break,
        }
        moved += 1;
    }
    ring(session, server.output.publish(&memory));
    Ok(moved)
}
