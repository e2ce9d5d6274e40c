//! What the command line says of the network.
//!
//! ```text
//! net.ip=dhcp                            every interface asks for its address (unless told otherwise)
//! net.ip=ADDRESS/PREFIX[,GATEWAY]        the first interface has this one
//! net.ip=net1:ADDRESS/PREFIX[,GATEWAY]   so has this one; several are set apart by `;`
//! net.dns=ADDRESS[,ADDRESS…]             name servers, whatever DHCP says
//! net.name=HOST                          what the machine calls itself
//! net.core=N                             the core of the network (1 if there is one, else 0)
//! net.syslog=ADDRESS[:PORT]              where the kernel's log goes, by UDP (port 514)
//! net.http=PORT|off                      where the status page is (80)
//! net.services=on|off                    echo, discard, chargen and iperf3 (off)
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;

use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint};
use thiserror_no_std::Error;

/// Port of a syslog server, if none is given.
const SYSLOG_PORT: u16 = 514;
/// Port of the status page, if none is given.
const HTTP_PORT: u16 = 80;
/// Longest name of the machine.
const NAME_MAX: usize = 63;

/// How an interface comes to its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// It asks.
    Dhcp,
    /// It is told.
    Static {
        /// Address and network.
        address: IpCidr,
        /// Where what is not on that network goes.
        gateway: Option<IpAddress>,
    },
}

/// Whether services for measuring are offered to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// Yes.
    On,
    /// No.
    Off,
}

/// A word whose value makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word}={value}: not {expected}")]
pub struct Nonsense {
    /// The word.
    pub word: &'static str,
    /// What was said.
    pub value: String,
    /// What could be.
    pub expected: &'static str,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interfaces that are named, and the first (`None`).
    addressing: Vec<(Option<String>, Addressing)>,
    /// Name servers. Empty: those that DHCP names.
    pub name_servers: Vec<IpAddress>,
    /// What the machine calls itself.
    pub host_name: String,
    /// The core of the network. `None`: as the kernel likes.
    pub core: Option<u16>,
    /// Where the log goes.
    pub syslog: Option<IpEndpoint>,
    /// Where the status page is.
    pub http: Option<u16>,
    /// Whether services are offered.
    pub services: Services,
}

impl Settings {
    /// The settings among the words of a command line, as `value` finds them, and what makes no
    /// sense.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> (Self, Vec<Nonsense>) {
        let mut nonsense = Vec::new();
        let mut settings = Self {
            addressing: Vec::new(),
            name_servers: Vec::new(),
            host_name: String::from("pollux"),
            core: None,
            syslog: None,
            http: Some(HTTP_PORT),
            services: Services::Off,
        };
        let mut set = |word: &'static str, expected, take: &mut dyn FnMut(&str) -> Option<()>| {
            if let Some(value) = value(word)
                && take(value).is_none()
            {
                nonsense.push(Nonsense { word, value: value.into(), expected });
            }
        };
        set("net.ip", "dhcp or [net0:]ADDRESS/PREFIX[,GATEWAY]", &mut |value| {
            settings.addressing = value.split(';').map(addressing).collect::<Option<_>>()?;
            Some(())
        });
        set("net.dns", "ADDRESS[,ADDRESS…]", &mut |value| {
            settings.name_servers = value.split(',').map(address).collect::<Option<_>>()?;
            Some(())
        });
        set("net.name", "a host name", &mut |value| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let fits = !value.is_empty() && value.len() <= NAME_MAX && value.bytes().all(good);
            settings.host_name = fits.then(|| value.into())?;
            Some(())
        });
        set("net.core", "a core's number", &mut |value| {
            settings.core = Some(value.parse().ok()?);
            Some(())
        });
        set("net.syslog", "ADDRESS[:PORT]", &mut |value| {
            settings.syslog = Some(endpoint(value, SYSLOG_PORT)?);
            Some(())
        });
        set("net.http", "PORT or off", &mut |value| {
            settings.http = match value {
                "off" => None,
                port => Some(port.parse().ok().filter(|port| *port != 0)?),
            };
            Some(())
        });
        set("net.services", "on or off", &mut |value| {
            settings.services = match value {
                "on" => Services::On,
                "off" => Services::Off,
                _ => return None,
            };
            Some(())
        });
        (settings, nonsense)
    }

    /// How interface `name` comes to its addresses; `place` is its number among the interfaces.
    pub fn addressing(&self, name: &str, place: usize) -> Addressing {
        let meant = |other: &&(Option<String>, Addressing)| match &other.0 {
            Some(other) => other == name,
            None => place == 0,
        };
        self.addressing.iter().find(meant).map_or(Addressing::Dhcp, |found| found.1)
    }
}

fn address(text: &str) -> Option<IpAddress> {
    Some(IpAddr::from_str(text).ok()?.into())
}

/// An address, and a port behind a colon (an IPv6 address in brackets then).
pub fn endpoint(text: &str, default_port: u16) -> Option<IpEndpoint> {
    if let Some(addr) = address(text) {
        return Some(IpEndpoint { addr, port: default_port });
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(IpEndpoint { addr: address(host)?, port })
}

fn addressing(text: &str) -> Option<(Option<String>, Addressing)> {
    let (name, text) = match text.split_once(':') {
        Some((name, rest)) if name.starts_with("net") => (Some(name.into()), rest),
        _ => (None, text),
    };
    if text == "dhcp" {
        return Some((name, Addressing::Dhcp));
    }
    let (network, gateway) = match text.split_once(',') {
        Some((network, gateway)) => (network, Some(address(gateway)?)),
        None => (text, None),
    };
    let address = IpCidr::from_str(network).ok().filter(|cidr| cidr.address().is_unicast())?;
    if gateway.is_some_and(|gateway| gateway.version() != address.address().version()) {
        return None;
    }
    Some((name, Addressing::Static { address, gateway }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn read(line: &str) -> (Settings, Vec<Nonsense>) {
        Settings::read(|word| {
            let words = line.split(' ').filter_map(|word| word.split_once('='));
            words.filter(|(key, _)| *key == word).map(|(_, value)| value).next_back()
        })
    }

    #[test]
    fn nothing_said_is_dhcp_and_a_page() {
        let (settings, nonsense) = read("");
        assert!(nonsense.is_empty());
        assert_eq!(settings.addressing("net0", 0), Addressing::Dhcp);
        assert_eq!((settings.http, settings.services), (Some(80), Services::Off));
    }

    #[test]
    fn addresses_are_given_to_interfaces() {
        let (settings, nonsense) =
            read("net.ip=192.0.2.10/24,192.0.2.1;net1:2001:db8::5/64;net2:dhcp");
        assert!(nonsense.is_empty());
        let Addressing::Static { address, gateway } = settings.addressing("net0", 0) else {
            panic!("net0 has an address");
        };
        assert_eq!(address.to_string(), "192.0.2.10/24");
        assert_eq!(gateway.map(|gateway| gateway.to_string()).as_deref(), Some("192.0.2.1"));
        let Addressing::Static { address, gateway } = settings.addressing("net1", 1) else {
            panic!("net1 has an address");
        };
        assert_eq!((address.to_string().as_str(), gateway), ("2001:db8::5/64", None));
        assert_eq!(settings.addressing("net2", 2), Addressing::Dhcp);
        assert_eq!(settings.addressing("net3", 3), Addressing::Dhcp);
    }

    #[test]
    fn servers_have_ports() {
        let (settings, _) = read("net.syslog=192.0.2.1 net.http=off net.services=on");
        assert_eq!(settings.syslog.map(|to| to.to_string()).as_deref(), Some("192.0.2.1:514"));
        assert_eq!((settings.http, settings.services), (None, Services::On));
        let (settings, _) = read("net.syslog=[fe80::1]:99");
        assert_eq!(settings.syslog.map(|to| to.to_string()).as_deref(), Some("fe80::1:99"));
    }

    #[test]
    fn nonsense_is_named() {
        let line = "net.ip=1.2.3/8 net.dns=a net.name=a_b net.core=x net.http=0 net.services=maybe \
                    net.syslog=:1";
        let (_, nonsense) = read(line);
        assert_eq!(nonsense.len(), 7);
        let (_, nonsense) = read("net.ip=255.255.255.255/8 net.dns=");
        assert_eq!(nonsense.len(), 2);
        let (_, nonsense) = read("net.ip=10.0.0.1/8,fe80::1");
        assert_eq!(nonsense.len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in "\\PC*") {
            let _ = Settings::read(|_| Some(&text));
        }
    }
}
