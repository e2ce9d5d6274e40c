//! Network tests: a machine boots on a network of its own and meets real programs there.
//!
//! [`boots`] lists them. Each is a machine ([`cards`]), what is at the other end of its cables, and
//! a [`scenario`], a function that drives a [`stage::Stage`]. Those that need devices and servers
//! are carried out by this tool started again inside a [`namespace`]; where there is none they are
//! skipped, and those on QEMU's user networking are left.
//!
//! On the stage: the [`session`] at the machine's console, the [`peers`] (dnsmasq, iperf3,
//! rsyslogd, tshark), [`curl`] and ping, and our own [`http`] server.

pub mod bench;
pub mod boots;
mod capture;
pub mod cards;
mod curl;
mod flood;
mod frames;
mod http;
mod inside;
mod iperf;
mod namespace;
mod outside;
pub mod peers;
pub mod random;
mod relay;
mod scenario;
pub mod session;
mod stage;
mod syslog;
mod traffic;
mod weather;

pub use inside::{WORD, run};
pub use outside::carry_out;
