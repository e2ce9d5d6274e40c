//! The streams of an iperf3 test: connections, each with a task of its own; or datagrams of one
//! socket, told apart by where they come from.

use super::iperf3_test::now_us;
use crate::clock;
use crate::platform::Pollux;
use crate::services::net::{Net, NetError, TcpStream, UdpSocket};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use executor::{JoinHandle, Platform, Priority};
use protocols::iperf3::{Counter, Header, PORT, Parameters, Receiver, StreamResult, UDP_REPLY};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Datagrams sent before others have a turn.
const TURN: u64 = 32;
/// Longest datagram that is looked at: the header. The rest only counts.
const LOOKED_AT: usize = 16;
/// Longest datagrams that can be sent: by IPv4 what the stack can cut into fragments, by IPv6 what
/// fits into an Ethernet frame.
const DATAGRAM_MAX_V4: u32 = 4_068;
const DATAGRAM_MAX_V6: u32 = 1_452;
/// The same bytes for every write.
static BLOCK: [u8; 64 << 10] = [0x70; 64 << 10];

/// How fast a stream's sender is to send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    bits_per_second: Option<u64>,
}

impl Pace {
    /// As the client asks.
    pub fn new(asked: &Parameters) -> Self {
        Self { bits_per_second: asked.bits_per_second }
    }

    /// Waits until a stream that began at `begun` and has sent `bytes` may send more.
    async fn wait(self, begun: executor::Instant, bytes: u64) {
        let Some(rate) = self.bits_per_second else { return };
        let ticks = u128::from(bytes) * 8 * u128::from(clock::frequency()) / u128::from(rate);
        let due = begun.after(u64::try_from(ticks).unwrap_or(u64::MAX));
        if due > Pollux::now() {
            executor::sleep_until::<Pollux>(due).await;
        }
    }
}

/// What one stream has moved.
#[derive(Default)]
struct Counts {
    bytes: Cell<u64>,
    packets: Cell<u64>,
    receiver: Cell<Receiver>,
    /// What was moved before counting began.
    omitted: Cell<StreamResult>,
}

impl Counts {
    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.packets.set(self.packets.get() + 1);
    }

    fn so_far(&self) -> StreamResult {
        let receiver = self.receiver.get();
        StreamResult {
            bytes: self.bytes.get(),
            jitter_us: receiver.jitter_us(),
            lost: receiver.lost(),
            // A receiver knows of those that were lost too.
            packets: self.packets.get().max(receiver.packets()),
            span_us: 0,
        }
    }

    fn result(&self, span_us: u64) -> StreamResult {
        let (now, before) = (self.so_far(), self.omitted.get());
        StreamResult {
            bytes: now.bytes - before.bytes,
            lost: now.lost.saturating_sub(before.lost),
            packets: now.packets - before.packets,
            span_us: span_us.saturating_sub(before.span_us),
            ..now
        }
    }
}

/// What all streams of a test share.
struct Shared {
    counts: Vec<Counts>,
    begun: Cell<Option<executor::Instant>>,
    is_over: Cell<bool>,
    /// Where tasks wait until the test begins.
    start: RefCell<Vec<core::task::Waker>>,
}

impl Shared {
    fn new(streams: usize) -> Rc<Self> {
        Rc::new(Self {
            counts: (0..streams).map(|_| Counts::default()).collect(),
            begun: Cell::new(None),
            is_over: Cell::new(false),
            start: RefCell::default(),
        })
    }

    /// When the test began, once it has.
    async fn begun(&self) -> executor::Instant {
        poll_fn(|context| match self.begun.get() {
            Some(begun) => core::task::Poll::Ready(begun),
            None => {
                self.start.borrow_mut().push(context.waker().clone());
                core::task::Poll::Pending
            }
        })
        .await
    }
}

/// The streams, and the tasks that move them. Dropped, they end.
pub struct Streams {
    shared: Rc<Shared>,
    _tasks: Vec<JoinHandle<()>>,
}

impl Streams {
    /// A task for each connection: first those that the client sends on.
    pub fn connections(streams: Vec<TcpStream>, asked: &Parameters, pace: Pace) -> Self {
        let shared = Shared::new(streams.len());
        let (receiving, _) = asked.streams();
        let block = asked.block_bytes as usize;
        let tasks = streams.into_iter().enumerate().map(|(index, stream)| {
            let shared = shared.clone();
            executor::spawn::<Pollux, _>("iperf3 stream", Priority::Normal, async move {
                // The client sees how a stream ends.
                let _ = if index < receiving {
                    receive(&stream, &shared.counts[index]).await
                } else {
                    send(stream, &shared, index, block, pace).await
                };
            })
        });
        let tasks = tasks.collect();
        Self { shared, _tasks: tasks }
    }

    /// A task that receives for all, and one for each stream that is sent.
    pub fn datagrams(datagrams: Datagrams, asked: &Parameters, pace: Pace) -> Self {
        let peers = datagrams.peers.take();
        let shared = Shared::new(peers.len());
        let (receiving, _) = asked.streams();
        let socket = Rc::new(datagrams.socket);
        let (bytes, counter) = (asked.block_bytes as usize, asked.counter);
        let mut tasks = Vec::new();
        for (index, peer) in peers.iter().enumerate().skip(receiving) {
            let (shared, socket, peer) = (shared.clone(), socket.clone(), *peer);
            tasks.push(executor::spawn::<Pollux, _>(
                "iperf3 stream",
                Priority::Normal,
                async move {
                    // Without a way there, nothing is measured.
                    let _ =
                        send_datagrams(&socket, peer, &shared, index, (bytes, counter), pace).await;
                },
            ));
        }
        let all = shared.clone();
        tasks.push(executor::spawn::<Pollux, _>("iperf3 stream", Priority::Normal, async move {
            receive_datagrams(&socket, &peers, &all, counter).await;
        }));
        Self { shared, _tasks: tasks }
    }

    /// Lets them send.
    pub fn start(&self) {
        self.shared.begun.set(Some(Pollux::now()));
        self.shared.start.take().into_iter().for_each(core::task::Waker::wake);
    }

    /// Lets none of them send any more.
    pub fn stop(&self) {
        self.shared.is_over.set(true);
    }

    /// What was moved until now does not count.
    pub fn forget(&self) {
        let begun = self.shared.begun.get().unwrap_or_else(Pollux::now);
        let span_ns = hal::x86_64::time::clock::ticks_to_ns(Pollux::now().since(begun));
        for counts in &self.shared.counts {
            counts.omitted.set(StreamResult { span_us: span_ns / 1_000, ..counts.so_far() });
        }
    }

    /// What they have moved in `span_us`.
    pub fn results(&self, span_us: u64) -> Vec<StreamResult> {
        self.shared.counts.iter().map(|counts| counts.result(span_us)).collect()
    }
}

async fn receive(stream: &TcpStream, counts: &Counts) -> Result<(), NetError> {
    let take = |bytes: &mut [u8]| {
        counts.add(bytes.len());
        (bytes.len(), ())
    };
    while stream.read_with(take).await?.is_some() {}
    Ok(())
}

/// Sends until the test is over, then ends the stream: a client that still reads must not find it
/// reset.
async fn send(
    mut stream: TcpStream,
    shared: &Shared,
    index: usize,
    block: usize,
    pace: Pace,
) -> Result<(), NetError> {
    let begun = shared.begun().await;
    let counts = &shared.counts[index];
    let block = &BLOCK[..block.min(BLOCK.len())];
    while !shared.is_over.get() {
        pace.wait(begun, counts.bytes.get()).await;
        let written = stream.write(block).await?;
        counts.add(written);
    }
    stream.finish().await
}

async fn send_datagrams(
    socket: &UdpSocket,
    peer: IpEndpoint,
    shared: &Shared,
    index: usize,
    (bytes, counter): (usize, Counter),
    pace: Pace,
) -> Result<(), NetError> {
    let begun = shared.begun().await;
    let counts = &shared.counts[index];
    while !shared.is_over.get() {
        pace.wait(begun, counts.bytes.get()).await;
        let number = counts.packets.get() + 1;
        let fill = |room: &mut [u8]| {
            room.fill(0x70);
            Header { sent_us: now_us(), number }.emit(room, counter);
        };
        poll_fn(|context| socket.poll_send_with(context, peer, bytes, fill)).await?;
        counts.add(bytes);
        if number.is_multiple_of(TURN) {
            executor::yield_now().await;
        }
    }
    Ok(())
}

async fn receive_datagrams(
    socket: &UdpSocket,
    peers: &[IpEndpoint],
    shared: &Shared,
    counter: Counter,
) {
    loop {
        poll_fn(|context| {
            socket.poll_receive_with(context, |bytes, from| {
                let Some(index) = peers.iter().position(|peer| *peer == from) else { return };
                let Some(counts) = shared.counts.get(index) else { return };
                let head = &bytes[..bytes.len().min(LOOKED_AT)];
                // A datagram of the stream's beginning is too short to be one of its data.
                let Some(header) = Header::parse(head, counter) else { return };
                counts.add(bytes.len());
                let mut receiver = counts.receiver.get();
                receiver.take(header, now_us());
                counts.receiver.set(receiver);
            })
        })
        .await;
    }
}

/// A socket whose streams are still to come.
pub struct Datagrams {
    socket: UdpSocket,
    client: IpAddress,
    peers: RefCell<Vec<IpEndpoint>>,
    wanted: usize,
}

impl Datagrams {
    /// A socket at iperf3's port, before the client is told to send there.
    ///
    /// # Errors
    /// There is none, or the datagrams that are to be sent are too long. (A client that is sent
    /// shorter ones than it has asked for counts them wrongly.)
    pub fn bind(net: &Net, client: IpAddress, asked: &Parameters) -> Result<Self, NetError> {
        let (receiving, sending) = asked.streams();
        let longest = match client {
            IpAddress::Ipv4(_) => DATAGRAM_MAX_V4,
            IpAddress::Ipv6(_) => DATAGRAM_MAX_V6,
        };
        if sending > 0 && asked.block_bytes > longest {
            return Err(NetError::TooLong);
        }
        let (socket, peers) = (net.bind(PORT)?, RefCell::default());
        Ok(Self { socket, client, peers, wanted: receiving + sending })
    }

    /// Waits for a first datagram of each stream, and answers it.
    pub async fn gather(&self) -> Result<(), NetError> {
        let mut buffer = vec![0; LOOKED_AT];
        while self.peers.borrow().len() < self.wanted {
            let (_, from) = self.socket.receive(&mut buffer).await;
            if from.addr != self.client {
                continue;
            }
            let is_new = !self.peers.borrow().contains(&from);
            if is_new {
                self.peers.borrow_mut().push(from);
            }
            // One that asks again has not had its answer.
            self.socket.send_to(&UDP_REPLY, from).await?;
        }
        Ok(())
    }
}
