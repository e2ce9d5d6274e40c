//! Between the network's words for things and those that ring 3 is told.

use super::super::{Net, NetError};
use drivers::net::{LinkState, NetDevice};
use protocols::socket_ring::{InterfaceInfo, Link, SocketError};

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: u16 = 14;

/// What ring 3 is told of an error.
pub fn error(error: NetError) -> SocketError {
    match error {
        NetError::NoRoute(_) | NetError::Ourselves(_) => SocketError::Unreachable,
        NetError::Refused => SocketError::Refused,
        NetError::Reset | NetError::Finished => SocketError::Reset,
        NetError::TimedOut => SocketError::TimedOut,
        NetError::LimitReached => SocketError::TooMany,
        NetError::PortTaken(_) => SocketError::PortInUse,
        NetError::NoSuchName => SocketError::NoSuchName,
        NetError::NoNameServer => SocketError::NoNameServer,
        NetError::BadName => SocketError::BadName,
        NetError::TooLong | NetError::BadAddress => SocketError::BadAddress,
        NetError::NoNetwork(_) => SocketError::Gone,
    }
}

/// The answer to a question about an interface. `None`: there is no such interface, or the question
/// is none.
pub fn interface_info(
    net: &Net,
    [interface, address, rest @ ..]: [u64; 6],
) -> Option<InterfaceInfo> {
    let all = net.interfaces();
    let interfaces = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let number = |word| usize::try_from(word).ok();
    let one = all.get(number(interface)?).filter(|_| rest == [0; 4])?;
    let info = one.handle.info();
    let addresses = one.stack(|stack| stack.ip.ip_addrs().to_vec());
    let address = addresses.get(number(address)?);
    Some(InterfaceInfo {
        interfaces,
        link: match one.handle.link() {
            LinkState::Down => Link::Down,
            LinkState::Up { .. } => Link::Up,
        },
        mac: info.mac.0,
        mtu: info.max_frame_bytes.saturating_sub(ETHERNET_HEADER),
        address: address.map(|cidr| (cidr.address().into(), cidr.prefix_len())),
    })
}
