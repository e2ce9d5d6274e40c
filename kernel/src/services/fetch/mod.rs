//! An HTTP client: gets and puts what a URL names. Works on the network core; what is received and
//! sent passes through a channel of a few pieces, so that hashing is another core's work.
//!
//! ```text
//!   shell's core:    hash ◄── pieces ── get          fill, hash ── pieces ──► put
//!   network core:               connection ◄── resolve, connect ──► connection
//! ```
//!
//! Dropping either side ends both. Every step has a time limit; redirections are followed by who
//! asks ([`Answer::location`]).

mod exchange;

use super::net::NetError;
use alloc::string::String;
use alloc::vec::Vec;
use protocols::http::{BodyError, ResponseError, Status, UrlError};
use thiserror_no_std::Error;

pub use exchange::{get, put};

/// Bytes of a piece.
pub const PIECE: usize = 64 << 10;
/// Pieces on their way between the cores.
pub const PIECES: usize = 4;

/// Part of a body.
pub type Piece = Vec<u8>;

/// What a server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// What the body is, if the server says.
    pub content_type: Option<String>,
    /// Where to look instead: a whole URL.
    pub location: Option<String>,
}

/// Why there is no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The URL is none.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// The network failed.
    #[error("{0}")]
    Net(#[from] NetError),
    /// The answer cannot be used.
    #[error("{0}")]
    Answer(#[from] ResponseError),
    /// The body is broken.
    #[error("{0}")]
    Body(#[from] BodyError),
    /// The connection ended without an answer.
    #[error("the server ended the connection without an answer")]
    NoAnswer,
    /// Nothing came, or could be sent, for too long.
    #[error("the server is silent: given up after {0} s")]
    Silent(u64),
    /// Whoever wanted it has gone.
    #[error("given up")]
    Unwanted,
}
