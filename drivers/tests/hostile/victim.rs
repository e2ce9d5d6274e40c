//! The interface under attack, with sockets of every kind, used as the kernel uses them.

use protocols::ingress::{Repeated, Segment, classify, inspect, receive_capacity};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, dns, icmp, tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DnsQueryType, EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address,
    Ipv4Cidr, Ipv6Address,
};

use super::forge::{any_address, any_address6};
use super::frame::{Frame, PEER_IP, PEER_IP6, VICTIM_IP, VICTIM_IP6, VICTIM_MAC};
use super::numbers::Numbers;
use super::wire::{Offloads, Rules, Wire};

const NAMES: [&str; 6] =
    ["some.name.example", "a.example.", "x", ".", "", "a..b.an-unlikely-name-that-is-long.example"];
/// Rounds of sending in one turn; an interface that wants more sends for ever.
const ROUNDS_MOST: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Sends back what comes.
    Echo,
    /// Answers with a page, and closes.
    Page,
    /// Reads, and never says anything.
    Discard,
    /// Reads nothing.
    Deaf,
    /// Connects to the peer.
    Client,
}

impl Role {
    const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard | Self::Deaf => 9,
            Self::Page => 80,
            Self::Client => 7000,
        }
    }
}

/// What has happened to its programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Established, then over.
    pub connections: u64,
    /// Bytes over these.
    pub received: u64,
    pub leases: u64,
    /// Of name servers.
    pub answers: u64,
    pub datagrams: u64,
    /// Frames that the stack must not see.
    pub refused: u64,
}

/// Where programs want to: the peer mostly, and sometimes where nobody is or can be.
fn somewhere(numbers: &mut Numbers) -> IpAddress {
    if numbers.one_in(4) {
        return if numbers.one_in(2) {
            IpAddress::Ipv4(Ipv4Address::from(any_address(numbers)))
        } else {
            IpAddress::Ipv6(Ipv6Address::from(any_address6(numbers)))
        };
    }
    if numbers.one_in(2) {
        IpAddress::Ipv4(Ipv4Address::from(PEER_IP))
    } else {
        IpAddress::Ipv6(Ipv6Address::from(PEER_IP6))
    }
}

/// A socket that listens forgets what a reset has left in it.
fn renew(socket: &mut tcp::Socket<'_>) {
    if socket.state() == tcp::State::Listen {
        let endpoint = socket.listen_endpoint();
        socket.abort();
        socket.listen(endpoint).expect("it is closed");
    }
}

/// Whether it makes a connection from this port.
fn is_opening(socket: &tcp::Socket<'_>, port: u16) -> bool {
    let is_here = socket.local_endpoint().is_some_and(|end| end.port == port);
    socket.state() == tcp::State::SynSent && is_here
}

/// A connection between these ports that says the same again and again is over.
fn stop(socket: &mut tcp::Socket<'_>, ports: (u16, u16)) {
    let ends = socket.local_endpoint().zip(socket.remote_endpoint());
    if ends.is_some_and(|(local, remote)| (local.port, remote.port) == ports) {
        socket.abort();
    }
}

pub struct Victim {
    pub wire: Wire,
    pub counts: Counts,
    rules: Rules,
    ip: Interface,
    sockets: SocketSet<'static>,
    tcp: Vec<(SocketHandle, Role, tcp::State)>,
    udp: Vec<SocketHandle>,
    icmp: [SocketHandle; 2],
    dns: SocketHandle,
    dhcp: SocketHandle,
    queries: Vec<dns::QueryHandle>,
    local_port: u16,
}

impl Victim {
    pub fn new(offloads: Offloads, rules: Rules) -> Self {
        let mut wire = Wire::new(offloads, rules);
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(VICTIM_MAC)));
        config.slaac = true;
        config.random_seed = 1;
        let ip = Interface::new(config, &mut wire, Instant::ZERO);
        let mut sockets = SocketSet::new(Vec::new());
        let roles = [Role::Echo, Role::Page, Role::Discard, Role::Deaf, Role::Client];
        let tcp = (0..20)
            .map(|number| {
                let role = roles[number % roles.len()];
                // Those beyond 64 KiB have scaled windows.
                let bytes = if number % 2 == 0 { 4096 } else { 256 << 10 };
                let buffer = |bytes| tcp::SocketBuffer::new(vec![0; bytes]);
                let receive = match rules {
                    Rules::Kept => receive_capacity(bytes),
                    Rules::Broken => bytes,
                };
                let mut socket = tcp::Socket::new(buffer(receive), buffer(bytes));
                socket.set_timeout(Some(Duration::from_secs(10)));
                if number % 3 == 0 {
                    socket.set_keep_alive(Some(Duration::from_secs(5)));
                }
                socket.set_congestion_control(tcp::CongestionControl::Reno);
                (sockets.add(socket), role, tcp::State::Closed)
            })
            .collect();
        let packets = || {
            let meta = vec![udp::PacketMetadata::EMPTY; 8];
            udp::PacketBuffer::new(meta, vec![0; 70_000])
        };
        let udp = [7, 4000]
            .map(|port| {
                let mut socket = udp::Socket::new(packets(), packets());
                socket.bind(port).expect("the port is free");
                sockets.add(socket)
            })
            .into();
        let packets = || {
            let meta = vec![icmp::PacketMetadata::EMPTY; 8];
            icmp::PacketBuffer::new(meta, vec![0; 8192])
        };
        let icmp = [icmp::Endpoint::Ident(1), icmp::Endpoint::Udp(7.into())].map(|endpoint| {
            let mut socket = icmp::Socket::new(packets(), packets());
            socket.bind(endpoint).expect("it is not bound yet");
            sockets.add(socket)
        });
        let servers = [IpAddress::Ipv4(Ipv4Address::from(PEER_IP))];
        let dns = sockets.add(dns::Socket::new(&servers, Vec::new()));
        let dhcp = sockets.add(dhcpv4::Socket::new());
        let (counts, queries, local_port) = (Counts::default(), Vec::new(), 50_000);
        let mut this = Self {
            wire,
            counts,
            rules,
            ip,
            sockets,
            tcp,
            udp,
            icmp,
            dns,
            dhcp,
            queries,
            local_port,
        };
        this.settle();
        this
    }

    /// Gives it its addresses, and its way to others, whatever it has been told.
    pub fn settle(&mut self) {
        let addresses = [
            IpCidr::new(IpAddress::Ipv4(Ipv4Address::from(VICTIM_IP)), 24),
            IpCidr::new(IpAddress::Ipv6(Ipv6Address::from(VICTIM_IP6)), 64),
        ];
        self.ip.update_ip_addrs(|all| {
            all.clear();
            all.extend(addresses);
        });
        self.route(Some(Ipv4Address::from(PEER_IP)));
    }

    fn route(&mut self, router: Option<Ipv4Address>) {
        self.ip.routes_mut().remove_default_ipv4_route();
        if let Some(router) = router {
            let _ = self.ip.routes_mut().add_default_ipv4_route(router);
        }
    }

    /// A frame comes.
    pub fn receive(&mut self, frame: Frame) {
        if self.rules == Rules::Kept && inspect(&frame).is_err() {
            self.counts.refused += 1;
        } else {
            self.wire.incoming.push_back(frame);
        }
    }

    /// Takes what has come, and sends what there is to be sent.
    pub fn turn(&mut self, now: Instant) {
        let Self { wire, rules, ip, sockets, .. } = self;
        ip.poll_maintenance(now);
        loop {
            let next = wire.incoming.front().and_then(|frame| classify(frame));
            if *rules == Rules::Kept
                && let Some(Segment::Beginning(port)) = next
                && self.tcp.iter().any(|(handle, ..)| is_opening(sockets.get(*handle), port))
            {
                wire.incoming.pop_front();
                continue;
            }
            if ip.poll_ingress_single(now, wire, sockets) == PollIngressSingleResult::None {
                break;
            }
            if std::mem::take(&mut wire.has_reset) && *rules == Rules::Kept {
                self.tcp.iter().for_each(|(handle, ..)| renew(sockets.get_mut(*handle)));
            }
        }
        let mut rounds = 0;
        wire.repeated = (*rules == Rules::Kept).then(Repeated::default);
        while ip.poll_egress(now, wire, sockets) != PollResult::None {
            if let Some(ports) = wire.runaway.take() {
                self.tcp.iter().for_each(|(handle, ..)| stop(sockets.get_mut(*handle), ports));
            }
            rounds += 1;
            assert!(rounds < ROUNDS_MOST, "it sends for ever: {:02x?}", wire.outgoing.last());
        }
        wire.repeated = None;
        let _ = ip.poll_at(now, sockets);
    }

    /// Its programs do something.
    pub fn use_sockets(&mut self, numbers: &mut Numbers) {
        for index in 0..self.tcp.len() {
            if numbers.one_in(3) {
                self.use_tcp(index, numbers);
            }
        }
        for handle in &self.udp {
            let socket = self.sockets.get_mut::<udp::Socket>(*handle);
            if let Ok((bytes, from)) = socket.recv().map(|(bytes, from)| (bytes.to_vec(), from)) {
                let _ = socket.send_slice(&bytes, from.endpoint);
                self.counts.datagrams += 1;
            }
            if numbers.one_in(20) {
                let to = IpEndpoint::new(somewhere(numbers), numbers.awkward() as u16);
                let _ = socket.send_slice(&[0x5a; 3000], to);
            }
        }
        let _ = self.sockets.get_mut::<icmp::Socket>(self.icmp[1]).recv();
        let pings = self.sockets.get_mut::<icmp::Socket>(self.icmp[0]);
        let _ = pings.recv();
        if numbers.one_in(20) {
            let _ = pings.send_slice(&[8, 0, 0, 0, 0, 1, 0, 9], somewhere(numbers));
        }
        self.resolve(numbers);
        self.lease(numbers);
    }

    fn use_tcp(&mut self, index: usize, numbers: &mut Numbers) {
        let (handle, role, before) = self.tcp[index];
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        if before == tcp::State::Established && socket.state() != before {
            self.counts.connections += 1;
        }
        self.tcp[index].2 = socket.state();
        if numbers.one_in(2000) {
            socket.abort();
        }
        if !socket.is_open() {
            if role == Role::Client {
                self.local_port = self.local_port.checked_add(1).unwrap_or(50_000);
                let to = IpEndpoint::new(somewhere(numbers), role.port());
                let _ = socket.connect(self.ip.context(), to, self.local_port);
            } else {
                socket.listen(role.port()).expect("it is closed");
            }
            return;
        }
        let mut bytes = [0; 2048];
        match role {
            Role::Deaf => {}
            Role::Echo => {
                if socket.can_send()
                    && let Ok(count) = socket.recv_slice(&mut bytes)
                {
                    self.counts.received += count as u64;
                    let _ = socket.send_slice(&bytes[..count]);
                }
            }
            Role::Page => {
                if socket.recv_slice(&mut bytes).is_ok_and(|count| count > 0) {
                    let _ = socket.send_slice(&bytes);
                    socket.close();
                }
            }
            Role::Discard => {
                let _ = socket.recv_slice(&mut bytes);
            }
            Role::Client => {
                let _ = socket.recv_slice(&mut bytes);
                let _ = socket.send_slice(&bytes);
                if numbers.one_in(50) {
                    socket.close();
                }
            }
        }
        if socket.state() == tcp::State::CloseWait && socket.recv_queue() == 0 {
            socket.close();
        }
    }

    fn resolve(&mut self, numbers: &mut Numbers) {
        let socket = self.sockets.get_mut::<dns::Socket>(self.dns);
        let is_pending = |query: &dns::QueryHandle, socket: &mut dns::Socket<'_>| {
            matches!(socket.get_query_result(*query), Err(dns::GetQueryResultError::Pending))
        };
        let before = self.queries.len();
        self.queries.retain(|query| is_pending(query, socket));
        self.counts.answers += (before - self.queries.len()) as u64;
        if self.queries.len() < 4 {
            let kind = numbers.pick(&[DnsQueryType::A, DnsQueryType::Aaaa]);
            if let Ok(query) =
                socket.start_query(self.ip.context(), NAMES[numbers.below(NAMES.len())], kind)
            {
                self.queries.push(query);
            }
        }
    }

    fn lease(&mut self, numbers: &mut Numbers) {
        let socket = self.sockets.get_mut::<dhcpv4::Socket>(self.dhcp);
        if numbers.one_in(100) {
            socket.reset();
        }
        let (address, router, servers) = match socket.poll() {
            Some(dhcpv4::Event::Configured(given)) => {
                let servers: Vec<IpAddress> =
                    given.dns_servers.iter().map(|server| IpAddress::Ipv4(*server)).collect();
                (given.address, given.router, servers)
            }
            Some(dhcpv4::Event::Deconfigured) | None => return,
        };
        self.counts.leases += 1;
        self.take(address, router, &servers);
    }

    fn take(&mut self, address: Ipv4Cidr, router: Option<Ipv4Address>, servers: &[IpAddress]) {
        self.sockets.get_mut::<dns::Socket>(self.dns).update_servers(servers);
        let is_unicast = |address: &Ipv4Address| IpAddress::Ipv4(*address).is_unicast();
        if !is_unicast(&address.address()) {
            return;
        }
        self.ip.update_ip_addrs(|all| {
            all.retain(|cidr| !matches!(cidr, IpCidr::Ipv4(_)));
            let _ = all.insert(0, IpCidr::Ipv4(address));
        });
        self.route(router.filter(is_unicast));
    }

    /// Whether a connection of its programs' is established.
    pub fn is_connected(&self) -> bool {
        self.tcp.iter().any(|(.., state)| *state == tcp::State::Established)
    }
}
