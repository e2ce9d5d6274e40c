//! Fetches what is at a URL: `run fetch URL --net`.
//!
//! Prints the answer's status, how many bytes its body has, their SHA-256, and how fast they came.
//! Ends with failure if there is no answer, or another than success. Redirections are told, not
//! followed.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use bench::http::{Body, Framing, Head, Host, RequestHead, Response, Status, Url};
use bench::println;
use bench::runtime::net::{Network, NetworkError, Setup, TcpStream};
use bench::runtime::{Env, ExitCode, clock};
use bench::socket_ring::SocketError;
use sha2::{Digest, Sha256};

bench::main!(main);

/// Bytes of the ring that the answer comes through.
const RING: u32 = 256 << 10;
/// Milliseconds to wait for an address.
const READY_MS: u64 = 10_000;
/// Who asks.
const AGENT: &str = concat!("Pollux/", env!("CARGO_PKG_VERSION"));

/// What went wrong, for people.
type Why = String;

fn why(error: impl fmt::Display) -> Why {
    error.to_string()
}

async fn main(mut env: Env) -> ExitCode {
    let Some(endpoint) = env.take_network() else {
        println!("no network: run fetch URL --net");
        return ExitCode::FAILURE;
    };
    let Some(url) = env.args().get(1).copied() else {
        println!("what? run fetch http://HOST[:PORT]/PATH --net");
        return ExitCode::FAILURE;
    };
    let fetched = match Network::new(endpoint) {
        Ok(network) => fetch(&network, url).await,
        Err(error) => Err(why(error)),
    };
    match fetched {
        Ok(Status(200..=299)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            println!("{url}: FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn fetch(network: &Network, url: &str) -> Result<Status, Why> {
    let url = Url::parse(url).map_err(why)?;
    // At the machine's start its address is perhaps still to come.
    network.is_ready(READY_MS).await;
    let stream = connect(network, url).await.map_err(why)?;
    let request = RequestHead { method: "GET", url, agent: AGENT, length: None }.to_string();
    stream.write_all(request.as_bytes()).await.map_err(why)?;
    let begun = clock::ticks();
    let answer = Answer::begin(&stream).await?;
    let status = answer.status;
    println!("{url}: {} {}", status.0, status.reason());
    if let Some(location) = &answer.location {
        println!("it is at {location}");
    }
    let (bytes, digest) = answer.body(&stream).await?;
    let ns = (clock::ticks() - begun).saturating_mul(1_000_000_000) / clock::ticks_per_second();
    let rate = bytes.saturating_mul(1_000_000_000) / ns.max(1) / 1000;
    println!("{bytes} bytes in {} ms: {}.{:03} MB/s", ns / 1_000_000, rate / 1000, rate % 1000);
    println!("sha256 {}", Hexadecimal(&digest));
    Ok(status)
}

/// To the first of the host's addresses that takes the connection.
async fn connect(network: &Network, url: Url<'_>) -> Result<TcpStream, NetworkError> {
    let addresses: Vec<IpAddr> = match url.host {
        Host::V4(address) => Vec::from([address.into()]),
        Host::V6(address) => Vec::from([address.into()]),
        Host::Name(name) => network.resolve(name).await?.as_slice().to_vec(),
    };
    let setup = Setup { from_network: RING, ..Setup::default() };
    let mut error = NetworkError::Socket(SocketError::NoSuchName);
    for address in addresses {
        match network.connect_with(SocketAddr::new(address, url.port), setup).await {
            Ok(stream) => return Ok(stream),
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// An answer whose head has come, and perhaps some of its body.
struct Answer {
    status: Status,
    framing: Framing,
    location: Option<String>,
    /// What came behind the head.
    begun: Vec<u8>,
}

impl Answer {
    /// Reads the head.
    async fn begin(stream: &TcpStream) -> Result<Self, Why> {
        let (mut bytes, mut some) = (Vec::new(), [0; 1024]);
        loop {
            // Of answers that only say to wait a bit there may be several.
            if let Head::Whole { head, bytes: length } = Response::parse(&bytes).map_err(why)? {
                let Response { status, framing, location, .. } = head;
                let location = location.map(String::from);
                bytes.drain(..length);
                if !matches!(status.0, 100..=199) {
                    return Ok(Self { status, framing, location, begun: bytes });
                }
                continue;
            }
            match stream.read(&mut some).await.map_err(why)? {
                0 => return Err("the connection ended before the answer's head did".into()),
                count => bytes.extend_from_slice(&some[..count]),
            }
        }
    }

    /// Reads the body: how many bytes it has, and their digest. They are digested where they lie in
    /// the socket's ring.
    async fn body(self, stream: &TcpStream) -> Result<(u64, [u8; 32]), Why> {
        let (mut body, mut digest, mut total) = (Body::new(self.framing), Sha256::new(), 0);
        let mut take = |body: &mut Body, bytes: &[u8]| {
            let mut rest = bytes;
            while !rest.is_empty() && !body.is_complete() {
                let piece = body.feed(rest).map_err(why)?;
                digest.update(piece.data);
                total += piece.data.len() as u64;
                rest = &rest[piece.consumed..];
            }
            Ok::<(), Why>(())
        };
        take(&mut body, &self.begun)?;
        while !body.is_complete() {
            let read = stream.read_with(|bytes| (bytes.len(), take(&mut body, bytes)));
            match read.await.map_err(why)? {
                Some(taken) => taken?,
                None => break,
            }
        }
        body.closed().map_err(why)?;
        Ok((total, digest.finalize().into()))
    }
}

/// Bytes as people write them.
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
