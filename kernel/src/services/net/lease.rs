//! How an interface comes to its addresses: from a DHCP server, or from the command line; and by
//! IPv6's router advertisements in any case.
//!
//! ```text
//!   asking ── answer ──> leased ── renewed by smoltcp ──> leased
//!     ^                    │ link down, up: asks anew, and keeps the address meanwhile
//!     └── lease over ──────┴── no answer to that for 30 s
//! ```
//!
//! An address is kept over a short loss of the link, so that connections go on.

use super::interface::{Interface, Stack};
use super::settings;
use alloc::boxed::Box;
use alloc::vec::Vec;
use drivers::net::{LinkState, MacAddress};
use kernel_text::net_settings::Addressing;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, dns};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpOption, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr};

/// How long an address is kept while a server is asked again.
const GRACE: Duration = Duration::from_secs(30);
/// Between two questions to nobody in particular.
const DISCOVER: Duration = Duration::from_secs(2);
/// DHCP's option for the host name (RFC 2132, 3.14).
const HOST_NAME: u8 = 12;
/// Everybody on the link (RFC 4291, 2.7.1; RFC 1112, 4).
const ALL_NODES: MacAddress = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
const ALL_SYSTEMS: MacAddress = MacAddress([1, 0, 0x5e, 0, 0, 1]);

/// Where the IPv4 address is from, and until when it may be kept.
pub struct Lease {
    addressing: Addressing,
    dhcp: Option<SocketHandle>,
    link: LinkState,
    /// The link has come: the server is to be asked again.
    is_to_ask: bool,
    /// The lease is in doubt: it goes at this time unless it is confirmed.
    doubtful_until: Option<Instant>,
    advertised: Instant,
    advertised_addresses: Vec<IpCidr>,
}

impl Lease {
    /// Nothing yet.
    pub fn new(addressing: Addressing, sockets: &mut SocketSet<'static>) -> Self {
        let dhcp = (addressing == Addressing::Dhcp).then(|| sockets.add(asking()));
        Self {
            addressing,
            dhcp,
            link: LinkState::Down,
            is_to_ask: false,
            doubtful_until: None,
            advertised: Instant::ZERO,
            advertised_addresses: Vec::new(),
        }
    }

    /// Gives the interface what it has without asking.
    pub fn begin(interface: &Interface) {
        interface.stack(|stack| {
            let link_local = link_local(interface_id(stack));
            stack.ip.update_ip_addrs(|all| {
                // There is room: it is the first.
                let _ = all.push(IpCidr::Ipv6(link_local));
            });
            if let Addressing::Static { address, gateway } = stack.lease.addressing {
                stack.ip.update_ip_addrs(|all| {
                    let _ = all.push(address);
                });
                if let IpCidr::Ipv6(_) = address {
                    stack.lease.advertised_addresses.push(address);
                }
                match gateway {
                    Some(IpAddress::Ipv4(gateway)) => {
                        let _ = stack.ip.routes_mut().add_default_ipv4_route(gateway);
                    }
                    Some(IpAddress::Ipv6(gateway)) => {
                        let _ = stack.ip.routes_mut().add_default_ipv6_route(gateway);
                    }
                    None => {}
                }
                log::info!("{}: {address} by command line", interface.name);
            }
            name_servers(stack, &[]);
            listen(stack);
        });
    }

    /// The link is like this now.
    pub fn link(&mut self, link: LinkState, now: Instant) {
        let came = self.link == LinkState::Down && link != LinkState::Down;
        self.link = link;
        if came && self.dhcp.is_some() {
            // It may be another network.
            self.is_to_ask = true;
            self.doubtful_until = Some(now + GRACE);
        }
    }

    /// When it wants to be looked at.
    pub fn next(&self) -> Option<Instant> {
        self.doubtful_until
    }

    /// Looks for what DHCP and routers have said. Whether addresses have changed.
    pub fn look(name: &str, stack: &mut Stack, now: Instant) -> bool {
        let mut changed = advertised(name, stack);
        let Some(handle) = stack.lease.dhcp else { return changed };
        if core::mem::take(&mut stack.lease.is_to_ask) {
            stack.sockets.get_mut::<dhcpv4::Socket>(handle).reset();
        }
        let event = stack.sockets.get_mut::<dhcpv4::Socket>(handle).poll();
        match event {
            Some(dhcpv4::Event::Configured(config)) => {
                let (address, router) = (config.address, config.router);
                let servers: Vec<IpAddress> =
                    config.dns_servers.iter().map(|server| IpAddress::Ipv4(*server)).collect();
                stack.lease.doubtful_until = None;
                changed |= take(name, stack, address, router, &servers);
            }
            Some(dhcpv4::Event::Deconfigured) if stack.lease.doubtful_until.is_none() => {
                changed |= give_up(name, stack);
            }
            Some(dhcpv4::Event::Deconfigured) | None => {}
        }
        if stack.lease.doubtful_until.is_some_and(|until| until <= now) {
            stack.lease.doubtful_until = None;
            changed |= give_up(name, stack);
        }
        changed
    }
}

/// A socket that asks for an address.
fn asking() -> dhcpv4::Socket<'static> {
    let mut socket = dhcpv4::Socket::new();
    let mut retry = dhcpv4::RetryConfig::default();
    retry.discover_timeout = DISCOVER;
    retry.initial_request_timeout = DISCOVER;
    socket.set_retry_config(retry);
    // As long-lived as the machine: one for each device that comes.
    let name = settings().host_name.as_bytes();
    let option = DhcpOption { kind: HOST_NAME, data: name };
    socket.set_outgoing_options(Box::leak(Box::new([option])));
    socket
}

/// The interface has this address by DHCP.
fn take(
    name: &str,
    stack: &mut Stack,
    address: Ipv4Cidr,
    router: Option<Ipv4Address>,
    servers: &[IpAddress],
) -> bool {
    name_servers(stack, servers);
    let had = stack.ip.ip_addrs().contains(&IpCidr::Ipv4(address));
    let had_router = stack.ip.routes().get_default_ipv4_route().map(|route| route.via_router);
    if had && had_router == router.map(IpAddress::Ipv4) {
        return false;
    }
    if !IpAddress::Ipv4(address.address()).is_unicast() {
        log::warn!("{name}: DHCP offers {address}, which no machine can have: not used");
        return false;
    }
    stack.ip.update_ip_addrs(|all| {
        all.retain(|cidr| !matches!(cidr, IpCidr::Ipv4(_)));
        // Routers may have given so many that there is no room.
        if all.is_full() {
            all.pop();
        }
        let _ = all.insert(0, IpCidr::Ipv4(address));
    });
    let routes = stack.ip.routes_mut();
    routes.remove_default_ipv4_route();
    match router.filter(|router| IpAddress::Ipv4(*router).is_unicast()) {
        Some(router) if routes.add_default_ipv4_route(router).is_ok() => {
            log::info!("{name}: {address} by DHCP, gateway {router}");
        }
        Some(router) => {
            log::warn!("{name}: {address} by DHCP; too many routes: none by {router}");
        }
        None => log::info!("{name}: {address} by DHCP, no gateway"),
    }
    true
}

/// The address by DHCP is over.
fn give_up(name: &str, stack: &mut Stack) -> bool {
    let had = stack.ip.ipv4_addr();
    stack.ip.update_ip_addrs(|all| all.retain(|cidr| !matches!(cidr, IpCidr::Ipv4(_))));
    stack.ip.routes_mut().remove_default_ipv4_route();
    name_servers(stack, &[]);
    if let Some(address) = had {
        log::warn!("{name}: {address} is over: no DHCP server confirms it");
    }
    had.is_some()
}

/// Asks these servers from now on, unless the command line says which.
fn name_servers(stack: &mut Stack, servers: &[IpAddress]) {
    let told = &settings().name_servers;
    let servers = if told.is_empty() { servers } else { told };
    let known = servers.len().min(smoltcp::config::DNS_MAX_SERVER_COUNT);
    let servers = servers[..known].to_vec();
    let handle = stack.dns;
    stack.with(handle, |socket: &mut dns::Socket, _| socket.update_servers(&servers));
    stack.name_servers = servers;
}

/// Takes notice of addresses that routers' advertisements gave.
fn advertised(name: &str, stack: &mut Stack) -> bool {
    let updated = stack.ip.slaac_updated_at();
    if updated == stack.lease.advertised {
        return false;
    }
    stack.lease.advertised = updated;
    let is_advertised = |cidr: &&IpCidr| match cidr.address() {
        IpAddress::Ipv4(_) => false,
        IpAddress::Ipv6(address) => !address.is_unicast_link_local(),
    };
    let now: Vec<IpCidr> = stack.ip.ip_addrs().iter().filter(is_advertised).copied().collect();
    // Advertisements come again and again.
    if now == stack.lease.advertised_addresses {
        return false;
    }
    for cidr in now.iter().filter(|cidr| !stack.lease.advertised_addresses.contains(cidr)) {
        log::info!("{name}: {cidr} by router advertisement");
    }
    stack.lease.advertised_addresses = now;
    listen(stack);
    true
}

/// The low half of an address made from the device's own (RFC 4291, appendix A).
fn interface_id(stack: &Stack) -> [u8; 8] {
    let [a, b, c, d, e, f] = match stack.ip.hardware_addr() {
        smoltcp::wire::HardwareAddress::Ethernet(mac) => mac.0,
    };
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

fn link_local(id: [u8; 8]) -> Ipv6Cidr {
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&id);
    Ipv6Cidr::new(Ipv6Address::from(octets), 64)
}

/// Has the device receive what is sent to the interface's groups.
fn listen(stack: &mut Stack) {
    let groups = groups(stack);
    stack.device.listen_to(&groups);
}

/// The groups that the interface's addresses make it a member of (RFC 4291, 2.7.1; RFC 2464, 7).
fn groups(stack: &Stack) -> Vec<MacAddress> {
    let mut groups = Vec::from([ALL_NODES, ALL_SYSTEMS]);
    for cidr in stack.ip.ip_addrs() {
        if let IpCidr::Ipv6(cidr) = cidr {
            let [.., a, b, c] = cidr.address().octets();
            let group = MacAddress([0x33, 0x33, 0xff, a, b, c]);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    groups
}
