//! One request and its answer, on the network core.

use super::{Answer, FetchError, PIECE, Piece};
use crate::platform::Pollux;
use crate::services::net::{Buffers, Net, NetError, TcpStream, after_ms};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::future::Future;
use executor::sync::mpsc::{Receiver, Sender};
use executor::timeout;
use protocols::http::{Body, Framing, HEAD_MAX, Head, Host, RequestHead, Response, Url};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// How long one address may take to accept a connection.
const CONNECT_S: u64 = 10;
/// How long a server may take to begin its answer.
const ANSWER_S: u64 = 60;
/// How long nothing may move.
const SILENCE_S: u64 = 30;
/// Most answers that only announce another (RFC 9110 section 15.2).
const INTERIM_MAX: usize = 8;
/// Who asks.
const AGENT: &str = concat!("Pollux/", env!("CARGO_PKG_VERSION"));

/// Gets what `url` names; the body goes into `pieces`, unless the answer is a redirection.
///
/// # Errors
/// It did not come, or not to its end.
pub async fn get(net: Net, url: &str, pieces: Sender<Piece>) -> Result<Answer, FetchError> {
    let url = Url::parse(url)?;
    let stream = connect(&net, &url).await?;
    let head = RequestHead { method: "GET", url, agent: AGENT, length: None }.to_string();
    write_all(&stream, head.as_bytes()).await?;
    receive(stream, &url, Some(&pieces)).await
}

/// Puts `length` bytes, which come through `pieces`, where `url` names. The answer's body is
/// forgotten.
///
/// # Errors
/// The server did not take them, or did not say so.
pub async fn put(
    net: Net,
    url: &str,
    length: u64,
    mut pieces: Receiver<Piece>,
) -> Result<Answer, FetchError> {
    let url = Url::parse(url)?;
    let stream = connect(&net, &url).await?;
    let head = RequestHead { method: "PUT", url, agent: AGENT, length: Some(length) }.to_string();
    write_all(&stream, head.as_bytes()).await?;
    let mut sent = 0;
    while sent < length {
        let piece = pieces.receive().await.ok_or(FetchError::Unwanted)?;
        match write_all(&stream, &piece).await {
            Ok(()) => sent += piece.len() as u64,
            // It may have answered before it has seen all.
            Err(error @ FetchError::Net(_)) => {
                return receive(stream, &url, None).await.map_err(|_| error);
            }
            Err(error) => return Err(error),
        }
    }
    receive(stream, &url, None).await
}

/// Connects to the first of the host's addresses that accepts.
async fn connect(net: &Net, url: &Url<'_>) -> Result<TcpStream, FetchError> {
    let addresses = match url.host {
        Host::V4(address) => Vec::from([IpAddress::Ipv4(address)]),
        Host::V6(address) => Vec::from([IpAddress::Ipv6(address)]),
        Host::Name(name) => net.resolve(name).await?,
    };
    let mut failed = NetError::NoSuchName;
    for addr in addresses {
        let to = IpEndpoint { addr, port: url.port };
        let connected = net.connect(to, Buffers::LARGE);
        match timeout::<Pollux, _>(after_ms(CONNECT_S * 1_000), connected).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = NetError::TimedOut,
        }
    }
    Err(failed.into())
}

/// `step`, which is to take no longer than so many seconds.
async fn within<T>(
    seconds: u64,
    step: impl Future<Output = Result<T, NetError>>,
) -> Result<T, FetchError> {
    let done = timeout::<Pollux, _>(after_ms(seconds * 1_000), step).await;
    Ok(done.map_err(|_| FetchError::Silent(seconds))??)
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), FetchError> {
    while !bytes.is_empty() {
        let written = within(SILENCE_S, stream.write(bytes)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Receives head and body of an answer.
async fn receive(
    stream: TcpStream,
    url: &Url<'_>,
    pieces: Option<&Sender<Piece>>,
) -> Result<Answer, FetchError> {
    let mut received = Vec::new();
    let (answer, framing) = head(&stream, url, &mut received).await?;
    let pieces = if answer.location.is_some() { None } else { pieces };
    body(&stream, framing, received, pieces).await?;
    Ok(answer)
}

/// Receives the head; what has come of the body is left in `received`.
async fn head(
    stream: &TcpStream,
    url: &Url<'_>,
    received: &mut Vec<u8>,
) -> Result<(Answer, Framing), FetchError> {
    let mut interim = 0;
    loop {
        if let Head::Whole { head, bytes } = Response::parse(received)? {
            let location = head.location.filter(|_| head.status.is_redirect());
            let location = location.map(|location| url.follow(location)).transpose()?;
            let answer = Answer {
                status: head.status,
                content_type: head.content_type.map(ToString::to_string),
                location: location.map(|target| target.to_string()),
            };
            let framing = head.framing;
            received.drain(..bytes);
            if !answer.status.is_interim() {
                return Ok((answer, framing));
            }
            interim += 1;
            if interim > INTERIM_MAX {
                return Err(FetchError::NoAnswer);
            }
            continue;
        }
        let more = within(
            ANSWER_S,
            stream.read_with(|bytes| {
                let count = bytes.len().min(HEAD_MAX.saturating_sub(received.len()));
                received.extend_from_slice(&bytes[..count]);
                (count, ())
            }),
        );
        more.await?.ok_or(FetchError::NoAnswer)?;
    }
}

/// Receives the body, the beginning of which is `received`.
async fn body(
    stream: &TcpStream,
    framing: Framing,
    received: Vec<u8>,
    pieces: Option<&Sender<Piece>>,
) -> Result<(), FetchError> {
    let mut body = Body::new(framing);
    let mut piece = Piece::new();
    unwrap(&mut body, &received, &mut piece)?;
    while !body.is_complete() {
        let room = PIECE.saturating_sub(piece.len());
        let read = within(
            SILENCE_S,
            stream.read_with(|bytes| {
                let bytes = &bytes[..bytes.len().min(room)];
                (bytes.len(), unwrap(&mut body, bytes, &mut piece))
            }),
        );
        match read.await? {
            Some(unwrapped) => unwrapped?,
            None => body.closed()?,
        }
        if piece.len() >= PIECE {
            hand_on(pieces, core::mem::take(&mut piece)).await?;
        }
    }
    hand_on(pieces, piece).await
}

/// Takes the data out of `bytes` and puts it into `piece`.
fn unwrap(body: &mut Body, mut bytes: &[u8], piece: &mut Piece) -> Result<(), FetchError> {
    while !bytes.is_empty() && !body.is_complete() {
        let part = body.feed(bytes)?;
        piece.extend_from_slice(part.data);
        bytes = &bytes[part.consumed..];
    }
    Ok(())
}

async fn hand_on(pieces: Option<&Sender<Piece>>, piece: Piece) -> Result<(), FetchError> {
    match pieces {
        Some(pieces) if !piece.is_empty() => {
            pieces.send(piece).await.map_err(|_| FetchError::Unwanted)
        }
        _ => Ok(()),
    }
}
