//! Which interface the way to an address begins at.

use super::interface::Interface;
use super::{Net, NetError};
use alloc::rc::Rc;
use smoltcp::wire::{IpAddress, IpCidr};

/// How good a way is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By a gateway.
    Gateway,
    /// The address is on the interface's own network.
    Direct,
}

impl Net {
    /// The interface for `target`: one on its network, else one with a gateway.
    ///
    /// # Errors
    /// There is none, or the address is this machine's own.
    pub(super) fn interface_for(&self, target: IpAddress) -> Result<Rc<Interface>, NetError> {
        if target.is_unspecified() {
            return Err(NetError::BadAddress);
        }
        let all = self.0.interfaces.borrow();
        let is_own =
            |interface: &Rc<Interface>| interface.stack(|stack| stack.ip.has_ip_addr(target));
        if is_loopback(target) || all.iter().any(is_own) {
            return Err(NetError::Ourselves(target));
        }
        let ways = all.iter().filter_map(|one| Some((way(one, target)?, one)));
        // The first of the best.
        let best = ways.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, interface)| interface.clone()).ok_or(NetError::NoRoute(target))
    }
}

fn is_loopback(target: IpAddress) -> bool {
    match target {
        IpAddress::Ipv4(target) => target.is_loopback(),
        IpAddress::Ipv6(target) => target.is_loopback(),
    }
}

fn way(interface: &Interface, target: IpAddress) -> Option<Way> {
    interface.stack(|stack| {
        let addresses = stack.ip.ip_addrs();
        let is_everybody = match target {
            IpAddress::Ipv4(target) => target.is_broadcast() || target.is_multicast(),
            IpAddress::Ipv6(target) => target.is_multicast(),
        };
        let same_kind = |cidr: &&IpCidr| cidr.address().version() == target.version();
        let mut own = addresses.iter().filter(same_kind);
        if own.clone().any(|cidr| is_everybody || cidr.contains_addr(&target)) {
            return Some(Way::Direct);
        }
        let routes = stack.ip.routes();
        let gateway = match target {
            IpAddress::Ipv4(_) => routes.get_default_ipv4_route(),
            IpAddress::Ipv6(target) if target.is_unicast_link_local() => None,
            IpAddress::Ipv6(_) => routes.get_default_ipv6_route(),
        };
        (gateway.is_some() && own.next().is_some()).then_some(Way::Gateway)
    })
}
