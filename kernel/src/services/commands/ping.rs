//! The shell's `ping`: is it there, and how far away.

use crate::platform::Pollux;
use crate::services::console;
use crate::services::net::{self, NetError, after_ms};
use alloc::string::String;
use hal::clock::Ticks;
use hal::x86_64::time::clock::ticks_to_ns;
use kernel_text::quantity::{Nanoseconds, Share};
use smoltcp::wire::IpAddress;
use thiserror_no_std::Error;

/// Bytes of an echo request beside its header, as everybody sends them.
const PAYLOAD: usize = 56;
/// Between two requests.
const INTERVAL_MS: u64 = 1_000;
/// How long a reply may take.
const LIMIT_MS: u64 = 2_000;

/// Why there is nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PingError {
    /// A word is no number.
    #[error("`{0}` is no number of requests")]
    NoNumber(String),
    /// The host is not known.
    #[error("{0}: {1}")]
    Net(String, NetError),
}

/// What is said in the end, whoever ends it.
struct Statistics {
    host: String,
    sent: u64,
    received: u64,
    least_ns: u64,
    most_ns: u64,
    sum_ns: u64,
}

/// `ping HOST [COUNT]`: without a count, until Ctrl-C.
pub async fn ping(host: &str, count: Option<&str>) -> Result<(), PingError> {
    let count = match count {
        Some(word) => word.parse::<u64>().map_err(|_| PingError::NoNumber(word.into()))?,
        None => u64::MAX,
    };
    let failed = |error| PingError::Net(host.into(), error);
    let name = String::from(host);
    let found = net::on(move |net| async move { net.resolve(&name).await }).await;
    let found = found.map_err(NetError::from).and_then(|found| found).map_err(failed)?;
    let to: IpAddress = *found.first().ok_or_else(|| failed(NetError::NoSuchName))?;
    console::say(format_args!("ping: {host} ({to}), {PAYLOAD} bytes of data"));
    let mut statistics = Statistics::new(host);
    for number in 1..=count {
        let next = after_ms(INTERVAL_MS);
        let sequence = number as u16;
        let reply =
            net::on(move |net| async move { net.ping(to, sequence, PAYLOAD, LIMIT_MS).await })
                .await;
        statistics.sent += 1;
        match reply.map_err(NetError::from).and_then(|reply| reply) {
            Ok(Ticks(ticks)) => {
                let ns = ticks_to_ns(ticks);
                statistics.add(ns);
                console::say(format_args!(
                    "{} bytes from {to}: seq={number} time={}",
                    PAYLOAD + 8,
                    Nanoseconds(ns)
                ));
            }
            Err(NetError::TimedOut) => console::say(format_args!("no reply: seq={number}")),
            Err(error) => console::say(format_args!("ping: seq={number}: {error}")),
        }
        if number < count {
            executor::sleep_until::<Pollux>(next).await;
        }
    }
    Ok(())
}

impl Statistics {
    fn new(host: &str) -> Self {
        let host = host.into();
        Self { host, sent: 0, received: 0, least_ns: u64::MAX, most_ns: 0, sum_ns: 0 }
    }

    fn add(&mut self, ns: u64) {
        self.received += 1;
        self.least_ns = self.least_ns.min(ns);
        self.most_ns = self.most_ns.max(ns);
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let Self { sent, received, .. } = *self;
        if sent == 0 {
            return;
        }
        let loss = Share { part: sent - received, whole: sent };
        console::say(format_args!(
            "--- {}: {sent} packets transmitted, {received} received, {loss} packet loss",
            self.host
        ));
        if let Some(average) = self.sum_ns.checked_div(received) {
            let [least, average, most] = [self.least_ns, average, self.most_ns].map(Nanoseconds);
            console::say(format_args!(
                "round trip least/average/most: {least} / {average} / {most}"
            ));
        }
    }
}
