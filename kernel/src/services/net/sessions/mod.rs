//! The network service: sockets for ring 3, by capability.
//!
//! ```text
//!   grant() ──> capability ──> program
//!                  │ Call CONNECT, BIND, RESOLVE, PING    ┌──────────────┐
//!                  ├──> service task (one a grant) ─────> │ session task │ ──> TcpStream, UdpSocket
//!                  │ Call LISTEN                          │ (one a       │
//!                  └──> listener task <── Call ACCEPT ──> │ socket)      │
//!                                                         └──────┬───────┘
//!                                          rings in the program's memory object
//! ```
//!
//! Who holds the capability reaches the network from this machine's addresses, and nothing else; it
//! may be handed on like any other. The messages and the rings are [`protocols::socket_ring`]'s.
//! Everything here runs on the network core. A grant's task ends with its last capability, a
//! session's with its doorbell's.
//!
//! What a session takes is charged to the process that opened it: its memory object was already,
//! the buffers of the socket behind it are now ([`opening`]).

mod convert;
mod listener;
mod opening;
mod query;
mod tcp;
mod udp;

use super::Net;
use crate::authority::Capability;
use crate::ipc::service::{Request, Service};
use crate::platform::Pollux;
use crate::services::session::Session;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use executor::Priority;
use opening::Luggage;
use protocols::abi::Error;
use protocols::socket_ring::{
    BIND, Bind, CONNECT, Connect, INFO, LISTEN, Listen, PING, Ping, RESOLVE, Resolve, SocketError,
    Wake,
};

/// Bytes of the memory object of a query.
const QUERY_BYTES: usize = protocols::abi::PAGE;

/// A capability to the network.
pub fn grant() -> Result<Capability, Error> {
    let service = Service::new(super::core())?;
    let capability = service.capability()?;
    super::ask(alloc::boxed::Box::new(move |net| {
        let serve = serve(service, net.clone());
        executor::spawn::<Pollux, _>("network service", Priority::Normal, serve).detach();
    }));
    Ok(capability)
}

async fn serve(mut service: Service, net: Net) {
    while let Some(request) = service.receive().await {
        match request.label {
            INFO => match convert::interface_info(&net, request.words) {
                Some(info) => request.caller.reply(INFO, info.to_words()),
                None => request.caller.refuse(Error::InvalidArgument),
            },
            CONNECT => open(request, Connect::from_words, tcp_luggage, |connect, session| {
                tcp::connect(net.clone(), session, connect.layout, connect.peer.into())
            }),
            BIND => open(
                request,
                Bind::from_words,
                |bind| Luggage::of_datagrams(bind.layout, bind.bits),
                |bind, session| udp::serve(net.clone(), session, bind.layout, bind.port),
            ),
            RESOLVE => open(
                request,
                Resolve::from_words,
                |resolve| Luggage::of_query(resolve.bits),
                |resolve, session| query::resolve(net.clone(), session, resolve.length),
            ),
            PING => open(
                request,
                Ping::from_words,
                |ping| Luggage::of_query(ping.bits),
                |ping, session| query::ping(net.clone(), session, ping),
            ),
            LISTEN => listen(&net, request),
            _ => request.caller.refuse(Error::InvalidArgument),
        }
    }
}

fn tcp_luggage(connect: &Connect) -> Luggage {
    Luggage::of_stream(connect.layout, connect.bits)
}

/// Opens a session, starts its task, and replies with its doorbell. What the request brought along
/// is gone, whatever becomes of it.
fn open<T, F>(
    mut request: Request,
    parse: impl FnOnce([u64; 6]) -> Option<T>,
    luggage: impl FnOnce(&T) -> Luggage,
    serve: impl FnOnce(T, Session) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let asked = parse(request.words).ok_or(Error::InvalidArgument);
    let opened = asked.and_then(|asked| {
        let (session, doorbell) = opening::open(&mut request, luggage(&asked))?;
        Ok((asked, session, doorbell))
    });
    let (asked, session, doorbell) = match opened {
        Ok(opened) => opened,
        Err(error) => return request.caller.refuse(error),
    };
    let serve = serve(asked, session);
    executor::spawn::<Pollux, _>("socket", Priority::Normal, serve).detach();
    let words = [u64::from(super::core().0), 0, 0, 0, 0, 0];
    request.caller.reply_with(request.label, words, doorbell);
}

fn listen(net: &Net, request: Request) {
    let Some(asked) = Listen::from_words(request.words) else {
        return request.caller.refuse(Error::InvalidArgument);
    };
    match listener::start(net, asked, request.sender.process()) {
        Ok(Ok(capability)) => request.caller.reply_with(LISTEN, [0; 6], capability),
        Ok(Err(words)) => request.caller.reply(LISTEN, words),
        Err(error) => request.caller.refuse(error),
    }
}

/// Rings the client of a session, if it has to be.
fn ring(session: &Session, wake: Wake) {
    if wake == Wake::Ring {
        session.signal();
    }
}

/// Says once that a program's rings make no sense: it may open as many more as it likes.
fn log_corrupt(process: u32) {
    /// The process that the log was told of last.
    static TOLD_OF: AtomicU32 = AtomicU32::new(0);
    if TOLD_OF.swap(process, Relaxed) != process {
        log::warn!("net: process {process}: {}: ended", SocketError::Corrupt);
    }
}
