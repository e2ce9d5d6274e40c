//! The head of a response: read by a client, written by a server (RFC 9112 section 4).

use core::fmt::{self, Display};

use super::fields::{FieldError, Fields, NO_FIELDS};
use super::{Framing, HEAD_MAX, Head, Persistence, Status};
use crate::calendar::HttpDate;

/// A response's head as a client needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// How it went.
    pub status: Status,
    /// How the body's end is found.
    pub framing: Framing,
    /// Where to look instead, or where it lies now.
    pub location: Option<&'a str>,
    /// What the body is: `text/html; charset=utf-8`.
    pub content_type: Option<&'a str>,
}

/// Why a response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum ResponseError {
    /// Not HTTP.
    #[error("the server does not answer in HTTP/1.x")]
    Malformed,
    /// Fields contradict each other.
    #[error("the server contradicts itself about the body's length")]
    Framing,
    /// An unknown transfer coding.
    #[error("the server uses a transfer coding other than chunked")]
    Coding,
    /// Longer than [`HEAD_MAX`], or more fields than [`super::FIELDS_MAX`].
    #[error("the answer's head is longer than {HEAD_MAX} bytes, or has too many fields")]
    TooLarge,
}

impl From<FieldError> for ResponseError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Contradiction => Self::Framing,
            FieldError::Coding => Self::Coding,
        }
    }
}

impl<'a> Response<'a> {
    /// Reads the head that `bytes` begin with: of an answer to anything but `HEAD` and `CONNECT`.
    ///
    /// # Errors
    /// It is none, or one whose body's end cannot be found.
    pub fn parse(bytes: &'a [u8]) -> Result<Head<Self>, ResponseError> {
        let mut fields = NO_FIELDS;
        let mut response = httparse::Response::new(&mut fields);
        let window = &bytes[..bytes.len().min(HEAD_MAX)];
        let length = match response.parse(window) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(Head::Partial),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(ResponseError::TooLarge);
            }
            Err(_) => return Err(ResponseError::Malformed),
        };
        let status = Status(response.code.ok_or(ResponseError::Malformed)?);
        let fields = Fields(response.headers);
        let framing = match status.0 {
            100..200 | 204 | 304 => Framing::Length(0),
            _ => fields.framing()?.unwrap_or(Framing::UntilClose),
        };
        let location = fields.text("location");
        let content_type = fields.text("content-type");
        let head = Self { status, framing, location, content_type };
        Ok(Head::Whole { head, bytes: length })
    }
}

/// A response's head as a server sends it. Displays as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// How it went.
    pub status: Status,
    /// Who answers: product and version.
    pub server: &'a str,
    /// Seconds since 1970, where somebody knows.
    pub unix_s: Option<u64>,
    /// What the body is.
    pub content_type: &'a str,
    /// Bytes of the body (whether or not it follows: see `HEAD`).
    pub length: u64,
    /// Whether the connection goes on.
    pub persistence: Persistence,
    /// More fields, each a whole line with its end.
    pub more: &'a str,
}

impl Display for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/1.1 {} {}\r\n", self.status.0, self.status.reason())?;
        write!(f, "Server: {}\r\n", self.server)?;
        if let Some(unix_s) = self.unix_s {
            write!(f, "Date: {}\r\n", HttpDate(unix_s))?;
        }
        write!(f, "Content-Type: {}\r\nContent-Length: {}\r\n", self.content_type, self.length)?;
        f.write_str(self.more)?;
        // HTTP/1.0 closes unless told otherwise, HTTP/1.1 stays open: each is told.
        f.write_str(match self.persistence {
            Persistence::KeepAlive => "Connection: keep-alive\r\n\r\n",
            Persistence::Close => "Connection: close\r\n\r\n",
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    fn whole(text: &str) -> Response<'_> {
        match Response::parse(text.as_bytes()) {
            Ok(Head::Whole { head, .. }) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn what_servers_send() {
        let head =
            whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type:  text/plain \r\n\r\n");
        assert_eq!((head.status, head.framing), (Status::OK, Framing::Length(5)));
        assert_eq!(head.content_type, Some("text/plain"));
        assert_eq!(whole("HTTP/1.0 200\r\n\r\n").framing, Framing::UntilClose);
        let head = whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n");
        assert_eq!(head.framing, Framing::Chunked);
        let head = whole("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(head.framing, Framing::Length(0), "a 304 has no body whatever it says");
        let head = whole("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n");
        assert!(head.status.is_redirect());
        assert_eq!(head.location, Some("/elsewhere"));
    }

    #[test]
    fn what_cannot_be_used() {
        let error = |text: &str| Response::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error("SSH-2.0-OpenSSH\r\n"), ResponseError::Malformed);
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(error(both), ResponseError::Framing);
        let gzip = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n";
        assert_eq!(error(gzip), ResponseError::Coding);
    }

    #[test]
    fn a_server_is_understood_by_a_client() {
        let head = ResponseHead {
            status: Status::METHOD_NOT_ALLOWED,
            server: "Pollux/1",
            unix_s: Some(784_111_777),
            content_type: "text/plain",
            length: 12,
            persistence: Persistence::Close,
            more: "Allow: GET, HEAD\r\n",
        };
        let text = head.to_string();
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
        assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{text}");
        assert!(text.ends_with("\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"), "{text}");
        let read = whole(&text);
        assert_eq!((read.status.0, read.framing), (405, Framing::Length(12)));
    }
}
