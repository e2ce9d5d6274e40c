//! The shell's `http get` and `http put`: fetches and sends, and says how much, how fast, and what
//! the SHA-256 of it is.

use crate::platform::Pollux;
use crate::services::console;
use crate::services::fetch::{self, Answer, FetchError, PIECE, PIECES, Piece};
use crate::services::net::{self, NetError};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{self, Display};
use executor::sync::mpsc::{self, Receiver, Sender};
use executor::{Instant, Platform};
use futures_util::future::join;
use hal::x86_64::time::clock::{ticks_per_second, ticks_to_ns};
use kernel_text::quantity::{Bytes, BytesPerSecond, Count, Nanoseconds};
use kernel_text::shown::{Lines, Shown};
use protocols::http::Url;
use protocols::pattern;
use sha2::{Digest, Sha256};
use thiserror_no_std::Error;

/// Redirections that are followed.
const REDIRECTIONS_MAX: usize = 5;
/// Longest text that is shown.
const SHOWN_MAX: usize = 4 << 10;
/// Seconds between two lines about how far it is.
const REMIND_S: u64 = 5;
/// Bytes hashed in one go: others have turns in between.
const TURN: usize = 8 << 10;
/// Whose bytes are sent.
const SEED: u64 = 0;

/// Why it did not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// A word is no number.
    #[error("`{0}` is no number of bytes: digits, then k, M or G if you like")]
    NoNumber(String),
    /// The server sends from one place to another without end.
    #[error("more than {REDIRECTIONS_MAX} redirections: given up at {0}")]
    Redirections(String),
    /// It could not be fetched or sent.
    #[error("{0}: {1}")]
    Fetch(String, FetchError),
}

/// What has passed.
struct Passed {
    what: &'static str,
    bytes: u64,
    sum: Sha256,
    begun: Instant,
    said: Instant,
}

impl Passed {
    fn new(what: &'static str) -> Self {
        let now = Pollux::now();
        Self { what, bytes: 0, sum: Sha256::new(), begun: now, said: now }
    }

    async fn add(&mut self, piece: &[u8]) {
        for part in piece.chunks(TURN) {
            self.sum.update(part);
            executor::yield_now().await;
        }
        self.bytes += piece.len() as u64;
        if Pollux::now().since(self.said) > REMIND_S * ticks_per_second() {
            self.said = Pollux::now();
            console::say(format_args!("http: {} so far", Bytes(self.bytes)));
        }
    }

    fn say(self) {
        let Self { what, bytes, sum, begun, .. } = self;
        let span = ticks_to_ns(Pollux::now().since(begun)).max(1);
        let rate = u128::from(bytes) * 1_000_000_000 / u128::from(span);
        let rate = BytesPerSecond(u64::try_from(rate).unwrap_or(u64::MAX));
        let span = Nanoseconds(span);
        console::say(format_args!("http: {} bytes {what} in {span}, {rate}", Count(bytes)));
        console::say(format_args!("http: SHA-256 {}", Hexadecimal(&sum.finalize())));
    }
}

struct Hexadecimal<'a>(&'a [u8]);

impl Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `http get URL`.
pub async fn get(url: &str) -> Result<(), HttpError> {
    let mut url = String::from(url);
    for _ in 0..=REDIRECTIONS_MAX {
        let mut passed = Passed::new("received");
        let (sender, receiver) = mpsc::channel(PIECES);
        let asked = url.clone();
        let fetched = net::on(move |net| async move { fetch::get(net, &asked, sender).await });
        let (fetched, beginning) = join(fetched, hash(receiver, &mut passed)).await;
        let answer = answered(fetched, &url)?;
        if let Some(target) = answer.location {
            console::say(format_args!("http: {}, to {}", answer.status, shown(&target)));
            url = target;
            continue;
        }
        let kind = answer.content_type.as_deref().unwrap_or("of no type");
        console::say(format_args!("http: {}, {}", answer.status, shown(kind)));
        let (bytes, is_text) = (passed.bytes, is_text(kind));
        passed.say();
        if is_text && bytes <= SHOWN_MAX as u64 {
            let mut lines = Lines::new();
            lines.write(&beginning, |line| console::say(line));
            lines.flush(|line| console::say(line));
        }
        return Ok(());
    }
    Err(HttpError::Redirections(url))
}

/// `http put URL BYTES`.
pub async fn put(url: &str, bytes: &str) -> Result<(), HttpError> {
    let length = number(bytes).ok_or_else(|| HttpError::NoNumber(bytes.into()))?;
    // Before anything is made that nobody wants.
    Url::parse(url).map_err(|error| HttpError::Fetch(url.into(), error.into()))?;
    let mut passed = Passed::new("sent");
    let (sender, receiver) = mpsc::channel(PIECES);
    let asked = String::from(url);
    let put = net::on(move |net| async move { fetch::put(net, &asked, length, receiver).await });
    let (put, ()) = join(put, fill(sender, length, &mut passed)).await;
    let answer = answered(put, url)?;
    match answer.location {
        Some(target) => {
            console::say(format_args!("http: {}, to {}", answer.status, shown(&target)));
        }
        None => console::say(format_args!("http: {}", answer.status)),
    }
    passed.say();
    Ok(())
}

fn answered(
    fetched: Result<Result<Answer, FetchError>, net::NoNetwork>,
    url: &str,
) -> Result<Answer, HttpError> {
    let fetched = fetched.map_err(|error| FetchError::from(NetError::from(error)));
    fetched.and_then(|fetched| fetched).map_err(|error| HttpError::Fetch(url.into(), error))
}

/// Hashes all that comes; its beginning, as far as it could be shown.
async fn hash(mut pieces: Receiver<Piece>, passed: &mut Passed) -> Vec<u8> {
    let mut beginning = Vec::new();
    while let Some(piece) = pieces.receive().await {
        let room = SHOWN_MAX.saturating_sub(beginning.len());
        beginning.extend_from_slice(&piece[..piece.len().min(room)]);
        passed.add(&piece).await;
    }
    beginning
}

/// Makes what is sent.
async fn fill(pieces: Sender<Piece>, length: u64, passed: &mut Passed) {
    while passed.bytes < length {
        let count = (length - passed.bytes).min(PIECE as u64) as usize;
        let mut piece = vec![0; count];
        pattern::fill(SEED, passed.bytes, &mut piece);
        passed.add(&piece).await;
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

fn is_text(kind: &str) -> bool {
    ["text/", "application/json", "application/xml"].iter().any(|text| kind.starts_with(text))
}

/// Bytes, in thousands, millions or thousand millions if a letter says so.
fn number(word: &str) -> Option<u64> {
    let (digits, scale) = match word.strip_suffix(['k', 'M', 'G']) {
        Some(digits) if word.ends_with('k') => (digits, 1_000),
        Some(digits) if word.ends_with('M') => (digits, 1_000_000),
        Some(digits) => (digits, 1_000_000_000),
        None => (word, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

/// What a server says, fit to be seen.
fn shown(text: &str) -> Shown<'_> {
    Shown(text.as_bytes())
}
