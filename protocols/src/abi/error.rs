//! What a system call can refuse, and how that travels in `rax`.

/// Why a system call did nothing. Each says what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[repr(u8)]
pub enum Error {
    /// The number in `rax` names no call of this ABI.
    #[error("no such system call")]
    NoSuchCall = 1,
    /// The handle names no live capability of this process: never did, dropped, revoked, or of a
    /// stale generation. So is told, too, who waits where a revoke took away the right to.
    #[error("bad handle")]
    BadHandle = 2,
    /// The handle names an object of another kind than the call works on.
    #[error("handle names another kind of object")]
    WrongKind = 3,
    /// The capability lacks the right this call needs, or the endpoint takes no capabilities.
    #[error("capability lacks the right")]
    NotPermitted = 4,
    /// A pointer or range is not (wholly) user memory mapped for this access.
    #[error("bad address")]
    BadAddress = 5,
    /// An argument is out of its documented range; retrying unchanged cannot help.
    #[error("invalid argument")]
    InvalidArgument = 6,
    /// No memory: physical frames, or this process's limit of them ([`super::start::Limits`]), or
    /// what is left for kernel objects.
    #[error("out of memory")]
    OutOfMemory = 7,
    /// A limit is reached: of this process (handles, threads, messages, address ranges), or of all
    /// together (processes).
    #[error("limit reached")]
    LimitReached = 8,
    /// The other side is gone: endpoint destroyed, receiver exited before replying.
    #[error("peer is gone")]
    PeerGone = 9,
    /// The deadline came first.
    #[error("timed out")]
    TimedOut = 10,
    /// The thread has no caller to reply to.
    #[error("nobody to reply to")]
    NoCaller = 11,
    /// The range overlaps one that is mapped already, or names one that is not.
    #[error("address range conflict")]
    RangeConflict = 12,
    /// The program image can't be run; the kernel log says why.
    #[error("bad program image")]
    BadImage = 13,
    /// It would have to wait and the call says not to.
    #[error("would block")]
    WouldBlock = 14,
    /// This kernel or machine can't do it.
    #[error("not supported")]
    NotSupported = 15,
}

impl Error {
    /// The error of a code as found in `-rax`.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::NoSuchCall,
            2 => Self::BadHandle,
            3 => Self::WrongKind,
            4 => Self::NotPermitted,
            5 => Self::BadAddress,
            6 => Self::InvalidArgument,
            7 => Self::OutOfMemory,
            8 => Self::LimitReached,
            9 => Self::PeerGone,
            10 => Self::TimedOut,
            11 => Self::NoCaller,
            12 => Self::RangeConflict,
            13 => Self::BadImage,
            14 => Self::WouldBlock,
            15 => Self::NotSupported,
            _ => return None,
        })
    }

    /// `rax` for this error.
    pub const fn to_raw(self) -> u64 {
        (self as u8 as i64).wrapping_neg() as u64
    }
}

/// A result as `rax`. Values keep to 63 bits; a larger one would read as an error.
pub const fn encode(result: Result<u64, Error>) -> u64 {
    match result {
        Ok(value) => value,
        Err(error) => error.to_raw(),
    }
}

/// `rax` as a result. A negative value that is no known code reads as [`Error::NotSupported`]:
/// it can only come from a newer kernel.
pub const fn decode(rax: u64) -> Result<u64, Error> {
    if (rax as i64) >= 0 {
        return Ok(rax);
    }
    let code = rax.wrapping_neg();
    if code > u8::MAX as u64 {
        return Err(Error::NotSupported);
    }
    match Error::from_code(code as u8) {
        Some(error) => Err(error),
        None => Err(Error::NotSupported),
    }
}
