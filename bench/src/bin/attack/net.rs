//! The network service, asked for what it must not give, and left in the middle of things. Needs
//! the network; whom nobody answers to does not matter here ([`super::net_peer`]).

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bench::abi::message::{Info, Message};
use bench::abi::{Error, Handle, PAGE, Protection, Rights};
use bench::runtime::capability::{Endpoint, Memory, Notification};
use bench::runtime::memory::SharedMapping;
use bench::runtime::{Env, calls};
use bench::socket_ring::{
    Accept, BIND, Bind, CAPACITY_MIN, Client, Connect, Ending, INFO, InterfaceInfo, LISTEN, Layout,
    Listen, Listening, Ping, RESOLVE, Resolve, SocketError, State, Wake,
};

use crate::checks::Checks;
use crate::{net_flight, net_opens, net_peer, net_ring, revoked_sessions};

/// Nanoseconds in which something is over, or there.
const PATIENCE_NS: u64 = 20_000_000_000;
/// What nobody on earth has (RFC 5737).
pub const NOBODY: SocketAddr =
    SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 77)), 9);

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    let Some(net) = env.take_network() else {
        bench::println!("no network");
        return Some(checks);
    };
    match attack {
        "bad_calls" => net_opens::bad_calls(&mut checks, &net),
        "bad_opens" => net_opens::bad_opens(&mut checks, &net),
        "sockets" => sockets(&mut checks, &net),
        "listeners" => listeners(&mut checks, &net),
        "forged_rings" => net_ring::forged_rings(&mut checks, &net),
        "forged_datagrams" => net_ring::forged_datagrams(&mut checks, &net),
        "opened_twice" => net_ring::opened_twice(&mut checks, &net),
        "used_after_close" => net_ring::used_after_close(&mut checks, &net),
        "left_waiting" => net_flight::left_waiting(&mut checks, &net),
        "killed" => net_flight::killed(&mut checks, &net, env),
        "revoked" => revoked_sessions::net(&mut checks, &net),
        "open_for_ever" => net_flight::open_for_ever(&net),
        _ => net_peer::run(attack, &mut checks, &net, env)?,
    }
    checks.holds("the service goes on", serves(&net));
    Some(checks)
}

/// Whether a socket can be had.
pub fn serves(net: &Endpoint) -> bool {
    let info = net.call(&Message::new(INFO, [0; 6]));
    let told = info.is_ok_and(|reply| InterfaceInfo::from_words(reply.words).is_some());
    // Those of the attack are perhaps still ending.
    told && again(|| Socket::bind(net, 0)).is_ok_and(|mut socket| socket.opened() == Ok(()))
}

/// Tries again while those before have not quite ended.
pub fn again<T>(mut open: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = calls::clock()?.0 + PATIENCE_NS;
    loop {
        match open() {
            Err(Error::LimitReached) if calls::clock()?.0 < deadline => calls::yield_now()?,
            other => return other,
        }
    }
}

/// A socket with nothing between the attacker and its rings.
pub struct Socket {
    pub memory: SharedMapping,
    pub client: Client,
    pub doorbell: Notification,
    told: Notification,
}

/// The smallest rings.
pub fn small() -> Layout {
    Layout::new(CAPACITY_MIN, CAPACITY_MIN).expect("a good layout")
}

impl Socket {
    /// One that `message` asks for, over an object of its own.
    pub fn open(net: &Endpoint, layout: Layout, message: Message) -> Result<Self, Error> {
        Self::over(net, layout, message, Memory::create(layout.bytes())?)
    }

    /// Over that object.
    pub fn over(
        net: &Endpoint,
        layout: Layout,
        mut message: Message,
        object: Memory,
    ) -> Result<Self, Error> {
        let bytes = object.size()? as usize;
        let memory = SharedMapping::new(&object, 0, bytes, Protection::WRITE)?;
        let told = Notification::create()?;
        message.capabilities[0] = object.into_handle();
        message.capabilities[1] = told.duplicate(Rights::SEND | Rights::TRANSFER)?.into_handle();
        let reply = net.call(&message).inspect_err(|_| {
            for handle in &message.capabilities[..2] {
                let _ = calls::drop_capability(*handle);
            }
        })?;
        let doorbell = Notification::from_handle(reply.capabilities[0]);
        Ok(Self { memory, client: Client::new(layout), doorbell, told })
    }

    /// A UDP socket.
    pub fn bind(net: &Endpoint, port: u16) -> Result<Self, Error> {
        Self::open(net, small(), Bind { layout: small(), bits: 1, port }.to_message())
    }

    /// A connection.
    pub fn connect(net: &Endpoint, peer: SocketAddr) -> Result<Self, Error> {
        Self::open(net, small(), Connect { layout: small(), bits: 1, peer }.to_message())
    }

    /// The next connection of a listener.
    pub fn accept(listener: &Endpoint) -> Result<Self, Error> {
        Self::open(listener, small(), Accept { layout: small(), bits: 1 }.to_message())
    }

    /// A question about a name, which is left to be any bytes.
    pub fn resolve(net: &Endpoint, length: u16) -> Result<Self, Error> {
        let message = Resolve { bits: 1, length }.to_message();
        Self::over(net, small(), message, Memory::create(PAGE)?)
    }

    /// An echo request.
    pub fn ping(net: &Endpoint, host: IpAddr, limit_ms: u32) -> Result<Self, Error> {
        let ping = Ping { bits: 1, host, sequence: 1, payload_bytes: 8, limit_ms };
        Self::over(net, small(), ping.to_message(), Memory::create(PAGE)?)
    }

    /// Rings the service.
    pub fn ring(&self, wake: Wake) {
        if wake == Wake::Ring {
            let _ = self.doorbell.signal(1);
        }
    }

    /// Waits until `look` gives something.
    pub fn until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<T, Error> {
        let deadline = calls::clock()?.0 + PATIENCE_NS;
        loop {
            self.client.input.fall_asleep(&self.memory);
            self.client.output.fall_asleep(&self.memory);
            if let Some(found) = look(self) {
                self.client.input.wake_up(&self.memory);
                self.client.output.wake_up(&self.memory);
                return Ok(found);
            }
            self.told.wait_until(deadline)?;
        }
    }

    /// Waits until it is open.
    pub fn opened(&mut self) -> Result<(), SocketError> {
        let opened = self.until(|this| match this.client.state(&this.memory) {
            State::Opening => None,
            State::Open => Some(Ok(())),
            State::Over => Some(match this.client.input_end(&this.memory) {
                Some(Ending::Failed(error)) => Err(error),
                _ => Ok(()),
            }),
        });
        opened.unwrap_or(Err(SocketError::TimedOut))
    }

    /// Waits until it is over: how what comes from the network ended.
    pub fn over_with(&mut self) -> Result<Option<Ending>, Error> {
        self.until(|this| {
            let over = this.client.state(&this.memory) == State::Over;
            over.then(|| this.client.input_end(&this.memory))
        })
    }
}

/// Sockets until there are no more, again and again.
fn sockets(checks: &mut Checks, net: &Endpoint) {
    for round in 0..10 {
        let mut all = Vec::new();
        let refusal = loop {
            match Socket::bind(net, 0) {
                Ok(socket) => all.push(socket),
                Err(error) => break Err::<(), _>(error),
            }
        };
        // Those of the round before are perhaps still ending.
        checks.refused(("socket", round), refusal, &[Error::LimitReached]);
        checks.holds(("not too many", all.len()), all.len() <= 64);
        checks.holds("some", round > 0 || !all.is_empty());
        for socket in &mut all {
            let opened = socket.opened();
            checks.holds(("each works", opened), opened == Ok(()));
        }
        let ports: Vec<_> = all.iter().filter_map(|one| one.client.local(&one.memory)).collect();
        let own = |(at, port): (usize, &SocketAddr)| !ports[..at].contains(port);
        checks.holds("each has a port of its own", ports.iter().enumerate().all(own));
    }
}

fn listen(net: &Endpoint, port: u16) -> Result<Result<Endpoint, SocketError>, Error> {
    let reply = net.call(&Listen { port, backlog: u16::MAX }.to_message())?;
    Ok(if reply.info == Info::new(LISTEN, 1) {
        Ok(Endpoint::from_handle(reply.capabilities[0]))
    } else {
        Err(Listening::why_not(reply.words))
    })
}

/// Listeners until there are no more, and two at one port.
fn listeners(checks: &mut Checks, net: &Endpoint) {
    for round in 0..10 {
        let mut all = Vec::new();
        for port in 2000_u16..2200 {
            match listen(net, port) {
                Ok(Ok(listener)) => all.push(listener),
                Ok(Err(SocketError::TooMany)) | Err(Error::LimitReached) => break,
                // One of the round before.
                Ok(Err(SocketError::PortInUse)) if round > 0 => {}
                other => checks.holds(("listen", other), false),
            }
        }
        checks.holds(("not too many", all.len()), all.len() <= 64);
        checks.holds("some", round > 0 || !all.is_empty());
        let Some(first) = all.first() else { continue };
        if round == 0 {
            let second = listen(net, 2000);
            let taken =
                matches!(second, Ok(Err(SocketError::PortInUse)) | Err(Error::LimitReached));
            checks.holds(("a port is somebody's", second), taken);
        }
        for label in [INFO, BIND, RESOLVE, LISTEN, 77] {
            let answer = first.call(&Message::new(label, [0; 6]));
            checks.refused(("no listener's", label), answer, &[Error::InvalidArgument]);
        }
        checks.refused("receive", first.receive(), &[Error::NotPermitted]);
        // Somebody waits at one that is dropped: the two end together.
        let waits = Socket::accept(first);
        drop(all);
        if let Ok(mut waits) = waits {
            checks.holds("still", waits.client.state(&waits.memory) == State::Opening);
            let rung = waits.doorbell.signal(1);
            checks.works("ring", rung);
            let due = waits.until(|_| Some(()));
            checks.works("look", due);
        }
    }
}

/// A handle to something of another kind.
pub fn notification() -> Handle {
    Notification::create().map_or(Handle::NONE, Notification::into_handle)
}
