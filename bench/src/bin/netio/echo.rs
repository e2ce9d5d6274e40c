//! Bytes to a peer, and back.

use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use core::net::SocketAddr;

use bench::pattern;
use bench::println;
use bench::runtime::clock;
use bench::runtime::executor::{sleep, spawn};
use bench::runtime::net::{Network, TcpStream};
use sha2::{Digest, Sha256};

use crate::{Asked, Why, why};

/// Bytes of a datagram.
const DATAGRAM: usize = 1000;
/// Nanoseconds to wait for one that comes back, and how often it is sent.
const PATIENCE_NS: u64 = 1_000_000_000;
const TRIES: usize = 5;

/// The byte of that number.
fn byte(seed: u64, number: u64) -> u8 {
    (pattern::word(seed, number / 8) >> (number % 8 * 8)) as u8
}

/// Writes `total` bytes of the pattern; their SHA-256.
async fn write(stream: &TcpStream, seed: u64, total: u64) -> Result<[u8; 32], Why> {
    let (mut digest, mut sent) = (Sha256::new(), 0);
    while sent < total {
        sent += stream
            .write_with(|room| {
                let count = room.len().min(usize::try_from(total - sent).unwrap_or(usize::MAX));
                for (at, slot) in room[..count].iter_mut().enumerate() {
                    *slot = byte(seed, sent + at as u64);
                }
                digest.update(&room[..count]);
                (count, count as u64)
            })
            .await
            .map_err(why)?;
    }
    Ok(digest.finalize().into())
}

/// Sends bytes, and waits until all are acknowledged.
pub async fn send(network: &Network, asked: &Asked, to: SocketAddr, total: u64) -> Result<(), Why> {
    let stream = network.connect_with(to, asked.setup).await.map_err(why)?;
    let begun = clock::ticks();
    let digest = write(&stream, asked.seed, total).await?;
    stream.shutdown().await.map_err(why)?;
    println!("{total} bytes to {to}: {} kB/s", rate(total, begun));
    print_digest(&digest);
    Ok(())
}

fn print_digest(digest: &[u8]) {
    let mut text = alloc::string::String::new();
    for byte in digest {
        text += &format!("{byte:02x}");
    }
    println!("sha256 {text}");
}

/// Thousand bytes a second since then.
fn rate(bytes: u64, begun: u64) -> u64 {
    bench::measure::per_second(bytes, clock::ticks() - begun, clock::ticks_per_second()) / 1000
}

/// Sends bytes to an echo service while it reads them back.
pub async fn streamed(
    network: &Network,
    asked: &Asked,
    to: SocketAddr,
    total: u64,
) -> Result<(), Why> {
    let stream = Rc::new(network.connect_with(to, asked.setup).await.map_err(why)?);
    let (seed, writer) = (asked.seed, stream.clone());
    let begun = clock::ticks();
    let writing = spawn("write", async move {
        let written = write(&writer, seed, total).await;
        writer.finish();
        written
    });
    let mut got = 0;
    let wrong = |bytes: &[u8], got: u64| {
        bytes.iter().enumerate().position(|(at, there)| *there != byte(seed, got + at as u64))
    };
    loop {
        let read = stream.read_with(|bytes| (bytes.len(), (bytes.len(), wrong(bytes, got))));
        match read.await.map_err(why)? {
            None => break,
            Some((_, Some(at))) => return Err(format!("byte {} came back wrong", got + at as u64)),
            Some((count, None)) => got += count as u64,
        }
    }
    writing.await.map_err(why)??;
    if got != total {
        return Err(format!("{got} of {total} bytes came back"));
    }
    println!("{total} bytes to {to} and back: {} kB/s", rate(total, begun));
    Ok(())
}

/// Sends datagrams to an echo service, one after the other.
pub async fn datagrams(
    network: &Network,
    asked: &Asked,
    to: SocketAddr,
    count: u64,
) -> Result<(), Why> {
    let socket = network.bind_with(0, asked.setup).await.map_err(why)?;
    let (mut bytes, mut back) = (vec![0; DATAGRAM], vec![0; DATAGRAM + 1]);
    let mut repeated = 0;
    for number in 0..count {
        let first = number * DATAGRAM as u64;
        let fill = |(at, slot): (usize, &mut u8)| *slot = byte(asked.seed, first + at as u64);
        bytes.iter_mut().enumerate().for_each(fill);
        for attempt in 0.. {
            socket.send_to(&bytes, to).await.map_err(why)?;
            if came_back(&socket, &bytes, &mut back).await? {
                break;
            }
            if attempt == TRIES {
                return Err(format!("datagram {number} does not come back"));
            }
            repeated += 1;
        }
    }
    println!("{count} datagrams to {to} and back, {repeated} sent again");
    Ok(())
}

/// Whether they come back before patience ends.
async fn came_back(
    socket: &bench::runtime::net::UdpSocket,
    bytes: &[u8],
    into: &mut [u8],
) -> Result<bool, Why> {
    use core::future::{Future, poll_fn};
    use core::pin::pin;
    use core::task::Poll;

    let mut patience = pin!(sleep(PATIENCE_NS));
    loop {
        let received = {
            let mut receiving = pin!(socket.receive(into));
            poll_fn(|context| match receiving.as_mut().poll(context) {
                Poll::Ready(received) => Poll::Ready(Some(received)),
                Poll::Pending => patience.as_mut().poll(context).map(|()| None),
            })
            .await
        };
        let Some(received) = received else { return Ok(false) };
        let (count, _) = received.map_err(why)?;
        // One that was sent again may come back twice.
        if into.get(..count) == Some(bytes) {
            return Ok(true);
        }
    }
}
