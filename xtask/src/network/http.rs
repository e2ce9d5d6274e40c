//! A small HTTP/1.1 server for the guest to fetch from and to upload to.
//!
//! `GET /pattern/SEED/BYTES` gives that many bytes of `protocols::pattern`; what is sent to
//! `PUT` or `POST` `/…` is not kept but hashed (SHA-256). One thread a connection, one request each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// A silent client is left after this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest line of a request's head, and most lines.
const LINE: u64 = 8192;
const LINES: usize = 100;
/// Bytes of a file at once.
const PIECE: usize = 64 << 10;

/// What was sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The path it was sent to.
    pub path: String,
    /// How many bytes came.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub digest: String,
}

/// The server; runs until this tool ends.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    uploads: Mutex<Vec<Upload>>,
    /// Bytes of files given away.
    sent: AtomicU64,
}

impl Server {
    /// Listens at `address`; port 0 is any.
    pub fn start(address: (&str, u16)) -> Result<Self> {
        let listener = TcpListener::bind(address).context("cannot listen for HTTP")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // Who hangs up early is told so by its own side.
                thread::spawn(move || serve(&stream, &shared).is_ok());
            }
        });
        Ok(Self { address, shared })
    }

    /// What came for `path` last.
    pub fn uploaded(&self, path: &str) -> Option<Upload> {
        let uploads = self.shared.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.iter().rev().find(|upload| upload.path == path).cloned()
    }

    /// How many bytes of files it has given to all who asked, so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Relaxed)
    }
}

/// SHA-256 of `bytes` bytes of the pattern, in hexadecimal digits.
pub fn pattern_digest(seed: u64, bytes: u64) -> String {
    let mut hash = Sha256::new();
    let _ = pattern(seed, bytes, |piece| {
        hash.update(piece);
        Ok(())
    });
    hexadecimal(&hash.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives `bytes` bytes of the pattern to `take`, in pieces.
fn pattern(
    seed: u64,
    bytes: u64,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    for at in (0..bytes).step_by(PIECE) {
        let length = (bytes - at).min(PIECE as u64) as usize;
        protocols::pattern::fill(seed, at, &mut piece[..length]);
        take(&piece[..length])?;
    }
    Ok(())
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    /// `Content-Length`.
    bytes: Option<u64>,
    /// `Expect: 100-continue`.
    waits: bool,
}

fn head(reader: &mut impl BufRead) -> Result<Request> {
    let mut line = || -> Result<String> {
        let mut text = String::new();
        reader.by_ref().take(LINE).read_line(&mut text)?;
        if !text.ends_with('\n') {
            bail!("the head ends in the middle, or has too long a line");
        }
        Ok(text.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        bail!("no request: {first}");
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut request = Request { method, path, bytes: None, waits: false };
    for _ in 0..LINES {
        let field = line()?;
        if field.is_empty() {
            return Ok(request);
        }
        let (name, value) = field.split_once(':').context("a header without a colon")?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => request.bytes = Some(value.parse()?),
            ("expect", value) => request.waits = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    bail!("too many headers")
}

fn serve(stream: &TcpStream, shared: &Shared) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::with_capacity(PIECE, stream);
    let mut writer = stream;
    let request = head(&mut reader)?;
    match (request.method.as_str(), request.bytes) {
        ("GET" | "HEAD", _) => match file(&request.path) {
            Some((seed, bytes)) => {
                respond(writer, "200 OK", bytes)?;
                if request.method == "GET" {
                    pattern(seed, bytes, |piece| {
                        writer.write_all(piece)?;
                        shared.sent.fetch_add(piece.len() as u64, Relaxed);
                        Ok(())
                    })?;
                }
            }
            None => text(writer, "404 Not Found", "only /pattern/SEED/BYTES is here\n")?,
        },
        ("PUT" | "POST", Some(bytes)) => {
            if request.waits {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let mut hash = Sha256::new();
            let mut piece = vec![0; PIECE];
            let mut left = bytes;
            while left > 0 {
                let most = left.min(PIECE as u64) as usize;
                let count = reader.read(&mut piece[..most])?;
                if count == 0 {
                    bail!("the upload ends {left} bytes early");
                }
                hash.update(&piece[..count]);
                left -= count as u64;
            }
            let digest = hexadecimal(&hash.finalize());
            let upload = Upload { path: request.path, bytes, digest: digest.clone() };
            shared.uploads.lock().unwrap_or_else(PoisonError::into_inner).push(upload);
            text(writer, "200 OK", &format!("{digest}\n"))?;
        }
        ("PUT" | "POST", None) => text(writer, "411 Length Required", "how long is it?\n")?,
        _ => text(writer, "405 Method Not Allowed", "GET, HEAD, PUT or POST\n")?,
    }
    Ok(())
}

/// Seed and length that a path names.
fn file(path: &str) -> Option<(u64, u64)> {
    let (seed, bytes) = path.strip_prefix("/pattern/")?.split_once('/')?;
    Some((seed.parse().ok()?, bytes.parse().ok()?))
}

fn respond(mut writer: impl Write, status: &str, bytes: u64) -> std::io::Result<()> {
    write!(writer, "HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n")
}

fn text(mut writer: impl Write, status: &str, text: &str) -> std::io::Result<()> {
    respond(&mut writer, status, text.len() as u64)?;
    writer.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(server: &Server, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_and_uploads() {
        let server = Server::start(("127.0.0.1", 0)).unwrap();
        let answer = said(&server, b"GET /pattern/7/100001 HTTP/1.1\r\nHost: x\r\n\r\n");
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n"));
        assert_eq!(answer.len() - body, 100_001);
        assert_eq!(protocols::pattern::check(7, 0, &answer[body..]), None);

        let mut request = b"PUT /sink HTTP/1.1\r\ncontent-length: 100001\r\n\r\n".to_vec();
        request.extend_from_slice(&answer[body..]);
        let answer = said(&server, &request);
        let digest = pattern_digest(7, 100_001);
        assert!(String::from_utf8_lossy(&answer).ends_with(&format!("{digest}\n")));
        let upload = Upload { path: "/sink".to_owned(), bytes: 100_001, digest };
        assert_eq!(server.uploaded("/sink"), Some(upload));
        assert_eq!(server.uploaded("/other"), None);

        assert!(said(&server, b"GET / HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 404 "));
        assert!(said(&server, b"PUT / HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 411 "));
        assert!(said(&server, b"TRACE / HTTP/1.1\r\n\r\n").starts_with(b"HTTP/1.1 405 "));
    }

    #[test]
    fn digests_are_of_the_bytes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(pattern_digest(1, 0), empty);
        assert_ne!(pattern_digest(1, 8), pattern_digest(2, 8));
    }

    #[test]
    fn bad_heads_are_refused() {
        for bad in ["", "GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
            assert!(head(&mut bad.as_bytes()).is_err(), "{bad}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(10_000));
        assert!(head(&mut long.as_bytes()).is_err());
        let endless = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
        assert!(head(&mut endless.as_bytes()).is_err());
    }
}
