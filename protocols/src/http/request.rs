//! The head of a request: read by a server, written by a client (RFC 9112 sections 2 and 3).

use core::fmt::{self, Display};

use super::fields::{FieldError, Fields, NO_FIELDS};
use super::{Framing, HEAD_MAX, Host, HostHeader, Persistence, Status, Url};

/// What bytes from a connection are, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head<T> {
    /// The beginning of a head: more is needed.
    Partial,
    /// A whole head.
    Whole {
        /// What it says.
        head: T,
        /// How long it is, in bytes: the body begins there.
        bytes: usize,
    },
}

/// A request's head as a server needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, `HEAD`, …
    pub method: &'a str,
    /// The target's path, without query: `/status.json`; `*` of `OPTIONS *`.
    pub path: &'a str,
    /// How the body's end is found.
    pub framing: Framing,
    /// Whether the client goes on using the connection.
    pub persistence: Persistence,
}

/// Why a request is refused. [`RequestError::status`] is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum RequestError {
    /// Not HTTP.
    #[error("this is no HTTP request")]
    Malformed,
    /// HTTP/1.1 wants a `Host` field, exactly one.
    #[error("the field Host is missing, or there are several")]
    Host,
    /// Fields contradict each other.
    #[error("Content-Length and Transfer-Encoding contradict each other")]
    Framing,
    /// An unknown transfer coding.
    #[error("no transfer coding but chunked is known here")]
    Coding,
    /// Another version of HTTP.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// Longer than [`HEAD_MAX`], or more fields than [`super::FIELDS_MAX`].
    #[error("the head is longer than {HEAD_MAX} bytes, or has too many fields")]
    TooLarge,
}

impl RequestError {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        match self {
            Self::Malformed | Self::Host | Self::Framing => Status::BAD_REQUEST,
            Self::Coding => Status::NOT_IMPLEMENTED,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::TooLarge => Status::FIELDS_TOO_LARGE,
        }
    }
}

impl From<httparse::Error> for RequestError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::Version => Self::Version,
            httparse::Error::TooManyHeaders => Self::TooLarge,
            _ => Self::Malformed,
        }
    }
}

impl From<FieldError> for RequestError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Contradiction => Self::Framing,
            FieldError::Coding => Self::Coding,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads the head that `bytes` begin with.
    ///
    /// # Errors
    /// It is none, or one that is refused; nothing after it on the connection can be trusted.
    pub fn parse(bytes: &'a [u8]) -> Result<Head<Self>, RequestError> {
        let mut fields = NO_FIELDS;
        let mut request = httparse::Request::new(&mut fields);
        let window = &bytes[..bytes.len().min(HEAD_MAX)];
        let length = match request.parse(window)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if bytes.len() >= HEAD_MAX => {
                return Err(RequestError::TooLarge);
            }
            httparse::Status::Partial => return Ok(Head::Partial),
        };
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(RequestError::Malformed);
        };
        let minor = request.version.ok_or(RequestError::Version)?;
        let fields = Fields(request.headers);
        let hosts = fields.all("host").count();
        if hosts > 1 || (hosts == 0 && minor > 0) {
            return Err(RequestError::Host);
        }
        let head = Self {
            method,
            path: path(target).ok_or(RequestError::Malformed)?,
            framing: fields.framing()?.unwrap_or(Framing::Length(0)),
            persistence: fields.persistence(minor),
        };
        Ok(Head::Whole { head, bytes: length })
    }
}

/// The path in a request's target: origin form, absolute form, or the asterisk (RFC 9112 3.2).
fn path(target: &str) -> Option<&str> {
    let path = if target.starts_with('/') || target == "*" {
        target
    } else {
        let rest = target.split_once("://")?.1;
        rest.find(['/', '?']).map_or("/", |at| &rest[at..])
    };
    let path = path.split(['?', '#']).next()?;
    Some(if path.is_empty() { "/" } else { path })
}

/// A request's head as a client sends it. Displays as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// What is asked for, and of whom.
    pub url: Url<'a>,
    /// Who asks: product and version.
    pub agent: &'a str,
    /// Bytes of body that follow, if one does.
    pub length: Option<u64>,
}

impl Display for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Url { host, port, path, .. } = self.url;
        let slash = if path.starts_with('/') { "" } else { "/" };
        write!(f, "{} {slash}{path} HTTP/1.1\r\n", self.method)?;
        write!(f, "Host: {}\r\n", HostHeader { host, port })?;
        write!(f, "User-Agent: {}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n", self.agent)?;
        if let Some(length) = self.length {
            write!(f, "Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n")?;
        }
        f.write_str("Connection: close\r\n\r\n")
    }
}

impl Display for HostHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::V6(address) => write!(f, "[{address}]")?,
            Host::V4(address) => write!(f, "{address}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        if self.port == Url::DEFAULT_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::{String, ToString};

    fn whole(text: &str) -> Request<'_> {
        match Request::parse(text.as_bytes()) {
            Ok(Head::Whole { head, bytes }) if bytes <= text.len() => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn refused(text: &str) -> u16 {
        Request::parse(text.as_bytes()).unwrap_err().status().0
    }

    #[test]
    fn what_browsers_send() {
        let head = whole("GET /status.json?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nrest");
        assert_eq!((head.method, head.path), ("GET", "/status.json"));
        assert_eq!((head.framing, head.persistence), (Framing::Length(0), Persistence::KeepAlive));
        assert_eq!(whole("GET http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
        assert_eq!(whole("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n").path, "/b");
        assert_eq!(whole("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
        assert_eq!(whole("GET / HTTP/1.0\r\n\r\n").persistence, Persistence::Close);
        let kept = whole("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").persistence;
        assert_eq!(kept, Persistence::KeepAlive);
        let closed = whole("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n").persistence;
        assert_eq!(closed, Persistence::Close);
        let head = whole("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 7\r\n\r\n");
        assert_eq!(head.framing, Framing::Length(7));
        let head = whole("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(head.framing, Framing::Chunked);
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        assert_eq!(refused("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(refused("\x16\x03\x01\x02"), 400);
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        for (fields, status) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ] {
            assert_eq!(refused(&(String::from(head) + fields + "\r\n")), status, "{fields}");
        }
        let long = String::from(head) + "X: " + &"a".repeat(HEAD_MAX) + "\r\n\r\n";
        assert_eq!(refused(&long), 431);
        let many = String::from(head) + &"X: y\r\n".repeat(super::super::FIELDS_MAX) + "\r\n";
        assert_eq!(refused(&many), 431);
        assert_eq!(Request::parse(head.as_bytes()), Ok(Head::Partial));
        assert_eq!(Request::parse(b""), Ok(Head::Partial));
    }

    #[test]
    fn a_client_is_understood_by_a_server() {
        let url = Url::parse("http://[::1]:8080?q").unwrap();
        let head = RequestHead { method: "PUT", url, agent: "x/1", length: Some(3) };
        let text = head.to_string();
        assert!(text.contains("Host: [::1]:8080\r\n"), "{text}");
        let read = whole(&text);
        assert_eq!((read.method, read.path), ("PUT", "/"));
        assert_eq!((read.framing, read.persistence), (Framing::Length(3), Persistence::Close));
    }
}
