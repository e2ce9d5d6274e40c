//! Status codes (RFC 9110 section 15).

use core::fmt::{self, Display};

/// A status code. Displays as code and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// 200.
    pub const OK: Self = Self(200);
    /// 400: not HTTP, or contradicting itself.
    pub const BAD_REQUEST: Self = Self(400);
    /// 404.
    pub const NOT_FOUND: Self = Self(404);
    /// 405: the resource is there, and cannot be treated so.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// 408: the request did not come in time.
    pub const REQUEST_TIMEOUT: Self = Self(408);
    /// 431 (RFC 6585 section 5): the head is too long.
    pub const FIELDS_TOO_LARGE: Self = Self(431);
    /// 501: the message comes in a coding nobody knows here.
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// 503: no resources for it now.
    pub const UNAVAILABLE: Self = Self(503);
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// Its usual words; empty for codes that this end neither sends nor often sees.
    pub const fn reason(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            200 => "OK",
            201 => "Created",
            204 => "No Content",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "",
        }
    }

    /// 1xx: another response follows.
    pub const fn is_interim(self) -> bool {
        self.0 / 100 == 1
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 / 100 == 2
    }

    /// Says where to look instead: the codes whose `Location` is followed.
    pub const fn is_redirect(self) -> bool {
        matches!(self.0, 301 | 302 | 303 | 307 | 308)
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}
