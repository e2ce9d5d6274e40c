//! A listener of ring 3's: an endpoint of its own, which is called for the next connection.
//!
//! It ends, and nobody listens any more, with the last capability to call it and the last session
//! that waits for a connection. Those wait in the order in which they were opened.

use super::super::listener::{BACKLOG_MIN, LISTENING};
use super::super::{Net, TcpListener};
use super::opening::{Luggage, take_place};
use super::{convert, tcp};
use crate::authority::Capability;
use crate::ipc::service::Service;
use crate::platform::Pollux;
use crate::services::session::places::Place;
use alloc::rc::Rc;
use executor::Priority;
use executor::sync::Semaphore;
use protocols::abi::Error;
use protocols::socket_ring::{ACCEPT, Accept, Listen, Listening};

/// Most connections that may wait to be accepted.
const BACKLOG_MAX: u16 = 16;

/// A listener, and whose turn it is to wait at it.
pub struct Waiting {
    pub listener: TcpListener,
    /// There is room for one who waits for a connection.
    pub turn: Semaphore,
    _place: Place,
}

/// A capability to a new listener, or the words of a refusal.
pub fn start(
    net: &Net,
    asked: Listen,
    process: u32,
) -> Result<Result<Capability, [u64; 6]>, Error> {
    let backlog = usize::from(asked.backlog.min(BACKLOG_MAX)).max(BACKLOG_MIN);
    let interfaces = net.interfaces().len().max(1);
    let buffers = tcp::ACCEPTED;
    let place = take_place(process, (backlog + LISTENING) * interfaces * buffers.bytes())?;
    let listener = match net.listen(asked.port, backlog, buffers) {
        Ok(listener) => listener,
        Err(error) => return Ok(Err(Listening::refused(convert::error(error)))),
    };
    let waiting = Rc::new(Waiting { listener, turn: Semaphore::new(1), _place: place });
    let service = Service::new(super::super::core())?;
    let capability = service.capability()?;
    let serve = serve(service, waiting);
    executor::spawn::<Pollux, _>("listener", Priority::Normal, serve).detach();
    Ok(Ok(capability))
}

async fn serve(mut service: Service, waiting: Rc<Waiting>) {
    while let Some(request) = service.receive().await {
        match request.label {
            ACCEPT => super::open(
                request,
                Accept::from_words,
                |accept| Luggage::of_accepted(accept.layout, accept.bits),
                |accept, session| tcp::accept(waiting.clone(), session, accept.layout),
            ),
            _ => request.caller.refuse(Error::InvalidArgument),
        }
    }
}
