//! A TCP session: carries bytes between a program's rings and a connection.
//!
//! ```text
//!   connect, accept ──> Open
//!                        │
//!        ┌─ turn: ring to socket, socket to ring ── moved something: others have a turn ─┐
//!        ^      │ nothing, a few turns: the same                                         │
//!        │      v                                                                        │
//!        │   say "asleep", one more turn ──> wait: doorbell, socket ──────────────────> turn
//!        │
//!   both directions ended, rings that make no sense ──> end
//!   doorbell gone ──> what is in the ring is still sent, if the client had finished ──> end
//!   memory revoked ──> the connection is reset ──> end
//! ```
//!
//! The bytes are copied once, between the ring and the socket's own buffer. What the program does
//! not read stays in the ring, then in the socket, whose window closes; what the peer does not take
//! stays in the socket, then in the ring, whose writer waits.

use super::super::{Buffers, Net, NetError, TcpStream, after_ms};
use super::listener::Waiting;
use super::{convert, log_corrupt, ring};
use crate::platform::Pollux;
use crate::services::session::{Gone, Memory, Session};
use alloc::rc::Rc;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::{Context, Poll};
use executor::yield_now;
use protocols::socket_ring::{CAPACITY_MIN, Corrupt, Ending, Layout, Server, SocketError};
use smoltcp::wire::IpEndpoint;

/// Bytes moved each way before other tasks have a turn.
const BATCH: usize = 64 << 10;
/// Turns without anything before it sleeps.
const PATIENCE: u32 = 64;
/// Milliseconds in which a peer has to take what a client left in the ring when it went.
const LINGER_MS: u64 = 20_000;
/// Most bytes of a socket's buffer.
const BUFFER_MAX: u32 = 512 << 10;

/// Buffers of connections that are accepted: they are there before the program's rings are.
pub const ACCEPTED: Buffers = Buffers::USUAL;

/// Buffers as large as the rings in front of them.
pub fn buffers(layout: Layout) -> Buffers {
    let bytes = |ring: u32| ring.clamp(CAPACITY_MIN, BUFFER_MAX) as usize;
    Buffers { receive: bytes(layout.from_network()), transmit: bytes(layout.to_network()) }
}

/// A session that connects.
pub async fn connect(net: Net, session: Session, layout: Layout, peer: IpEndpoint) {
    let server = Server::new(layout);
    let stream = net.connect(peer, buffers(layout));
    let Ok(connected) = session.while_wanted(stream).await else { return };
    carry(session, server, connected).await;
}

/// A session that waits for a connection.
pub async fn accept(waiting: Rc<Waiting>, session: Session, layout: Layout) {
    let server = Server::new(layout);
    let accepted = async {
        let turn = waiting.turn.acquire(1).await.map_err(|_| NetError::LimitReached)?;
        let stream = waiting.listener.accept().await;
        drop(turn);
        Ok(stream)
    };
    let Ok(accepted) = session.while_wanted(accepted).await else { return };
    // Only those that wait keep the listener.
    drop(waiting);
    carry(session, server, accepted).await;
}

/// Carries bytes to the end.
async fn carry(session: Session, server: Server, stream: Result<TcpStream, NetError>) {
    match stream {
        Ok(stream) => {
            let (local, peer) = (stream.local(), stream.peer());
            let open = server.open(&session.memory(), local.map(Into::into), peer.map(Into::into));
            ring(&session, open);
            let carrier = Carrier { server, stream, input: Way::Open, output: Way::Open };
            carrier.run(&session).await;
        }
        Err(error) => end(&session, &server, Ending::Failed(convert::error(error))),
    }
}

/// Tells the client that both directions have ended.
fn end(session: &Session, server: &Server, ending: Ending) {
    let memory = session.memory();
    ring(session, server.end_input(&memory, ending));
    ring(session, server.end_output(&memory, ending));
    ring(session, server.end(&memory));
}

/// How far a direction is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The end was sent, and is not acknowledged.
    Finishing,
    Ended,
}

/// What a turn has moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    Something,
    Nothing,
}

struct Carrier {
    server: Server,
    stream: TcpStream,
    input: Way,
    output: Way,
}

/// Why it stops.
enum Stop {
    /// Both directions have ended.
    Ended,
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
    async fn run(mut self, session: &Session) {
        let Err(stop) = self.carry(session).await;
        match stop {
            Stop::Ended => ring(session, self.server.end(&session.memory())),
            Stop::Gone(Gone::Left) => self.linger(session).await,
            // What lies in the rings is none of the client's any more.
            Stop::Gone(Gone::Revoked) => self.stream.abort(),
            Stop::Corrupt => {
                log_corrupt(session.process);
                self.stream.abort();
                end(session, &self.server, Ending::Failed(SocketError::Corrupt));
            }
        }
    }

    async fn carry(&mut self, session: &Session) -> Result<Infallible, Stop> {
        let mut in_vain = 0;
        loop {
            session.check()?;
            let moved = poll_fn(|context| Poll::Ready(self.turn(context, session))).await?;
            if self.has_ended() {
                return Err(Stop::Ended);
            }
            in_vain = if moved == Moved::Something { 0 } else { in_vain + 1 };
            if in_vain < PATIENCE {
                yield_now().await;
                continue;
            }
            in_vain = 0;
            let memory = session.memory();
            self.server.output.fall_asleep(&memory);
            self.server.input.fall_asleep(&memory);
            let woken = session.wait(|context| self.poll_moved(context, session)).await?;
            self.server.output.wake_up(&memory);
            self.server.input.wake_up(&memory);
            woken.transpose()?;
        }
    }

    fn has_ended(&self) -> bool {
        self.input == Way::Ended && self.output == Way::Ended
    }

    /// Ready once something has been moved, or both directions have ended.
    fn poll_moved(
        &mut self,
        context: &mut Context<'_>,
        session: &Session,
    ) -> Poll<Result<(), Corrupt>> {
        match self.turn(context, session) {
            Err(corrupt) => Poll::Ready(Err(corrupt)),
            Ok(Moved::Nothing) if !self.has_ended() => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
        }
    }

    /// Moves what can be moved, each way.
    fn turn(&mut self, context: &mut Context<'_>, session: &Session) -> Result<Moved, Corrupt> {
        let (sent, received) = (self.send(context, session)?, self.receive(context, session)?);
        let moved = sent == Moved::Something || received == Moved::Something;
        Ok(if moved { Moved::Something } else { Moved::Nothing })
    }

    /// From the ring to the socket.
    fn send(&mut self, context: &mut Context<'_>, session: &Session) -> Result<Moved, Corrupt> {
        let Self { server, stream, output, .. } = self;
        let memory = session.memory();
        let mut moved = 0;
        if *output == Way::Open {
            let finished = server.is_finished(&memory);
            let mut left = server.output.available(&memory)?;
            while left > 0 && moved < BATCH {
                match write(context, stream, server, &memory) {
                    Poll::Ready(Ok(count)) => moved += count?,
                    Poll::Ready(Err(error)) => {
                        *output = Way::Ended;
                        let ending = Ending::Failed(convert::error(error));
                        ring(session, server.end_output(&memory, ending));
                        break;
                    }
                    Poll::Pending => break,
                }
                left = server.output.available(&memory)?;
            }
            ring(session, server.output.publish(&memory));
            if finished && left == 0 && *output == Way::Open {
                stream.shut_down();
                *output = Way::Finishing;
            }
        }
        if *output == Way::Finishing
            && let Poll::Ready(finished) = stream.poll_finished(context)
        {
            *output = Way::Ended;
            let failed = |error| Ending::Failed(convert::error(error));
            let ending = finished.map_or_else(failed, |()| Ending::Done);
            ring(session, server.end_output(&memory, ending));
        }
        Ok(if moved > 0 { Moved::Something } else { Moved::Nothing })
    }

    /// From the socket to the ring.
    fn receive(&mut self, context: &mut Context<'_>, session: &Session) -> Result<Moved, Corrupt> {
        let Self { server, stream, input, .. } = self;
        let memory = session.memory();
        let mut moved = 0;
        let mut ending = None;
        while *input == Way::Open && moved < BATCH && server.input.room(&memory)? > 0 {
            let taken = stream.poll_read_with(context, |bytes| {
                let written = server.input.write(&memory, bytes);
                (written.unwrap_or(0), written)
            });
            match taken {
                Poll::Ready(Ok(Some(count))) => moved += count?,
                Poll::Ready(Ok(None)) => ending = Some(Ending::Done),
                Poll::Ready(Err(error)) => ending = Some(Ending::Failed(convert::error(error))),
                Poll::Pending => break,
            }
            if ending.is_some() {
                *input = Way::Ended;
            }
        }
        ring(session, server.input.publish(&memory));
        if let Some(ending) = ending {
            ring(session, server.end_input(&memory, ending));
            // A connection that was reset takes nothing any more.
            if let Ending::Failed(_) = ending
                && self.output != Way::Ended
            {
                self.output = Way::Ended;
                ring(session, server.end_output(&memory, ending));
            }
        }
        Ok(if moved > 0 { Moved::Something } else { Moved::Nothing })
    }

    /// The client is gone. What it had finished is still sent, for a while; all else is reset as
    /// the connection is dropped.
    async fn linger(&mut self, session: &Session) {
        if !self.server.is_finished(&session.memory()) || self.output == Way::Ended {
            return;
        }
        let sent = session.while_held(|context| match self.send(context, session) {
            Ok(Moved::Something) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(Moved::Nothing) if self.output == Way::Open => Poll::Pending,
            Ok(Moved::Nothing) | Err(Corrupt) => Poll::Ready(()),
        });
        // The stack looks after what the socket then has.
        let sent = executor::timeout::<Pollux, _>(after_ms(LINGER_MS), sent).await;
        if let Ok(Err(_revoked)) = sent {
            self.stream.abort();
        }
    }
}

/// Moves bytes that are in the ring into the room of the socket's buffer.
fn write(
    context: &mut Context<'_>,
    stream: &TcpStream,
    server: &mut Server,
    memory: &Memory<'_>,
) -> Poll<Result<Result<usize, Corrupt>, NetError>> {
    stream.poll_write_with(context, |room| {
        let read = server.output.read(memory, room);
        (read.unwrap_or(0), read)
    })
}
