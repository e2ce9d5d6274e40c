//! The kernel log to a syslog server, by UDP: each line of [`outgoing`] becomes a datagram.
//!
//! ```text
//!   log::info! ─► outgoing's ring ─► this task ─► UdpSocket
//!                      ▲                              │
//!                      └──── a line about sending ◄───┘   of these, only a few a second
//! ```
//!
//! A line that the network itself logs while it sends a line would make another, and so on for ever:
//! of the network's own lines only so many a second are sent, and none of its debug lines. What is
//! left out, and what the ring lost, is counted and said in the stream.

use super::net::{self, Net, NetError, UdpSocket, after_ms};
use crate::clock;
use crate::logs::outgoing;
use crate::platform::{self, Pollux};
use alloc::boxed::Box;
use alloc::format;
use executor::timeout;
use hal::x86_64::time::clock::{now, ticks_per_second};
use kernel_text::backlog::{ENTRY_MAX, Entry};
use log::Level;
use protocols::syslog::{Message, Severity};
use smoltcp::wire::IpEndpoint;

/// How long a line may wait for room in the socket.
const PATIENCE_MS: u64 = 5_000;
/// Datagrams sent in one go; between two goes the receiver has a moment.
const BURST: u32 = 8;
/// That moment.
const REST_MS: u64 = 1;
/// Lines of the network's own that may come at once.
const OWN_BURST: u64 = 50;
/// Lines of the network's own that may come each second.
const OWN_PER_SECOND: u64 = 5;
/// Who speaks when the network speaks.
const NETWORK: &[&str] =
    &["smoltcp", "drivers::net", "drivers::e1000", "drivers::rtl8139", "kernel::services::net"];

/// Sends what is logged to `to`, for ever.
///
/// # Errors
/// There is no socket, or nothing can ever be sent there.
pub async fn serve(net: Net, to: IpEndpoint) -> Result<(), NetError> {
    let socket = net.bind(0)?;
    let mut sender = Sender { net, socket, to, sequence: 0, unsent: 0 };
    let mut buffer = Box::new([0; ENTRY_MAX]);
    let mut allowance = Allowance { lines: OWN_BURST, since: now() };
    let mut burst = 0;
    sender.net.way_to(to.addr).await;
    log::info!("net: the log goes to {to}");
    loop {
        let Some(taken) = outgoing::take(&mut buffer) else {
            outgoing::ARRIVED.wait().await;
            continue;
        };
        sender.unsent += taken.lost;
        if is_about_sending(&taken.entry) {
            if taken.entry.level >= Level::Debug as u8 {
                continue;
            }
            if !allowance.take() {
                sender.unsent += 1;
                continue;
            }
        }
        sender.say_unsent().await?;
        sender.line(&taken.entry).await?;
        burst += 1;
        if burst >= BURST {
            burst = 0;
            executor::sleep_until::<Pollux>(after_ms(REST_MS)).await;
        }
    }
}

/// Whether sending this line could be what it is about.
fn is_about_sending(entry: &Entry<'_>) -> bool {
    NETWORK.iter().any(|module| entry.target.starts_with(module))
}

/// So many lines, and so many more each second.
struct Allowance {
    lines: u64,
    since: u64,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let each = ticks_per_second() / OWN_PER_SECOND;
        let gained = now().saturating_sub(self.since) / each.max(1);
        self.since += gained * each;
        self.lines = (self.lines + gained).min(OWN_BURST);
        let is_left = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        is_left
    }
}

struct Sender {
    net: Net,
    socket: UdpSocket,
    to: IpEndpoint,
    sequence: u64,
    /// Lines that were not sent, and of which nothing was said yet.
    unsent: u64,
}

impl Sender {
    async fn say_unsent(&mut self) -> Result<(), NetError> {
        if self.unsent == 0 {
            return Ok(());
        }
        let unsent = core::mem::take(&mut self.unsent);
        let entry = Entry {
            microseconds: clock::nanoseconds() / 1_000,
            core: platform::here().core.0,
            level: Level::Warn as u8,
            target: module_path!(),
            text: &format!("{unsent} lines before this one were lost"),
        };
        self.line(&entry).await
    }

    /// Sends a line, waiting for a way there. One for which there is no room in time is lost.
    async fn line(&mut self, entry: &Entry<'_>) -> Result<(), NetError> {
        self.sequence += 1;
        let boot_us = clock::boot_unix_seconds() * 1_000_000;
        let message = Message {
            severity: severity(entry.level),
            unix_us: (boot_us > 0).then(|| boot_us.saturating_add(entry.microseconds)),
            uptime_us: entry.microseconds,
            hostname: &net::settings().host_name,
            application: "pollux",
            core: entry.core,
            target: entry.target,
            sequence: self.sequence,
            text: entry.text,
        };
        let datagram = message.datagram();
        loop {
            let sent = self.socket.send_to(datagram.as_bytes(), self.to);
            match timeout::<Pollux, _>(after_ms(PATIENCE_MS), sent).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(NetError::NoRoute(_))) => drop(self.net.way_to(self.to.addr).await),
                Ok(Err(NetError::LimitReached)) | Err(_) => {
                    self.unsent += 1;
                    return Ok(());
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

fn severity(level: u8) -> Severity {
    match level {
        1 => Severity::Error,
        2 => Severity::Warning,
        3 => Severity::Informational,
        _ => Severity::Debug,
    }
}
