//! The network: smoltcp over the machine's network devices, and sockets that are futures.
//!
//! ```text
//!   anybody ──on(work)──> network core ──> Net ─┬─> TcpStream, TcpListener, UdpSocket, ping, resolve
//!                                               │       wake │ ^ wake
//!                                               └─> Interface: one task a device ──> NetDevice
//! ```
//!
//! All of it, drivers of network devices too, lives on one core, the network core, so that nothing
//! here is locked. [`on`] carries work there from anywhere. An interface's task sleeps until a frame
//! arrives, a timer of TCP's is due, or a socket has something to send.
//!
//! Memory is bounded: rings and ports have fixed sizes, sockets are counted and their buffers
//! charged ([`Net`]), half-open connections make room for new ones ([`TcpListener`]).

mod adapter;
mod error;
mod interface;
mod lease;
mod lingering;
mod listener;
mod overview;
mod ping;
mod resolve;
mod route;
mod sessions;
mod stream;
mod time;
mod udp;

use crate::platform::{self, Pollux};
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::Waker;
use crossbeam_queue::SegQueue;
use drivers::net::NetHandle;
use executor::sync::{Notify, oneshot};
use executor::{CoreId, Priority};
use futures_util::future::{Either, select};
use hal::x86_64::random;
use interface::Interface;
use kernel_text::net_settings::Settings;

pub use error::{NetError, NoNetwork};
pub use listener::TcpListener;
pub use overview::Overview;
pub use sessions::grant;
pub use stream::{Buffers, TcpStream};
pub use time::after_ms;
pub use udp::UdpSocket;

/// Most bytes that the buffers of all sockets may have together, however much memory there is: else
/// an eighth of it.
const BUFFERS_MAX: usize = 96 << 20;
/// First of the ports for connections and sockets of no port of their own (RFC 6335, 6).
const FIRST_EPHEMERAL: u16 = 49152;

type Job = Box<dyn FnOnce(&Net) + Send>;

/// Work for the network core.
static JOBS: SegQueue<Job> = SegQueue::new();
static DOORBELL: Notify = Notify::new();
static SETTINGS: spin::Once<Settings> = spin::Once::new();

/// What the command line says of the network.
pub fn settings() -> &'static Settings {
    SETTINGS.call_once(|| {
        let line = &hal::boot::info().command_line;
        let (settings, nonsense) = Settings::read(|word| line.value(word));
        nonsense.iter().for_each(|nonsense| log::warn!("{nonsense}: ignored"));
        settings
    })
}

/// The core that the network lives on.
pub fn core() -> CoreId {
    let cores = platform::core_count();
    let asked = settings().core.filter(|core| usize::from(*core) < cores);
    CoreId(asked.unwrap_or(u16::from(cores > 1)))
}

/// Starts the network, without any device so far.
pub fn start() {
    let core = core();
    if let Some(asked) = settings().core.filter(|asked| *asked != core.0) {
        log::warn!("net.core={asked}: there is no such core: {core} is used");
    }
    executor::spawn_on::<Pollux, _, _>(core, "network", Priority::High, serve).detach();
}

/// Carries out what others ask for.
async fn serve() {
    let net = Net::new();
    loop {
        while let Some(job) = JOBS.pop() {
            job(&net);
        }
        DOORBELL.wait().await;
    }
}

fn ask(job: Job) {
    JOBS.push(job);
    DOORBELL.notify();
}

/// Has `work` done on the network core. Dropping the future ends the work.
///
/// # Errors
/// The task of the work was lost, which nothing does.
pub async fn on<R, F, Fut>(work: F) -> Result<R, NoNetwork>
where
    F: FnOnce(Net) -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    let (mut answer, answered) = oneshot::channel();
    ask(Box::new(move |net| {
        let working = work(net.clone());
        let task = async move {
            let result = match select(pin!(working), pin!(answer.closed())).await {
                Either::Left((result, _)) => result,
                Either::Right(((), _)) => return,
            };
            // Nobody waits any more: then nobody wants it.
            let _ = answer.send(result);
        };
        executor::spawn::<Pollux, _>("network work", Priority::Normal, task).detach();
    }));
    answered.await.map_err(|_| NoNetwork)
}

/// A device has come: it becomes an interface.
pub fn add(name: &Arc<str>, handle: NetHandle) {
    let name = name.clone();
    ask(Box::new(move |net| net.add(name, handle)));
}

/// A device has gone.
pub fn remove(name: &Arc<str>) {
    let name = name.clone();
    ask(Box::new(move |net| net.remove(&name)));
}

/// The network as those on its core see it.
#[derive(Clone)]
pub struct Net(Rc<Inner>);

struct Inner {
    interfaces: RefCell<Vec<Rc<Interface>>>,
    listeners: RefCell<Vec<Weak<listener::Shared>>>,
    /// Who waits for an interface or an address to come.
    waiting: RefCell<Vec<Weak<Waiter>>>,
    /// Ports that datagrams are received at.
    ports: RefCell<Vec<u16>>,
    next_port: Cell<u16>,
    buffer_bytes: Cell<usize>,
}

/// Somebody who waits for a change, and may be gone before it comes.
struct Waiter(RefCell<Option<Waker>>);

impl Waiter {
    /// Has this task woken at the next change.
    fn register(&self, waker: &Waker) {
        let mut place = self.0.borrow_mut();
        if !place.as_ref().is_some_and(|other| other.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }
}

/// Most bytes that the buffers of all sockets may have together.
fn buffers_max() -> usize {
    BUFFERS_MAX.min(hal::boot::info().usable_bytes() as usize / 8)
}

impl Net {
    fn new() -> Self {
        Self(Rc::new(Inner {
            interfaces: RefCell::new(Vec::new()),
            listeners: RefCell::new(Vec::new()),
            waiting: RefCell::new(Vec::new()),
            ports: RefCell::new(Vec::new()),
            next_port: Cell::new(FIRST_EPHEMERAL + (random_u64() as u16) % 8192),
            buffer_bytes: Cell::new(0),
        }))
    }

    fn interfaces(&self) -> Vec<Rc<Interface>> {
        self.0.interfaces.borrow().clone()
    }

    fn add(&self, name: Arc<str>, handle: NetHandle) {
        let place = self.0.interfaces.borrow().len();
        let addressing = settings().addressing(&name, place);
        let interface = Interface::new(self.clone(), name, handle, addressing);
        self.0.interfaces.borrow_mut().push(interface.clone());
        for listener in self.0.listeners.borrow().iter().filter_map(Weak::upgrade) {
            listener.listen_at(self, &interface);
        }
        let serve = interface::run(interface);
        executor::spawn::<Pollux, _>("interface", Priority::High, serve).detach();
        self.changed();
    }

    fn remove(&self, name: &str) {
        let gone: Vec<Rc<Interface>> = {
            let mut all = self.0.interfaces.borrow_mut();
            let (gone, left) = all.drain(..).partition(|other| *other.name == *name);
            *all = left;
            gone
        };
        for interface in gone {
            interface.end();
            let listeners = self.0.listeners.borrow().clone();
            listeners.iter().filter_map(Weak::upgrade).for_each(|one| one.leave(&interface));
        }
        self.changed();
    }

    /// Addresses or interfaces are not what they were.
    fn changed(&self) {
        let waiting = self.0.waiting.borrow().clone();
        let wakers = waiting.iter().filter_map(Weak::upgrade).filter_map(|one| one.0.take());
        wakers.for_each(Waker::wake);
    }

    /// A place for somebody who waits for the next change of addresses or interfaces.
    fn waiter(&self) -> Rc<Waiter> {
        let waiter = Rc::new(Waiter(RefCell::new(None)));
        let mut waiting = self.0.waiting.borrow_mut();
        waiting.retain(|other| other.strong_count() > 0);
        waiting.push(Rc::downgrade(&waiter));
        waiter
    }

    /// A port that nobody on this machine uses.
    fn free_port(&self) -> Result<u16, NetError> {
        let interfaces = self.interfaces();
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.0.next_port.get();
            self.0.next_port.set(port.checked_add(1).unwrap_or(FIRST_EPHEMERAL));
            let is_taken = self.0.ports.borrow().contains(&port)
                || interfaces.iter().any(|interface| interface.uses_port(port));
            if !is_taken {
                return Ok(port);
            }
        }
        Err(NetError::LimitReached)
    }

    /// Charges for buffers, to be given back with the result. Connections that nobody has any more
    /// give way to new ones.
    fn charge(&self, bytes: usize) -> Result<Charge, NetError> {
        let fits = || self.0.buffer_bytes.get() + bytes <= buffers_max();
        while !fits() {
            let interfaces = self.interfaces();
            if !interfaces.iter().any(|interface| interface.end_oldest()) {
                return Err(NetError::LimitReached);
            }
        }
        self.0.buffer_bytes.set(self.0.buffer_bytes.get() + bytes);
        Ok(Charge { net: Rc::downgrade(&self.0), bytes })
    }

    /// How many bytes the buffers of all sockets have.
    pub fn buffer_bytes(&self) -> usize {
        self.0.buffer_bytes.get()
    }
}

/// Buffers that were charged for.
struct Charge {
    net: Weak<Inner>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(net) = self.net.upgrade() {
            net.buffer_bytes.set(net.buffer_bytes.get().saturating_sub(self.bytes));
        }
    }
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    random::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
