//! What an interface is and has done, for people.

use super::Net;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use drivers::completion::CompletionMode;
use drivers::net::{LinkState, MacAddress, NetDevice, NetStatistics};
use smoltcp::wire::IpAddress;

/// One interface.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What it is called.
    pub name: String,
    /// What kind of device it is.
    pub kind: &'static str,
    /// Its own address.
    pub mac: MacAddress,
    /// How its link is.
    pub link: LinkState,
    /// Its IP addresses, with the lengths of their networks' prefixes.
    pub addresses: Vec<String>,
    /// Where what is on no network of its own goes.
    pub gateways: Vec<String>,
    /// Who is asked for names.
    pub name_servers: Vec<String>,
    /// How arrivals are noticed.
    pub mode: CompletionMode,
    /// Interrupts that have come.
    pub interrupts: u64,
    /// What the device has done.
    pub statistics: NetStatistics,
    /// Sockets there are.
    pub sockets: usize,
    /// Frames for sending that were lost: no memory, link down.
    pub lost: u64,
    /// Frames whose TCP checksum was wrong.
    pub damaged: u64,
}

impl Net {
    /// All interfaces.
    pub fn overview(&self) -> Vec<Overview> {
        let interfaces = self.interfaces();
        let describe = interfaces.iter().map(|interface| {
            let port = interface.handle.port();
            interface.stack(|stack| {
                let routes = stack.ip.routes();
                let routes = [routes.get_default_ipv4_route(), routes.get_default_ipv6_route()];
                Overview {
                    name: interface.name.to_string(),
                    kind: interface.handle.kind(),
                    mac: interface.handle.info().mac,
                    link: interface.handle.link(),
                    addresses: stack.ip.ip_addrs().iter().map(ToString::to_string).collect(),
                    gateways: routes.iter().flatten().map(|to| to.via_router.to_string()).collect(),
                    name_servers: stack.name_servers.iter().map(ToString::to_string).collect(),
                    mode: interface.handle.completion_mode(),
                    interrupts: port.control.interrupts(),
                    statistics: port.statistics(),
                    sockets: stack.sockets.iter().count(),
                    lost: stack.device.lost,
                    damaged: stack.device.damaged,
                }
            })
        });
        describe.collect()
    }

    /// Waits until there is a way to `peer`. The interface where it begins: its name, what kind of
    /// device it is, and how arrivals are noticed there.
    pub async fn way_to(&self, peer: IpAddress) -> (Arc<str>, &'static str, CompletionMode) {
        let waiter = self.waiter();
        poll_fn(|context| match self.interface_for(peer) {
            Ok(interface) => {
                let handle = &interface.handle;
                Poll::Ready((interface.name.clone(), handle.kind(), handle.completion_mode()))
            }
            Err(_) => {
                waiter.register(context.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// How many frames the device of the interface of that name was given for sending.
    pub fn transmitted(&self, name: &str) -> u64 {
        let interfaces = self.interfaces();
        let named = interfaces.iter().find(|interface| *interface.name == *name);
        named.map_or(0, |interface| interface.handle.port().statistics().transmitted_frames)
    }

    /// Has the interface of that name notice arrivals in this way. Whether there is one.
    pub fn set_mode(&self, name: &str, mode: CompletionMode) -> bool {
        let interfaces = self.interfaces();
        let named = interfaces.iter().find(|interface| *interface.name == *name);
        named.map(|interface| interface.handle.set_completion_mode(mode)).is_some()
    }
}
