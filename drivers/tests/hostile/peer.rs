//! Somebody at the other end who means well: connects, sends, pings. What it sends is what the
//! attacker makes his frames from.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv6Address,
};

use super::frame::{PEER_IP, PEER_IP6, PEER_MAC, VICTIM_IP, VICTIM_IP6};
use super::numbers::Numbers;
use super::wire::{Offloads, Rules, Wire};

pub struct Peer {
    pub wire: Wire,
    ip: Interface,
    sockets: SocketSet<'static>,
    listeners: Vec<SocketHandle>,
    clients: Vec<SocketHandle>,
    udp: SocketHandle,
    local_port: u16,
    /// Bytes that came back from the victim's echo.
    pub echoed: u64,
}

impl Peer {
    pub fn new() -> Self {
        let mut wire = Wire::new(Offloads::None, Rules::Kept);
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(PEER_MAC)));
        let mut ip = Interface::new(config, &mut wire, Instant::ZERO);
        let addresses = [
            IpCidr::new(IpAddress::Ipv4(Ipv4Address::from(PEER_IP)), 24),
            IpCidr::new(IpAddress::Ipv6(Ipv6Address::from(PEER_IP6)), 64),
        ];
        ip.update_ip_addrs(|all| {
            all.extend(addresses);
        });
        let mut sockets = SocketSet::new(Vec::new());
        let mut add = |_| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 16 << 10]);
            sockets.add(tcp::Socket::new(buffer(), buffer()))
        };
        let (listeners, clients) = ((0..4).map(&mut add).collect(), (0..6).map(&mut add).collect());
        let packets =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 70_000]);
        let mut datagrams = udp::Socket::new(packets(), packets());
        datagrams.bind(2000).expect("the port is free");
        let udp = sockets.add(datagrams);
        Self { wire, ip, sockets, listeners, clients, udp, local_port: 30_000, echoed: 0 }
    }

    fn victim(numbers: &mut Numbers) -> IpAddress {
        if numbers.one_in(2) {
            IpAddress::Ipv4(Ipv4Address::from(VICTIM_IP))
        } else {
            IpAddress::Ipv6(Ipv6Address::from(VICTIM_IP6))
        }
    }

    pub fn turn(&mut self, now: Instant) {
        self.ip.poll(now, &mut self.wire, &mut self.sockets);
    }

    pub fn use_sockets(&mut self, numbers: &mut Numbers) {
        let mut bytes = [0x42; 3000];
        for handle in &self.listeners {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            if !socket.is_open() {
                socket.listen(7000).expect("it is closed");
            }
            let _ = socket.recv_slice(&mut bytes);
            let _ = socket.send_slice(&bytes);
            if socket.state() == tcp::State::CloseWait || numbers.one_in(100) {
                socket.close();
            }
        }
        for handle in &self.clients {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            if !socket.is_open() {
                self.local_port = self.local_port.checked_add(1).unwrap_or(30_000);
                let to = IpEndpoint::new(Self::victim(numbers), numbers.pick(&[7, 9, 80]));
                let _ = socket.connect(self.ip.context(), to, self.local_port);
                continue;
            }
            let is_echo = socket.remote_endpoint().is_some_and(|end| end.port == 7);
            let count = socket.recv_slice(&mut bytes).unwrap_or(0);
            self.echoed += if is_echo { count as u64 } else { 0 };
            let size = numbers.below(bytes.len());
            let _ = socket.send_slice(&bytes[..size]);
            if socket.state() == tcp::State::CloseWait || numbers.one_in(60) {
                socket.close();
            }
            if numbers.one_in(200) {
                socket.abort();
            }
        }
        let socket = self.sockets.get_mut::<udp::Socket>(self.udp);
        let _ = socket.recv();
        if numbers.one_in(4) {
            let size = numbers.below(bytes.len());
            let to = IpEndpoint::new(Self::victim(numbers), numbers.pick(&[7, 4000, 4444]));
            let _ = socket.send_slice(&bytes[..size], to);
        }
    }
}
