//! HTTP/1.1 (RFC 9110, RFC 9112), both ends: URLs, heads, bodies. Pure: bytes in, meaning out.
//!
//! ```text
//!   server:  bytes ─► Request::parse ─► Body (to be skipped)   ResponseHead ─► bytes
//!   client:  Url ─► RequestHead ─► bytes                       bytes ─► Response::parse ─► Body
//! ```
//!
//! Heads are read by the crate `httparse`, within [`HEAD_MAX`] bytes and [`FIELDS_MAX`] fields;
//! what the fields mean for a message's length and for the connection is decided here, and where
//! two of them disagree the message is refused (RFC 9112 section 6.3).

mod body;
mod fields;
#[cfg(test)]
mod fuzz;
mod request;
mod response;
mod status;
mod url;

pub use body::{Body, BodyError, Piece};
pub use fields::{Framing, Persistence};
pub use request::{Head, Request, RequestError, RequestHead};
pub use response::{Response, ResponseError, ResponseHead};
pub use status::Status;
pub use url::{Host, HostHeader, Target, Url, UrlError};

/// Longest head, in bytes, with the empty line that ends it.
pub const HEAD_MAX: usize = 8 << 10;
/// Most fields in a head.
pub const FIELDS_MAX: usize = 64;
