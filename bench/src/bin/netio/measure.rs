//! What the network costs a program: the kernel's figures (`net.…`) taken through the rings. The
//! peer is the kernel's: port 9 takes everything; port 19 sends without end over TCP, and answers a
//! datagram with a count and a size (32 bits, big-endian, each) by so many of that size.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::task::Poll;

use bench::abi::metric::{Metric, Unit};
use bench::abi::start::tag;
use bench::arguments::wanted;
use bench::measure::{nanoseconds_of, per_second};
use bench::println;
use bench::runtime::executor::{sleep, yield_now};
use bench::runtime::net::{Network, Setup, UdpSocket};
use bench::runtime::{Env, calls, clock};

use crate::{Asked, Why, why};

const DISCARD: u16 = 9;
const SOURCE: u16 = 19;
/// Bytes of a datagram.
const DATAGRAM: usize = 64;
/// Bytes of the rings, where nothing else was asked for.
const RING: u32 = 512 << 10;
/// Windows of a figure.
const WINDOWS: u64 = 10;
/// Nanoseconds for a connection, or a storm of datagrams, to come up to speed.
const WARM_UP_NS: u64 = 200_000_000;
/// Milliseconds of a figure, where nothing else was asked for.
const FIGURE_MS: u64 = 500;
/// Echo requests.
const PINGS: u16 = 100;
const PATIENCE_MS: u32 = 5_000;
/// Datagrams sent before other tasks have a turn.
const BATCH: usize = 64;
/// Nanoseconds without a datagram after which they are asked for again.
const SILENCE_NS: u64 = 300_000_000;

/// Takes the figures and reports them.
pub async fn run(env: &Env, network: &Network, asked: &Asked, peer: IpAddr) -> Result<(), Why> {
    let setup = match env.value("ring") {
        Some(_) => asked.setup,
        None => Setup { to_network: RING, from_network: RING },
    };
    let window_ns = asked.ms.unwrap_or(FIGURE_MS).max(WINDOWS) * 1_000_000 / WINDOWS;
    let (discard, source) = (SocketAddr::new(peer, DISCARD), SocketAddr::new(peer, SOURCE));
    let count = Cell::new(0);
    let counted = |more: usize| count.set(count.get() + more as u64);
    if wanted(env.args(), "ring3.ping_rtt") {
        let mut times = pings(network, peer).await?;
        report(env, "ring3.ping_rtt", Unit::Ticks, &mut times)?;
    }
    if wanted(env.args(), "ring3.udp_tx_pps") {
        let socket = network.bind_with(0, setup).await.map_err(why)?;
        let work = async {
            let bytes = [0x55; DATAGRAM];
            loop {
                for _ in 0..BATCH {
                    socket.queue_to(&bytes, discard).await.map_err(why)?;
                }
                socket.flush();
                counted(BATCH);
                yield_now().await;
            }
        };
        let mut samples = rates(&count, window_ns, work).await?;
        report(env, "ring3.udp_tx_pps", Unit::PerSecond, &mut samples)?;
        if socket.unsent() > 0 {
            return Err(format!("{} datagrams could not be sent", socket.unsent()));
        }
    }
    if wanted(env.args(), "ring3.tcp_tx") {
        let stream = network.connect_with(discard, setup).await.map_err(why)?;
        let work = async {
            loop {
                let room = stream.write_with(|room| (room.len(), room.len()));
                counted(room.await.map_err(why)?);
                yield_now().await;
            }
        };
        let mut samples = rates(&count, window_ns, work).await?;
        report(env, "ring3.tcp_tx", Unit::BytesPerSecond, &mut samples)?;
    }
    if wanted(env.args(), "ring3.tcp_rx") {
        let stream = network.connect_with(source, setup).await.map_err(why)?;
        let work = async {
            loop {
                let bytes = stream.read_with(|bytes| (bytes.len(), bytes.len()));
                counted(bytes.await.map_err(why)?.ok_or("the peer ended the connection")?);
                yield_now().await;
            }
        };
        let mut samples = rates(&count, window_ns, work).await?;
        report(env, "ring3.tcp_rx", Unit::BytesPerSecond, &mut samples)?;
    }
    // Last: what the peer still has to send would be in the others' way.
    if wanted(env.args(), "ring3.udp_rx_pps") {
        let socket = network.bind_with(0, setup).await.map_err(why)?;
        let work = receive(&socket, source, &count);
        let mut samples = rates(&count, window_ns, work).await?;
        report(env, "ring3.udp_rx_pps", Unit::PerSecond, &mut samples)?;
    }
    Ok(())
}

/// Ticks of each echo.
async fn pings(network: &Network, peer: IpAddr) -> Result<Vec<u64>, Why> {
    // The first asks for the peer's address as well.
    network.ping(peer, 0, 56, PATIENCE_MS).await.map_err(why)?;
    let mut times = Vec::new();
    for sequence in 1..=PINGS {
        let begun = clock::ticks();
        network.ping(peer, sequence, 56, PATIENCE_MS).await.map_err(why)?;
        // From here to there and back here: what the program sees of it.
        times.push(clock::ticks() - begun);
    }
    Ok(times)
}

/// Asks for datagrams again and again, and counts them.
async fn receive(socket: &UdpSocket, from: SocketAddr, count: &Cell<u64>) -> Result<(), Why> {
    let (mut bytes, mut request) = (vec![0; DATAGRAM], [0; 8]);
    request[..4].copy_from_slice(&(u32::MAX >> 12).to_be_bytes());
    request[4..].copy_from_slice(&(DATAGRAM as u32).to_be_bytes());
    loop {
        socket.send_to(&request, from).await.map_err(why)?;
        loop {
            let mut silence = pin!(sleep(SILENCE_NS));
            let mut some = pin!(async {
                for _ in 0..BATCH {
                    socket.receive(&mut bytes).await.map_err(why)?;
                    count.set(count.get() + 1);
                }
                Ok::<(), Why>(())
            });
            let received = poll_fn(|context| match some.as_mut().poll(context) {
                Poll::Ready(received) => Poll::Ready(Some(received)),
                Poll::Pending => silence.as_mut().poll(context).map(|()| None),
            });
            match received.await {
                Some(received) => received?,
                // The peer is through, or the request was lost.
                None => break,
            }
            yield_now().await;
        }
    }
}

/// Rates of what is counted while `work`, which does not end, goes on: one for each window.
async fn rates(
    count: &Cell<u64>,
    window_ns: u64,
    work: impl Future<Output = Result<(), Why>>,
) -> Result<Vec<u64>, Why> {
    count.set(0);
    let watch = async {
        sleep(WARM_UP_NS).await;
        let mut rates = Vec::new();
        for _ in 0..WINDOWS {
            let (begun, before) = (clock::ticks(), count.get());
            sleep(window_ns).await;
            let (ticks, units) = (clock::ticks() - begun, count.get() - before);
            rates.push(per_second(units, ticks, clock::ticks_per_second()));
        }
        rates
    };
    let (mut watch, mut work) = (pin!(watch), pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(rates) = watch.as_mut().poll(context) {
            return Poll::Ready(Ok(rates));
        }
        match work.as_mut().poll(context) {
            Poll::Ready(Err(why)) => Poll::Ready(Err(why)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn report(env: &Env, name: &str, unit: Unit, samples: &mut [u64]) -> Result<(), Why> {
    let (core, _) = calls::core().map_err(why)?;
    let metric = Metric::of(name, core as u16, unit, samples).ok_or("no samples")?;
    let median = metric.median;
    match unit {
        Unit::PerSecond => println!("{name}: {median} a second"),
        Unit::BytesPerSecond => println!("{name}: {} kB/s", median / 1000),
        _ => println!("{name}: {} ns", nanoseconds_of(median, env.tsc_hz)),
    }
    let Some(sink) = env.handle(tag::REPORT) else { return Ok(()) };
    calls::report(sink, &metric.encode()).map_err(|error| format!("{name}: {error}"))
}
