//! `http` URLs (RFC 3986, RFC 9110 section 4.2.1), and where a `Location` leads.

use core::fmt::{self, Display};
use core::net::{Ipv4Addr, Ipv6Addr};

/// Longest URL, in bytes.
const URL_MAX: usize = 2048;
/// Longest host name, in bytes (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;

/// Who is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in a URL it stands in brackets.
    V6(Ipv6Addr),
    /// A name for DNS to look up.
    Name(&'a str),
}

/// Host and port as the field `Host` and URLs show them: the port only where it is not 80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostHeader<'a> {
    /// Who.
    pub host: Host<'a>,
    /// At which port.
    pub port: u16,
}

/// A URL, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// Who is to be asked.
    pub host: Host<'a>,
    /// TCP port.
    pub port: u16,
    /// Path and query, which go to the server as they are. Without its first slash if the URL has
    /// none: `http://host?query`.
    pub path: &'a str,
}

/// Why a text is no URL that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum UrlError {
    /// It does not begin with `http://`.
    #[error("a URL begins with http://")]
    Scheme,
    /// It begins with `https://`.
    #[error("https is not spoken here: only http")]
    Tls,
    /// The host is missing or malformed.
    #[error(
        "the URL's host is neither a name, nor an IPv4 address, nor an IPv6 address in brackets"
    )]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the URL's port is no number from 1 to 65535")]
    Port,
    /// `user@host`.
    #[error("user names in URLs are not supported")]
    User,
    /// A character that cannot stand in a URL: a space, a control character, a letter beyond
    /// ASCII.
    #[error("the URL holds a character that has to be written as %XX")]
    Character,
    /// Longer than anybody needs.
    #[error("the URL is longer than {URL_MAX} bytes")]
    TooLong,
}

impl<'a> Url<'a> {
    /// The port of URLs that name none.
    pub const DEFAULT_PORT: u16 = 80;

    /// Takes a URL apart. What follows a `#` is for the reader of the document and left out.
    ///
    /// # Errors
    /// It is none, or of a kind that is not supported.
    pub fn parse(text: &'a str) -> Result<Self, UrlError> {
        if text.len() > URL_MAX {
            return Err(UrlError::TooLong);
        }
        let text = text.split('#').next().unwrap_or("");
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let rest = match strip_scheme(text, "http://") {
            Some(rest) => rest,
            None if strip_scheme(text, "https://").is_some() => return Err(UrlError::Tls),
            None => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = host_and_port(authority)?;
        Ok(Self { host, port, path })
    }

    /// Where `location`, the field of an answer from this URL, leads.
    ///
    /// # Errors
    /// As for [`Url::parse`], if it is a whole URL.
    pub fn follow<'b>(&'b self, location: &'b str) -> Result<Target<'b>, UrlError> {
        let location = location.split('#').next().unwrap_or("");
        if !location.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let here = HostHeader { host: self.host, port: self.port };
        let directory = || {
            let path = self.path.split('?').next().unwrap_or("");
            &path[..path.rfind('/').map_or(0, |slash| slash + 1)]
        };
        if location.starts_with("//") {
            return Ok(Target::Elsewhere("http:", location));
        }
        let scheme = location.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
        if scheme {
            Url::parse(location)?;
            return Ok(Target::Elsewhere("", location));
        }
        Ok(if location.starts_with('/') {
            Target::Here(here, "", location)
        } else if location.starts_with('?') || location.is_empty() {
            Target::Here(here, self.path.split('?').next().unwrap_or(""), location)
        } else {
            Target::Here(here, directory(), location)
        })
    }
}

impl Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, path } = *self;
        write!(f, "http://{}{path}", HostHeader { host, port })
    }
}

/// Where a redirection leads. Displays as a whole URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// To the same server: a directory and a path in it.
    Here(HostHeader<'a>, &'a str, &'a str),
    /// To this URL, whose scheme comes first.
    Elsewhere(&'static str, &'a str),
}

impl Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(server, directory, path) => {
                let slash =
                    if directory.is_empty() && !path.starts_with(['/', '?']) { "/" } else { "" };
                write!(f, "http://{server}{directory}{slash}{path}")
            }
            Self::Elsewhere(scheme, url) => write!(f, "{scheme}{url}"),
        }
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

fn host_and_port(authority: &str) -> Result<(Host<'_>, u16), UrlError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
        let port = match after.strip_prefix(':') {
            Some(port) => port,
            None if after.is_empty() => "",
            None => return Err(UrlError::Host),
        };
        (Host::V6(address), port)
    } else {
        let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
        (named(name)?, port)
    };
    // An empty port is the scheme's (RFC 3986 section 3.2.3).
    let port = match port {
        "" => Url::DEFAULT_PORT,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
        }
        _ => return Err(UrlError::Port),
    };
    Ok((host, port))
}

fn named(name: &str) -> Result<Host<'_>, UrlError> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::V4(address));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let labels_fit = labels.into_iter().all(|label| !label.is_empty() && label.len() <= 63);
    // A name of digits alone is an address that went wrong.
    let all_digits = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if name.len() > NAME_MAX || !name.bytes().all(good) || !labels_fit || all_digits {
        return Err(UrlError::Host);
    }
    Ok(Host::Name(name))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn urls() {
        let url = Url::parse("http://example.com/a/b?c=d#e").unwrap();
        assert_eq!((url.host, url.port, url.path), (Host::Name("example.com"), 80, "/a/b?c=d"));
        let url = Url::parse("HTTP://10.0.2.2:8000").unwrap();
        assert_eq!((url.host, url.port, url.path), (Host::V4([10, 0, 2, 2].into()), 8000, ""));
        let url = Url::parse("http://[fe80::2]:81/x").unwrap();
        assert_eq!(url.host, Host::V6("fe80::2".parse().unwrap()));
        assert_eq!((url.port, url.path), (81, "/x"));
        assert_eq!(Url::parse("http://[::1]").unwrap().port, 80);
        assert_eq!(Url::parse("http://a:?q").unwrap().path, "?q");
        for text in ["http://[fe80::2]:81/x", "http://example.com/a?b", "http://10.0.2.2:8000/"] {
            assert_eq!(Url::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_url() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("example.com", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("https://a/", UrlError::Tls),
            ("http://", UrlError::Host),
            ("http:///x", UrlError::Host),
            ("http://a..b/", UrlError::Host),
            ("http://1.2.3/", UrlError::Host),
            ("http://300.1.1.1/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://[fe80::1%25eth0]/", UrlError::Host),
            ("http://a:0/", UrlError::Port),
            ("http://a:+1/", UrlError::Port),
            ("http://a:65536/", UrlError::Port),
            ("http://a:b@c/", UrlError::User),
            ("http://a/b c", UrlError::Character),
            ("http://a/\r\nX: y", UrlError::Character),
            ("http://a/ü", UrlError::Character),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
        let long = String::from("http://a/") + &"x".repeat(URL_MAX);
        assert_eq!(Url::parse(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn redirections() {
        let base = Url::parse("http://a:81/b/c?d").unwrap();
        let leads = |location| base.follow(location).map(|target| target.to_string());
        assert_eq!(leads("http://x/y#z").unwrap(), "http://x/y");
        assert_eq!(leads("/y").unwrap(), "http://a:81/y");
        assert_eq!(leads("y/z").unwrap(), "http://a:81/b/y/z");
        assert_eq!(leads("?y").unwrap(), "http://a:81/b/c?y");
        assert_eq!(leads("//x:82/y").unwrap(), "http://x:82/y");
        assert_eq!(leads("https://x/"), Err(UrlError::Tls));
        assert_eq!(leads("/a b"), Err(UrlError::Character));
        let root = Url::parse("http://a").unwrap();
        assert_eq!(root.follow("y").unwrap().to_string(), "http://a/y");
    }
}
