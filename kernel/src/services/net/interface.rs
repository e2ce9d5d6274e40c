//! One network device as an interface: its addresses, its sockets, and the task that moves them.
//!
//! ```text
//!      ┌──────────── more to take, or to send ────────────┐
//!      v                                                  │
//!   turn: frames in, sockets out, doorbell, lease ────────┤
//!      ^                                                  v
//!      └── frame, room, link, socket, timer ── wait ── nothing to do
//! ```

use super::adapter::Adapter;
use super::lease::Lease;
use super::lingering::Lingering;
use super::{Charge, Net, listener, time};
use crate::platform::Pollux;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use drivers::net::{LinkState, NetDevice, NetHandle};
use executor::sync::Notify;
use executor::yield_now;
use kernel_text::net_settings::Addressing;
use smoltcp::iface::{Config, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{AnySocket, Socket, dns, tcp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpEndpoint};

/// Frames taken before others have a turn.
const BATCH: usize = 64;
/// Rounds of sending before others have a turn.
const ROUNDS: usize = 64;
/// Most sockets of one interface.
const SOCKETS_MAX: usize = 2048;
/// Turns that moved nothing, one right after the other, before the task takes a rest.
const IN_VAIN_MAX: u32 = 1000;

/// An interface.
pub struct Interface {
    pub(super) net: Net,
    /// What it is called, after its device.
    pub name: Arc<str>,
    /// Its device.
    pub handle: NetHandle,
    stack: RefCell<Box<Stack>>,
    /// A socket has something to send, or something else is to be looked at.
    work: Notify,
    lingering: RefCell<Lingering>,
    has_ended: Cell<bool>,
}

/// What smoltcp needs.
pub struct Stack {
    /// Its interface.
    pub ip: smoltcp::iface::Interface,
    /// All sockets.
    pub sockets: SocketSet<'static>,
    /// Its device.
    pub device: Adapter,
    /// How it comes to its addresses.
    pub lease: Lease,
    /// The socket that asks name servers.
    pub dns: SocketHandle,
    /// Those it asks.
    pub name_servers: Vec<IpAddress>,
}

impl Stack {
    /// A socket, and what it needs to begin something.
    pub fn with<T: AnySocket<'static>, R>(
        &mut self,
        handle: SocketHandle,
        f: impl FnOnce(&mut T, &mut smoltcp::iface::Context) -> R,
    ) -> R {
        f(self.sockets.get_mut::<T>(handle), self.ip.context())
    }
}

/// What a turn came to.
struct Turn {
    /// There may be more to do right away.
    more: bool,
    /// When there will be something to do.
    next: Option<Instant>,
}

impl Interface {
    /// An interface of `net` without an address.
    pub fn new(net: Net, name: Arc<str>, handle: NetHandle, addressing: Addressing) -> Rc<Self> {
        let now = time::now();
        let mac = handle.info().mac;
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        config.random_seed = super::random_u64();
        config.slaac = true;
        let mut device = Adapter::new(handle.clone());
        let ip = smoltcp::iface::Interface::new(config, &mut device, now);
        let mut sockets = SocketSet::new(Vec::new());
        let dns = sockets.add(dns::Socket::new(&[], Vec::new()));
        let lease = Lease::new(addressing, &mut sockets);
        let name_servers = Vec::new();
        let stack = Box::new(Stack { ip, sockets, device, lease, dns, name_servers });
        let this = Self {
            net,
            name,
            handle,
            stack: RefCell::new(stack),
            work: Notify::new(),
            lingering: RefCell::new(Lingering::new(now)),
            has_ended: Cell::new(false),
        };
        Lease::begin(&this);
        Rc::new(this)
    }

    /// The stack, for a moment: nobody else has it meanwhile.
    pub fn stack<R>(&self, f: impl FnOnce(&mut Stack) -> R) -> R {
        f(&mut self.stack.borrow_mut())
    }

    /// Has the interface's task look after its sockets.
    pub fn kick(&self) {
        self.work.notify();
    }

    /// Puts a socket in; `None`: there is no room for more.
    pub fn insert(&self, socket: impl AnySocket<'static>) -> Option<SocketHandle> {
        self.stack(|stack| {
            let count = stack.sockets.iter().count();
            (count < SOCKETS_MAX && !self.has_ended.get()).then(|| stack.sockets.add(socket))
        })
    }

    /// Takes a socket out.
    pub fn remove(&self, handle: SocketHandle) {
        self.stack(|stack| drop(stack.sockets.remove(handle)));
    }

    /// Leaves a connection to itself: it is removed once it has come to its end, or takes too long
    /// over it.
    pub fn let_linger(&self, handle: SocketHandle, charge: Charge) {
        let too_many = self.lingering.borrow_mut().add(handle, charge);
        too_many.into_iter().for_each(|oldest| self.remove(oldest));
        self.kick();
    }

    /// Removes the connection of nobody's that has waited longest. Whether there was one.
    pub fn end_oldest(&self) -> bool {
        let oldest = self.lingering.borrow_mut().take_oldest();
        oldest.map(|oldest| self.remove(oldest)).is_some()
    }

    /// The socket that asks name servers.
    pub fn dns<R>(
        &self,
        f: impl FnOnce(&mut dns::Socket<'static>, &mut smoltcp::iface::Context) -> R,
    ) -> R {
        self.stack(|stack| {
            let handle = stack.dns;
            stack.with(handle, f)
        })
    }

    /// All its addresses.
    pub fn addresses(&self) -> Vec<IpAddress> {
        self.stack(|stack| stack.ip.ip_addrs().iter().map(|cidr| cidr.address()).collect())
    }

    /// Whether others reach it by an address that is not of this link only.
    pub fn has_address(&self) -> bool {
        let reaches = |address: &IpAddress| match address {
            IpAddress::Ipv4(address) => !address.is_unspecified(),
            IpAddress::Ipv6(address) => !address.is_unicast_link_local(),
        };
        self.addresses().iter().any(reaches)
    }

    /// Whether a socket has that port here.
    pub fn uses_port(&self, port: u16) -> bool {
        self.stack(|stack| {
            stack.sockets.iter().any(|(_, socket)| match socket {
                Socket::Tcp(socket) => {
                    socket.listen_endpoint().port == port
                        || socket.local_endpoint().is_some_and(|end| end.port == port)
                }
                Socket::Udp(socket) => socket.endpoint().port == port,
                _ => false,
            })
        })
    }

    /// Its device is gone: connections are reset, and its task ends.
    pub fn end(&self) {
        self.has_ended.set(true);
        self.stack(|stack| {
            for (_, socket) in stack.sockets.iter_mut() {
                match socket {
                    Socket::Tcp(socket) => socket.abort(),
                    Socket::Udp(socket) => socket.close(),
                    _ => {}
                }
            }
        });
        self.kick();
    }

    /// Moves frames and sockets once.
    fn turn(&self) -> Turn {
        let now = time::now();
        let mut stack = self.stack.borrow_mut();
        let Stack { ip, sockets, device, .. } = &mut **stack;
        device.begin(BATCH);
        ip.poll_maintenance(now);
        loop {
            if let Some(port) = device.next_beginning()
                && (is_opening(sockets, port) || has_begun(sockets, port, device.next_source()))
            {
                device.skip();
                continue;
            }
            let reset = device.next_reset().filter(|port| is_half_open(sockets, *port));
            if ip.poll_ingress_single(now, device, sockets) == PollIngressSingleResult::None {
                break;
            }
            if let Some(port) = reset {
                renew_listeners(sockets, port);
            }
        }
        let mut rounds = 0;
        device.unasked();
        while rounds < ROUNDS && ip.poll_egress(now, device, sockets) != PollResult::None {
            if let Some(ports) = device.take_runaway() {
                log::warn!("{}: a connection to port {} runs wild: reset", self.name, ports.1);
                abort_connections(sockets, ports);
            }
            rounds += 1;
        }
        let more = device.end() || rounds == ROUNDS;
        if Lease::look(&self.name, &mut stack, now) {
            drop(stack);
            self.net.changed();
            stack = self.stack.borrow_mut();
        }
        let sweep = self.lingering.borrow_mut().sweep(&mut stack.sockets, now);
        let Stack { ip, sockets, device, lease, .. } = &mut **stack;
        let next = if device.is_blocked() { None } else { ip.poll_at(now, sockets) };
        let next = [next, lease.next(), sweep].into_iter().flatten().min();
        Turn { more: more && !device.is_blocked(), next }
    }
}

/// Aborts what there is between a local port and a remote one.
fn abort_connections(sockets: &mut SocketSet<'static>, ports: (u16, u16)) {
    for (_, socket) in sockets.iter_mut() {
        if let Socket::Tcp(socket) = socket
            && let Some((local, remote)) = socket.local_endpoint().zip(socket.remote_endpoint())
            && (local.port, remote.port) == ports
        {
            socket.abort();
        }
    }
}

/// Whether the connection from `peer` to `port` is being made already: a copy of what began it could
/// begin another at a socket that listens. Should the answer be lost, smoltcp sends it again.
fn has_begun(sockets: &SocketSet<'static>, port: u16, peer: Option<IpEndpoint>) -> bool {
    sockets.iter().any(|(_, socket)| match socket {
        Socket::Tcp(socket) => {
            socket.state() == tcp::State::SynReceived
                && socket.listen_endpoint().port == port
                && socket.remote_endpoint() == peer
        }
        _ => false,
    })
}

/// Whether a connection to `port` is being made, which a reset would send back to where it began.
fn is_half_open(sockets: &SocketSet<'static>, port: u16) -> bool {
    sockets.iter().any(|(_, socket)| match socket {
        Socket::Tcp(socket) => {
            socket.state() == tcp::State::SynReceived && socket.listen_endpoint().port == port
        }
        _ => false,
    })
}

/// Whether a connection is being made from `port` here.
fn is_opening(sockets: &SocketSet<'static>, port: u16) -> bool {
    sockets.iter().any(|(_, socket)| match socket {
        Socket::Tcp(socket) => {
            socket.state() == tcp::State::SynSent
                && socket.local_endpoint().is_some_and(|end| end.port == port)
        }
        _ => false,
    })
}

/// Sockets that listen at `port` forget what a reset has left in them (`protocols::ingress` says
/// why).
fn renew_listeners(sockets: &mut SocketSet<'static>, port: u16) {
    for (_, socket) in sockets.iter_mut() {
        if let Socket::Tcp(socket) = socket
            && socket.state() == tcp::State::Listen
            && socket.listen_endpoint().port == port
        {
            let endpoint = socket.listen_endpoint();
            socket.abort();
            // It is closed, and the port is one that it had.
            let _ = socket.listen(endpoint);
        }
    }
}

/// Moves an interface until its device is gone.
pub async fn run(interface: Rc<Interface>) {
    let mut link = LinkState::Down;
    let mut in_vain = 0;
    loop {
        let turn = interface.turn();
        listener::settle(&interface.net);
        if interface.has_ended.get() {
            break;
        }
        if interface.handle.link() != link {
            link = interface.handle.link();
            log_link(&interface.name, link);
            interface.stack(|stack| stack.lease.link(link, time::now()));
            continue;
        }
        let now = time::now();
        let is_due = turn.more || turn.next.is_some_and(|next| next <= now);
        in_vain = if is_due && !turn.more { in_vain + 1 } else { 0 };
        if is_due && in_vain < IN_VAIN_MAX {
            yield_now().await;
            continue;
        }
        let next = if in_vain == 0 { turn.next } else { Some(now + Duration::from_millis(1)) };
        in_vain = 0;
        wait(&interface, link, next).await;
    }
    log::info!("{}: gone", interface.name);
}

/// Until there is something to do.
async fn wait(interface: &Interface, link: LinkState, next: Option<Instant>) {
    let mut timer = next.map(|next| executor::sleep_until::<Pollux>(time::deadline(next)));
    let mut event = pin!(poll_fn(|context| {
        let device = interface.handle.poll_event(context, link).is_ready();
        let work = interface.work.poll_wait(context).is_ready();
        let timer = timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(context).is_ready());
        if device || work || timer { Poll::Ready(()) } else { Poll::Pending }
    }));
    event.as_mut().await;
}

fn log_link(name: &str, link: LinkState) {
    match link {
        LinkState::Down => log::warn!("{name}: link down"),
        LinkState::Up { megabits: 0 } => log::info!("{name}: link up"),
        LinkState::Up { megabits } => log::info!("{name}: link up, {megabits} Mbit/s"),
    }
}
