//! How far a socket is, and how its directions end, as words.

/// How far a socket, or a query, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Connecting, or waiting for a connection.
    Opening = 0,
    /// Bytes move.
    Open = 1,
    /// The service has nothing more to do with it.
    Over = 2,
}

impl State {
    /// The word.
    pub const fn to_word(self) -> u64 {
        self as u64
    }

    /// From a word. One that nobody writes reads as [`State::Over`].
    pub const fn from_word(word: u64) -> Self {
        match word {
            0 => Self::Opening,
            1 => Self::Open,
            _ => Self::Over,
        }
    }
}

/// How a direction of a socket has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it ought to: all was sent and acknowledged, or the peer has said that nothing follows.
    Done,
    /// Otherwise.
    Failed(SocketError),
}

const DONE: u64 = 1;
const FAILED: u64 = 0x100;

impl Ending {
    /// The word; zero stands for no ending.
    pub const fn to_word(self) -> u64 {
        match self {
            Self::Done => DONE,
            Self::Failed(error) => FAILED | error as u64,
        }
    }

    /// From a word. An error that this version does not know reads as [`SocketError::Gone`].
    pub fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => None,
            DONE => Some(Self::Done),
            _ => Some(Self::Failed(SocketError::from_code(word & !FAILED))),
        }
    }
}

/// What can become of a socket or a query, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[repr(u8)]
pub enum SocketError {
    /// Nobody listens there.
    #[error("connection refused: nobody listens there")]
    Refused = 1,
    /// No interface and no gateway leads there, or this machine has no address of that family.
    #[error("no way leads there, or no address of that family here")]
    Unreachable = 2,
    /// The peer did not answer in time. It may be tried again.
    #[error("the peer does not answer")]
    TimedOut = 3,
    /// The peer broke the connection off, or this machine had to.
    #[error("the connection was reset")]
    Reset = 4,
    /// Somebody else has this port.
    #[error("the port is in use")]
    PortInUse = 5,
    /// There are as many sockets as there may be. Try again later.
    #[error("too many sockets")]
    TooMany = 6,
    /// The name has no address.
    #[error("no such name, or it has no address")]
    NoSuchName = 7,
    /// It is no name, or too long.
    #[error("not a name")]
    BadName = 8,
    /// No name server is known, or none answers.
    #[error("no name server answers")]
    NoNameServer = 9,
    /// The address cannot be one of a peer.
    #[error("not an address of a peer")]
    BadAddress = 10,
    /// The socket's rings make no sense: the program's mistake.
    #[error("the socket's rings make no sense")]
    Corrupt = 11,
    /// No memory for it. Try again later.
    #[error("out of memory for the socket")]
    OutOfMemory = 12,
    /// The service, or the network, is no longer there.
    #[error("the network service is gone")]
    Gone = 13,
}

impl SocketError {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Reset,
        Self::PortInUse,
        Self::TooMany,
        Self::NoSuchName,
        Self::BadName,
        Self::NoNameServer,
        Self::BadAddress,
        Self::Corrupt,
        Self::OutOfMemory,
        Self::Gone,
    ];

    /// From its number. One that this version does not know reads as [`SocketError::Gone`]: it can
    /// only come from a newer kernel.
    pub fn from_code(code: u64) -> Self {
        let known = Self::ALL.iter().find(|error| **error as u64 == code);
        known.copied().unwrap_or(Self::Gone)
    }
}
