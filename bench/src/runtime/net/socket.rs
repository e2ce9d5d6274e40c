//! A socket's memory and rings, and who waits at it.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};

use super::{Hub, NetworkError, drop_luggage};
use crate::abi::message::{Info, Message};
use crate::abi::{PAGE, Protection};
use crate::runtime::calls;
use crate::runtime::capability::{Endpoint, Memory, Notification};
use crate::runtime::memory::SharedMapping;
use crate::socket_ring::{
    CAPACITY_MIN, Client, Corrupt, Ending, Layout, Query, SocketError, State, Wake,
};

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// That it is no longer opening.
    Opened,
    /// Something to read, or the end of it.
    Data,
    /// So many bytes of room, or the end of writing.
    Room(usize),
    /// That all was acknowledged, or the end of writing otherwise.
    Finished,
    /// The answer to a query.
    Answer,
}

impl Want {
    /// Whether it has to do with what comes from the network; the others with what goes there.
    const fn is_inward(self) -> bool {
        matches!(self, Self::Opened | Self::Data | Self::Answer)
    }
}

/// A socket or a query.
pub(super) struct Socket {
    pub memory: SharedMapping,
    pub client: RefCell<Client>,
    doorbell: Notification,
    /// Who waits, inward and outward.
    waiting: [RefCell<Option<(Want, Waker)>>; 2],
    hub: Rc<Hub>,
}

impl Socket {
    /// Opens one that `message` asks for.
    pub fn open(
        hub: &Rc<Hub>,
        endpoint: &Endpoint,
        message: Message,
        layout: Layout,
    ) -> Result<Rc<Self>, NetworkError> {
        Self::prepared(hub, endpoint, message, layout, layout.bytes(), |_| Some(()))
    }

    /// Opens a query; `prepare` lays down in the memory what belongs to it.
    pub fn ask(
        hub: &Rc<Hub>,
        endpoint: &Endpoint,
        message: Message,
        prepare: impl FnOnce(&SharedMapping) -> Option<()>,
    ) -> Result<Rc<Self>, NetworkError> {
        // It has no rings; what else the client's side looks at lies in the header.
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN).map_err(NetworkError::Layout)?;
        Self::prepared(hub, endpoint, message, layout, PAGE, prepare)
    }

    fn prepared(
        hub: &Rc<Hub>,
        endpoint: &Endpoint,
        mut message: Message,
        layout: Layout,
        bytes: usize,
        prepare: impl FnOnce(&SharedMapping) -> Option<()>,
    ) -> Result<Rc<Self>, NetworkError> {
        let object = Memory::create(bytes)?;
        let memory = SharedMapping::new(&object, 0, bytes, Protection::WRITE)?;
        prepare(&memory).ok_or(SocketError::BadName)?;
        let to_signal = hub.board.signal().capability()?;
        message.capabilities[0] = object.into_handle();
        message.capabilities[1] = to_signal.into_handle();
        // If they did not travel they are still here.
        let reply = endpoint.call(&message).inspect_err(|_| drop_luggage(&message))?;
        if reply.info != Info::new(message.info.label(), 1) {
            return Err(NetworkError::NoNetworkService);
        }
        let (core, _) = calls::core()?;
        hub.board.served_on(core, reply.words[0]);
        let socket = Rc::new(Self {
            memory,
            client: RefCell::new(Client::new(layout)),
            doorbell: Notification::from_handle(reply.capabilities[0]),
            waiting: [RefCell::new(None), RefCell::new(None)],
            hub: hub.clone(),
        });
        hub.board.add(&socket);
        Ok(socket)
    }

    /// Rings the service, if it sleeps.
    pub fn ring(&self, wake: Wake) {
        if wake == Wake::Ring {
            // Fails only if the program itself dropped the handle.
            let _ = self.doorbell.signal(1);
        }
    }

    /// Has the task woken when it can be as it wants.
    pub fn wait_for<T>(&self, want: Want, context: &Context<'_>) -> Poll<T> {
        let place = &self.waiting[usize::from(!want.is_inward())];
        *place.borrow_mut() = Some((want, context.waker().clone()));
        self.hub.board.somebody_waits();
        Poll::Pending
    }

    /// Whether it is as somebody wants it.
    fn is_so(&self, want: Want) -> bool {
        let mut client = self.client.borrow_mut();
        match want {
            Want::Opened => client.state(&self.memory) != State::Opening,
            Want::Answer => Query.is_over(&self.memory),
            Want::Data => {
                // What makes no sense is for the task to find out.
                client.input.available(&self.memory).map_or(true, |bytes| bytes > 0)
                    || client.input_end(&self.memory).is_some()
            }
            Want::Room(bytes) => {
                client.output.room(&self.memory).map_or(true, |room| room >= bytes)
                    || client.output_end(&self.memory).is_some()
            }
            Want::Finished => client.output_end(&self.memory).is_some(),
        }
    }

    fn wants(&self) -> impl Iterator<Item = Want> + '_ {
        self.waiting.iter().filter_map(|place| place.borrow().as_ref().map(|(want, _)| *want))
    }

    /// Whether somebody waits.
    pub fn is_waited_at(&self) -> bool {
        self.wants().next().is_some()
    }

    /// Whether somebody waits for no reason.
    pub fn is_due(&self) -> bool {
        self.wants().any(|want| self.is_so(want))
    }

    /// Wakes those who wait for no reason. How many.
    pub fn wake_due(&self) -> usize {
        let mut woken = 0;
        for place in &self.waiting {
            let want = place.borrow().as_ref().map(|(want, _)| *want);
            if want.is_some_and(|want| self.is_so(want))
                && let Some((_, waker)) = place.take()
            {
                waker.wake();
                woken += 1;
            }
        }
        woken
    }

    /// Says in the rings that those who wait sleep.
    pub fn fall_asleep(&self) {
        let client = self.client.borrow();
        for want in self.wants() {
            if want.is_inward() {
                client.input.fall_asleep(&self.memory);
            } else {
                client.output.fall_asleep(&self.memory);
            }
        }
    }

    /// Says that they look by themselves.
    pub fn wake_up(&self) {
        let client = self.client.borrow();
        client.input.wake_up(&self.memory);
        client.output.wake_up(&self.memory);
    }

    /// What can be read, in one piece, handed to `take`, which says how much of it it has used.
    /// `None`: nothing now.
    pub fn read_with<R>(
        &self,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<Option<R>, Corrupt> {
        let mut client = self.client.borrow_mut();
        let (at, count) = client.input.next(&self.memory)?;
        if count == 0 {
            return Ok(None);
        }
        let start = self.memory.base().wrapping_add(at).cast_const();
        // SAFETY: inside of the mapping, which this holds; nobody writes there: the kernel not
        // before the bytes are given back below, this program not at all, since the mapping is
        // private and the borrow of the rings is held.
        let bytes = unsafe { core::slice::from_raw_parts(start, count) };
        let (used, result) = take(bytes);
        client.input.advance(used.min(count));
        let wake = client.input.publish(&self.memory);
        drop(client);
        self.ring(wake);
        Ok(Some(result))
    }

    /// Room to write to, in one piece, handed to `put`, which says how much of it it has filled.
    /// `None`: no room now.
    pub fn write_with<R>(
        &self,
        put: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<Option<R>, Corrupt> {
        let mut client = self.client.borrow_mut();
        let (at, count) = client.output.next(&self.memory)?;
        if count == 0 {
            return Ok(None);
        }
        let start = self.memory.base().wrapping_add(at);
        // SAFETY: inside of the mapping, which this holds; the kernel does not use it before it is
        // published below; the mapping is private and the borrow of the rings is held.
        let room = unsafe { core::slice::from_raw_parts_mut(start, count) };
        let (filled, result) = put(room);
        client.output.advance(filled.min(count));
        let wake = client.output.publish(&self.memory);
        drop(client);
        self.ring(wake);
        Ok(Some(result))
    }

    /// How what comes from the network has ended. To be asked before the ring is looked at.
    pub fn input_end(&self) -> Option<Ending> {
        self.client.borrow().input_end(&self.memory)
    }

    /// How what goes to the network has ended.
    pub fn output_end(&self) -> Option<Ending> {
        self.client.borrow().output_end(&self.memory)
    }

    /// Polls until it is open.
    pub fn poll_opened(&self, context: &Context<'_>) -> Poll<Result<(), SocketError>> {
        match self.client.borrow().state(&self.memory) {
            State::Opening => {}
            State::Open => return Poll::Ready(Ok(())),
            State::Over => {
                return Poll::Ready(match self.input_end() {
                    Some(Ending::Failed(error)) => Err(error),
                    // Opened, and at its end already.
                    _ => Ok(()),
                });
            }
        }
        self.wait_for(Want::Opened, context)
    }
}
