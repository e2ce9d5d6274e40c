//! How many instructions a packet takes, where ticks count them: from a task's call to the device's
//! doorbell, and from the device's ring to a task that takes the datagram.
//!
//! Counted is what the tasks that move packets execute (the interface's, the driver's, and the ones
//! here that call), for rounds of [`ROUND`] datagrams. While the device is at work the core is kept
//! by an empty loop of this task, so that nothing is polled in vain.

use super::{DATAGRAM, DISCARD, SOURCE, request};
use crate::platform::Pollux;
use crate::services::net::{Net, NetError, UdpSocket};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use executor::{Priority, yield_now};
use hal::x86_64::time::clock;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Datagrams of a round.
const ROUND: u64 = 32;
const WARM_UP: usize = 8;
const ROUNDS: usize = 64;
/// Turns of all other tasks in which a round is moved.
const TURNS: usize = 4;
/// Turns of the empty loop that keeps the core until the device is done.
const WAIT_TURNS: u64 = 2_000_000;
/// Names of the tasks that move packets.
const MOVERS: [&str; 3] = ["interface", "driver", "bench packets"];

/// Ticks per packet, a sample a round.
#[derive(Default)]
pub struct Counts {
    /// Sending.
    pub transmit: Vec<u64>,
    /// Receiving.
    pub receive: Vec<u64>,
}

/// What the tasks of a round tell each other.
#[derive(Default)]
struct Round {
    /// Datagrams to be sent, or that have come.
    datagrams: Cell<u64>,
    failed: Cell<Option<NetError>>,
}

/// Counts at the interface called `name`, whose device is polled.
pub async fn count(net: &Net, name: &str, peer: IpAddress) -> Result<Counts, NetError> {
    // The address of the peer's device is known from here on.
    net.ping(peer, 0, 56, 5_000).await?;
    let socket = Rc::new(net.bind(0)?);
    let mut counts = Counts::default();
    let round = Rc::new(Round::default());
    let sender = send(socket.clone(), IpEndpoint { addr: peer, port: DISCARD }, round.clone());
    let sender = executor::spawn::<Pollux, _>("bench packets", Priority::Normal, sender);
    for number in 0..WARM_UP + ROUNDS {
        round.datagrams.set(ROUND);
        let (before, sent) = (moved(), net.transmitted(name));
        turns().await;
        let (ticks, sent) = (moved() - before, net.transmitted(name) - sent);
        keep_the_core();
        round.failed.get().map_or(Ok(()), Err)?;
        if number >= WARM_UP && sent >= ROUND {
            counts.transmit.push(ticks / sent);
        }
    }
    drop(sender);
    let round = Rc::new(Round::default());
    let receiver = receive(socket.clone(), round.clone());
    let receiver = executor::spawn::<Pollux, _>("bench packets", Priority::Normal, receiver);
    for number in 0..WARM_UP + ROUNDS {
        let source = IpEndpoint { addr: peer, port: SOURCE };
        socket.send_to(&request(ROUND as u32, DATAGRAM as u32), source).await?;
        turns().await;
        keep_the_core();
        let (before, come) = (moved(), round.datagrams.get());
        turns().await;
        let (ticks, come) = (moved() - before, round.datagrams.get() - come);
        // Fewer: the peer was late.
        if number >= WARM_UP && come >= ROUND / 2 {
            counts.receive.push(ticks / come);
        }
    }
    drop(receiver);
    if counts.transmit.is_empty() || counts.receive.is_empty() {
        return Err(NetError::TimedOut);
    }
    Ok(counts)
}

async fn send(socket: Rc<UdpSocket>, to: IpEndpoint, round: Rc<Round>) {
    loop {
        for _ in 0..round.datagrams.replace(0) {
            let fill = |room: &mut [u8]| room.fill(0x55);
            let sent = poll_fn(|context| socket.poll_send_with(context, to, DATAGRAM, fill)).await;
            if let Err(error) = sent {
                round.failed.set(Some(error));
            }
        }
        yield_now().await;
    }
}

async fn receive(socket: Rc<UdpSocket>, round: Rc<Round>) {
    poll_fn(|context| {
        while socket.poll_receive_with(context, |_, _| ()).is_ready() {
            round.datagrams.set(round.datagrams.get() + 1);
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Ticks that the tasks which move packets have spent on this core.
fn moved() -> u64 {
    let tasks = executor::Core::<Pollux>::current().tasks();
    let movers = tasks.iter().filter(|task| MOVERS.contains(&task.name));
    movers.map(|task| task.busy_ticks).sum()
}

/// Lets all others run, a few times.
async fn turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Lets nobody run until the device is done.
fn keep_the_core() {
    let end = clock::now() + WAIT_TURNS * 4;
    while clock::now() < end {
        core::hint::spin_loop();
    }
}
