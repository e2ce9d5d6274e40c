//! One connection to the status page: requests one after the other, each answered in full.
//!
//! ```text
//!            first byte           whole head             sent, keep-alive
//!   idle ────────────────► head ────────────► answer ────────────────────► idle
//!    │ limit, end            │ limit, nonsense   │ sent, close  │ too slow
//!    ▼                       ▼                   ▼              ▼
//!   end ◄──── answer 408, 4xx, 5xx ──────────── end           reset
//!                                       FIN, wait a little for the other's
//! ```
//!
//! What a connection may take is bounded: a head of some KiB, an answer that all share, and time.

use super::CROWDED;
use super::status::Status as Machine;
use crate::platform::Pollux;
use crate::services::net::{NetError, TcpStream, after_ms};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use executor::{Instant, timeout};
use hal::x86_64::time::clock;
use protocols::http::{Framing, HEAD_MAX, Head, Persistence, Request, ResponseHead, Status};

/// How long a connection may wait for its next request.
const IDLE_MS: u64 = 60_000;
/// The same, while there are many.
const IDLE_CROWDED_MS: u64 = 5_000;
/// How long a request's head may take from its first byte on.
const HEAD_MS: u64 = 10_000;
/// How long not a byte of an answer may go out.
const STALL_MS: u64 = 10_000;
/// How long an answer may take.
const ANSWER_MS: u64 = 60_000;
/// How long the other side may take to see the end.
const LINGER_MS: u64 = 2_000;
/// Room for a head that is kept while a connection idles.
const IDLE_ROOM: usize = 1024;

const SERVER: &str = concat!("Pollux/", env!("CARGO_PKG_VERSION"));
/// The page itself.
const PAGE: &str = include_str!("page.html");
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// Answers are of the moment, and of what they say they are.
const ALWAYS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
/// The page needs nothing but itself and the figures.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; connect-src 'self'; img-src data:\r\n";
const ALLOW: &str = "Allow: GET, HEAD\r\n";

/// A connection.
pub struct Connection {
    stream: TcpStream,
    machine: Rc<Machine>,
    /// What has come and is not used yet: less than a head.
    received: Vec<u8>,
}

/// A request, as far as it matters here.
struct Asked {
    resource: Resource,
    method: Method,
    persistence: Persistence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Resource {
    Page,
    Figures,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Other,
}

/// What comes next on a connection.
enum Next {
    Request(Asked),
    Refuse(Status),
    End,
}

struct Answer {
    status: Status,
    content_type: &'static str,
    content: Content,
    more: &'static str,
}

enum Content {
    Fixed(&'static str),
    Shared(Rc<str>),
    Made(String),
}

/// The other side is gone, or too slow.
struct Lost;

impl Asked {
    fn new(request: &Request<'_>) -> Self {
        let resource = match request.path {
            "/" | "/index.html" => Resource::Page,
            "/status.json" => Resource::Figures,
            _ => Resource::None,
        };
        let method = match request.method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        // No body is of use here: where one comes, the connection ends behind the answer.
        let persistence = match request.framing {
            Framing::Length(0) => request.persistence,
            _ => Persistence::Close,
        };
        Self { resource, method, persistence }
    }
}

impl Answer {
    /// An answer whose text is its status.
    fn bare(status: Status, more: &'static str) -> Self {
        let content = Content::Made(format!("{status}\n"));
        Self { status, content_type: TEXT, content, more }
    }

    fn text(&self) -> &str {
        match &self.content {
            Content::Fixed(text) => text,
            Content::Shared(text) => text,
            Content::Made(text) => text,
        }
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: TcpStream, machine: Rc<Machine>) -> Self {
        Self { stream, machine, received: Vec::new() }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        loop {
            let (answer, method, persistence) = match self.next().await {
                Next::Request(asked) => {
                    (self.answer(&asked).await, asked.method, asked.persistence)
                }
                Next::Refuse(status) => (Answer::bare(status, ""), Method::Get, Persistence::Close),
                Next::End => break,
            };
            if self.send(&answer, method, persistence).await.is_err() {
                // Dropped, it is reset: what was not sent is not kept for it.
                return;
            }
            if persistence == Persistence::Close {
                break;
            }
        }
        self.end().await;
    }

    async fn next(&mut self) -> Next {
        if self.received.is_empty() {
            self.received.shrink_to(IDLE_ROOM);
            match timeout::<Pollux, _>(after_ms(self.idle_ms()), self.fill()).await {
                Ok(Ok(count)) if count > 0 => {}
                _ => return Next::End,
            }
        }
        let limit = after_ms(HEAD_MS);
        let mut is_worth_a_look = true;
        loop {
            if is_worth_a_look {
                match Request::parse(&self.received) {
                    Ok(Head::Whole { head, bytes }) => {
                        let asked = Asked::new(&head);
                        self.received.drain(..bytes);
                        return Next::Request(asked);
                    }
                    Ok(Head::Partial) => {}
                    Err(error) => return Next::Refuse(error.status()),
                }
            }
            let before = self.received.len();
            match timeout::<Pollux, _>(limit, self.fill()).await {
                Ok(Ok(0) | Err(_)) => return Next::End,
                Ok(Ok(_)) => {}
                Err(_) => return Next::Refuse(Status::REQUEST_TIMEOUT),
            }
            // A head ends with a line: one that comes byte by byte is not read anew for each.
            let is_full = self.received.len() >= HEAD_MAX;
            is_worth_a_look = is_full || self.received[before..].contains(&b'\n');
        }
    }

    fn idle_ms(&self) -> u64 {
        // Each connection has one.
        let open = Rc::strong_count(&self.machine);
        if open > CROWDED { IDLE_CROWDED_MS } else { IDLE_MS }
    }

    /// Receives more of a head; how many bytes, 0 at the end. There is room, as long as what there
    /// is was not refused.
    async fn fill(&mut self) -> Result<usize, NetError> {
        let received = &mut self.received;
        let taken = self.stream.read_with(|bytes| {
            let count = bytes.len().min(HEAD_MAX.saturating_sub(received.len()));
            received.extend_from_slice(&bytes[..count]);
            (count, count)
        });
        Ok(taken.await?.unwrap_or(0))
    }

    async fn answer(&self, asked: &Asked) -> Answer {
        match (asked.resource, asked.method) {
            (Resource::None, _) => Answer::bare(Status::NOT_FOUND, ""),
            (_, Method::Other) => Answer::bare(Status::METHOD_NOT_ALLOWED, ALLOW),
            (Resource::Page, _) => {
                let content = Content::Fixed(PAGE);
                Answer { status: Status::OK, content_type: HTML, content, more: POLICY }
            }
            (Resource::Figures, _) => {
                let content = Content::Shared(self.machine.json().await);
                Answer { status: Status::OK, content_type: JSON, content, more: "" }
            }
        }
    }

    async fn send(
        &self,
        answer: &Answer,
        method: Method,
        persistence: Persistence,
    ) -> Result<(), Lost> {
        let text = answer.text();
        let head = ResponseHead {
            status: answer.status,
            server: SERVER,
            unix_s: clock::wall_ns().map(|ns| ns / 1_000_000_000),
            content_type: answer.content_type,
            length: text.len() as u64,
            persistence,
            more: &format!("{ALWAYS}{}", answer.more),
        };
        let head = head.to_string();
        let limit = after_ms(ANSWER_MS);
        self.send_bytes(head.as_bytes(), limit).await?;
        if method != Method::Head {
            self.send_bytes(text.as_bytes(), limit).await?;
        }
        Ok(())
    }

    async fn send_bytes(&self, mut bytes: &[u8], limit: Instant) -> Result<(), Lost> {
        while !bytes.is_empty() {
            let soon = after_ms(STALL_MS).min(limit);
            let written = timeout::<Pollux, _>(soon, self.stream.write(bytes)).await;
            let written = written.map_err(|_| Lost)?.map_err(|_| Lost)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Ends this side, and reads what still comes for a little while: a connection that is given up
    /// with bytes unread is reset, and the answer with it.
    async fn end(mut self) {
        self.stream.shut_down();
        let drained = async {
            while let Ok(Some(())) = self.stream.read_with(|bytes| (bytes.len(), ())).await {
                executor::yield_now().await;
            }
        };
        let _ = timeout::<Pollux, _>(after_ms(LINGER_MS), drained).await;
    }
}
