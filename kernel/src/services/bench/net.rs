//! What the network costs: packets and bytes a second and the time there and back, by device and
//! completion mode; where ticks count instructions, what a packet takes of them.
//!
//! The peers are at the addresses that `bench.net=` names, one for each interface to be measured,
//! and offer:
//!
//! | port | TCP | UDP |
//! |---|---|---|
//! | 9 | takes everything | takes everything |
//! | 19 | sends without end | a datagram with a count and a size (32 bits, big-endian, each) is answered by so many datagrams of that size, as fast as they go |
//!
//! Figures are called `net.WHAT.DEVICE`, with `.poll` and `.msix` behind for modes that are not the
//! default. All of it runs on the network core.

mod instructions;

use super::{BenchError, Plan, publish_as};
use crate::platform::Pollux;
use crate::services::console;
use crate::services::net::{self, Buffers, Net, NetError, UdpSocket};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::task::Poll;
use drivers::completion::CompletionMode;
use executor::yield_now;
use hal::x86_64::time::clock;
use kernel_text::options::{Samples, Ticks};
use protocols::abi::metric::Unit;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Modes, and what they add to a figure's name.
const MODES: [(CompletionMode, &str); 3] = [
    (CompletionMode::Adaptive, ""),
    (CompletionMode::Poll, ".poll"),
    (CompletionMode::Msix, ".msix"),
];

/// Ports of the peer.
const DISCARD: u16 = 9;
const SOURCE: u16 = 19;
/// Bytes of a datagram.
const DATAGRAM: usize = 64;
/// Windows of a figure and their length.
const WINDOWS: usize = 20;
const WINDOW_US: u64 = 50_000;
/// Time for a connection or a storm of datagrams to come up to speed.
const WARM_UP_US: u64 = 200_000;
/// Echo requests.
const PINGS: u16 = 200;
/// Milliseconds for a reply.
const PATIENCE_MS: u64 = 5_000;
/// Datagrams asked for at a time, and milliseconds of silence after which more are asked for: the
/// peer is quiet again soon after the figure is taken.
const STORM: u32 = 32_768;
const SILENCE_MS: u64 = 3;
/// Datagrams moved before others have a turn.
const BATCH: usize = 64;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    UdpTransmit,
    UdpReceive,
    TcpTransmit,
    TcpReceive,
    Ping,
}

const FIGURES: [(Figure, &str, Unit); 5] = [
    (Figure::Ping, "ping_rtt", Unit::Ticks),
    (Figure::TcpTransmit, "tcp_tx", Unit::BytesPerSecond),
    (Figure::TcpReceive, "tcp_rx", Unit::BytesPerSecond),
    (Figure::UdpTransmit, "udp_tx_pps", Unit::PerSecond),
    // Last: the rest of the storm would disturb the others.
    (Figure::UdpReceive, "udp_rx_pps", Unit::PerSecond),
];

/// Takes the figures of all peers named on the command line.
pub async fn figures(plan: &Plan) -> Result<(), BenchError> {
    let words = hal::boot::info().command_line.value("bench.net").unwrap_or_default();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let Ok(address) = word.parse::<core::net::IpAddr>() else {
            log::error!("bench.net={word}: not an address");
            return Err(BenchError::Network(NetError::NoSuchName));
        };
        let peer = IpAddress::from(address);
        let plan = plan.clone();
        let measured = net::on(move |net| async move { measure(&net, peer, &plan).await });
        measured.await.map_err(NetError::from).flatten().map_err(BenchError::Network)?;
    }
    Ok(())
}

async fn measure(net: &Net, peer: IpAddress, plan: &Plan) -> Result<(), NetError> {
    let ready = executor::timeout::<Pollux, _>(net::after_ms(PATIENCE_MS), net.way_to(peer)).await;
    let (name, kind, mode) = ready.map_err(|_| NetError::NoRoute(peer))?;
    let measured = by_mode(net, peer, plan, &name, kind).await;
    net.set_mode(&name, mode);
    measured
}

async fn by_mode(
    net: &Net,
    peer: IpAddress,
    plan: &Plan,
    name: &str,
    kind: &str,
) -> Result<(), NetError> {
    let wanted = |name: &str| name.starts_with(&plan.filter);
    if plan.ticks == Ticks::Instructions {
        let name_of = |way: &str| format!("net.instructions_per_packet.{kind}.{way}");
        if wanted(&name_of("tx")) || wanted(&name_of("rx")) {
            console::say(format_args!("bench: {}, rx on {name}", name_of("tx")));
            net.set_mode(name, CompletionMode::Poll);
            let mut counts = instructions::count(net, name, peer).await?;
            publish_as(&name_of("tx"), Unit::Ticks, net::core(), &mut counts.transmit);
            publish_as(&name_of("rx"), Unit::Ticks, net::core(), &mut counts.receive);
        }
        return Ok(());
    }
    for (figure, what, unit) in FIGURES {
        for (mode, suffix) in MODES {
            let figure_name = format!("net.{what}.{kind}{suffix}");
            if !wanted(&figure_name) {
                continue;
            }
            console::say(format_args!("bench: {figure_name} on {name}"));
            net.set_mode(name, mode);
            let mut samples = take(net, name, peer, figure, plan).await?;
            publish_as(&figure_name, unit, net::core(), &mut samples);
        }
    }
    Ok(())
}

async fn take(
    net: &Net,
    name: &str,
    peer: IpAddress,
    figure: Figure,
    plan: &Plan,
) -> Result<Vec<u64>, NetError> {
    let windows = if plan.samples == Samples::Quick { WINDOWS / 5 } else { WINDOWS };
    let discard = IpEndpoint { addr: peer, port: DISCARD };
    let source = IpEndpoint { addr: peer, port: SOURCE };
    let count = Rc::new(Cell::new(0));
    match figure {
        Figure::Ping => pings(net, peer, plan).await,
        Figure::UdpTransmit => {
            let socket = net.bind(0)?;
            // Not what the socket took: what the device was given.
            let counted = || net.transmitted(name);
            rates(windows, counted, send_datagrams(&socket, discard)).await
        }
        Figure::UdpReceive => {
            let socket = net.bind(0)?;
            let receiving = receive_datagrams(&socket, source, &count);
            rates(windows, || count.get(), receiving).await
        }
        Figure::TcpTransmit => {
            let stream = net.connect(discard, Buffers::LARGE).await?;
            let sending = async {
                loop {
                    let room = stream.write_with(|room| (room.len(), room.len())).await?;
                    count.set(count.get() + room as u64);
                }
            };
            rates(windows, || count.get(), sending).await
        }
        Figure::TcpReceive => {
            let stream = net.connect(source, Buffers::LARGE).await?;
            let receiving = async {
                loop {
                    let bytes = stream.read_with(|bytes| (bytes.len(), bytes.len())).await?;
                    count.set(count.get() + bytes.ok_or(NetError::Reset)? as u64);
                }
            };
            rates(windows, || count.get(), receiving).await
        }
    }
}

/// Rates of `counted` while `work`, which does not end, goes on: one for each window.
async fn rates(
    windows: usize,
    counted: impl Fn() -> u64,
    work: impl Future<Output = Result<(), NetError>>,
) -> Result<Vec<u64>, NetError> {
    let watch = async {
        executor::sleep::<Pollux>(clock::us_to_ticks(WARM_UP_US)).await;
        let mut rates = Vec::with_capacity(windows);
        for _ in 0..windows {
            let (start, before) = (clock::now(), counted());
            executor::sleep::<Pollux>(clock::us_to_ticks(WINDOW_US)).await;
            let (ticks, units) = (clock::now() - start, counted() - before);
            let rate = u128::from(units) * u128::from(clock::ticks_per_second());
            rates.push(u64::try_from(rate / u128::from(ticks.max(1))).unwrap_or(u64::MAX));
        }
        rates
    };
    let (mut watch, mut work) = (core::pin::pin!(watch), core::pin::pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(rates) = watch.as_mut().poll(context) {
            return Poll::Ready(Ok(rates));
        }
        match work.as_mut().poll(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Datagrams without end.
async fn send_datagrams(socket: &UdpSocket, to: IpEndpoint) -> Result<(), NetError> {
    loop {
        for _ in 0..BATCH {
            let fill = |room: &mut [u8]| room.fill(0x55);
            poll_fn(|context| socket.poll_send_with(context, to, DATAGRAM, fill)).await?;
        }
        yield_now().await;
    }
}

/// Asks for datagrams again and again, and counts them.
async fn receive_datagrams(
    socket: &UdpSocket,
    from: IpEndpoint,
    count: &Cell<u64>,
) -> Result<(), NetError> {
    loop {
        socket.send_to(&request(STORM, DATAGRAM as u32), from).await?;
        loop {
            let next = async {
                for _ in 0..BATCH {
                    poll_fn(|context| socket.poll_receive_with(context, |_, _| ())).await;
                    count.set(count.get() + 1);
                }
            };
            // When the peer is through, or the request was lost, it is asked again.
            if executor::timeout::<Pollux, _>(net::after_ms(SILENCE_MS), next).await.is_err() {
                break;
            }
            yield_now().await;
        }
    }
}

fn request(count: u32, bytes: u32) -> [u8; 8] {
    let mut request = [0; 8];
    request[..4].copy_from_slice(&count.to_be_bytes());
    request[4..].copy_from_slice(&bytes.to_be_bytes());
    request
}

async fn pings(net: &Net, peer: IpAddress, plan: &Plan) -> Result<Vec<u64>, NetError> {
    let count = if plan.samples == Samples::Quick { PINGS / 5 } else { PINGS };
    // The first asks for the peer's address as well.
    net.ping(peer, 0, 56, PATIENCE_MS).await?;
    let mut samples = Vec::with_capacity(usize::from(count));
    for sequence in 1..=count {
        samples.push(net.ping(peer, sequence, 56, PATIENCE_MS).await?.0);
    }
    Ok(samples)
}
