//! Where the kernel's log arrives: a socket that takes messages to pieces by RFC 5424, letter by
//! letter, and hands them on to an `rsyslogd` that does so too.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::peers;
use crate::process::Running;

/// The port (RFC 5426, 3.3).
const PORT: u16 = 514;
/// Where rsyslogd listens, on this side alone.
const NEXT: u16 = 5514;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// 0 is the kernel's.
    pub facility: u8,
    /// 0 (emergency) to 7 (debug).
    pub severity: u8,
    /// TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID; `-`: none.
    pub header: [String; 5],
    /// Elements of STRUCTURED-DATA: a name with parameters.
    pub data: Vec<(String, Vec<(String, String)>)>,
    /// What was said.
    pub text: String,
}

/// Those who listen.
pub struct Listeners {
    got: Arc<Mutex<Vec<Vec<u8>>>>,
    rsyslogd: Option<(Running, PathBuf)>,
}

impl Listeners {
    /// Listens on every address, and starts rsyslogd where there is one.
    pub fn start(dir: &Path) -> Result<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).context("cannot listen for syslog")?;
        let got = Arc::new(Mutex::new(Vec::new()));
        let rsyslogd = match peers::find("rsyslogd") {
            Ok(_) => Some(start_rsyslogd(dir)?),
            Err(_) => None,
        };
        let (shared, forward) = (Arc::clone(&got), rsyslogd.is_some());
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok((count, _)) = socket.recv_from(&mut buffer) {
                if forward {
                    let _ = socket.send_to(&buffer[..count], ("127.0.0.1", NEXT));
                }
                let mut got = shared.lock().unwrap_or_else(PoisonError::into_inner);
                got.push(buffer[..count].to_vec());
            }
        });
        Ok(Self { got, rsyslogd })
    }

    /// All that came, taken to pieces.
    pub fn messages(&self) -> Result<Vec<Message>> {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = got.iter().map(|bytes| {
            parse(bytes).with_context(|| format!("`{}`", String::from_utf8_lossy(bytes)))
        });
        parsed.collect()
    }

    /// What rsyslogd made of them, a line each: `severity facility hostname app-name text`.
    /// `None`: there is no rsyslogd.
    pub fn by_rsyslogd(&self) -> Option<String> {
        let (_, file) = self.rsyslogd.as_ref()?;
        Some(fs::read_to_string(file).unwrap_or_default())
    }
}

fn start_rsyslogd(dir: &Path) -> Result<(Running, PathBuf)> {
    let (file, conf) = (dir.join("rsyslog.out"), dir.join("rsyslog.conf"));
    let _ = fs::remove_file(&file);
    let (out, work) = (file.display(), dir.display());
    let text = format!(
        "global(workDirectory=\"{work}\")\n\
         module(load=\"imudp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{NEXT}\" ruleset=\"all\")\n\
         template(name=\"parsed\" type=\"string\" string=\"%syslogseverity% %syslogfacility% \
         %hostname% %app-name% %msg%\\n\")\n\
         ruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{out}\" template=\"parsed\") }}\n"
    );
    fs::write(&conf, text)?;
    let arguments = ["-n", "-f", &conf.to_string_lossy(), "-i", "NONE"].map(str::to_owned);
    Ok((peers::serve("rsyslogd", &arguments, &dir.join("rsyslogd.log"))?, file))
}

/// Takes a datagram to pieces (RFC 5424, 6). What is not allowed there is an error.
pub fn parse(bytes: &[u8]) -> Result<Message> {
    let rest = bytes.strip_prefix(b"<").context("no PRI")?;
    let (priority, rest) = cut(rest, b'>')?;
    let priority = std::str::from_utf8(priority)?;
    ensure!(priority.len() <= 3 && (priority == "0" || !priority.starts_with('0')), "PRI");
    let priority: u8 = priority.parse().context("PRI")?;
    ensure!(priority <= 191, "PRI {priority}");
    let mut rest = rest.strip_prefix(b"1 ").context("VERSION is not 1")?;
    let mut header: [String; 5] = Default::default();
    for (field, most) in header.iter_mut().zip([32, 255, 48, 128, 32]) {
        let (word, after) = cut(rest, b' ')?;
        ensure!(!word.is_empty() && word.len() <= most, "a field of {} bytes", word.len());
        ensure!(word.iter().all(u8::is_ascii_graphic), "a field is not printable ASCII");
        *field = String::from_utf8_lossy(word).into_owned();
        rest = after;
    }
    timestamp(&header[0])?;
    let (data, rest) = structured(rest)?;
    let text = match rest {
        [] => &[][..],
        [b' ', text @ ..] => text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text),
        _ => bail!("no space before MSG"),
    };
    let text = std::str::from_utf8(text).context("MSG is not UTF-8")?.to_owned();
    let (facility, severity) = (priority / 8, priority % 8);
    Ok(Message { facility, severity, header, data, text })
}

/// What is before `end` and what is after it.
fn cut(bytes: &[u8], end: u8) -> Result<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == end);
    let at = at.with_context(|| format!("no `{}`", end as char))?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

/// `-` or a date and a time of RFC 3339 (6.2.3).
fn timestamp(text: &str) -> Result<()> {
    if text == "-" {
        return Ok(());
    }
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shape: String = text.chars().map(shape).collect();
    let rest = shape.strip_prefix("0000-00-00T00:00:00").context("TIMESTAMP")?;
    let zone = match rest.strip_prefix('.') {
        Some(digits) => {
            let zone = digits.trim_start_matches('0');
            ensure!((1..=6).contains(&(digits.len() - zone.len())), "fraction of TIMESTAMP");
            zone
        }
        None => rest,
    };
    ensure!(["Z", "+00:00", "-00:00"].contains(&zone), "zone of TIMESTAMP `{text}`");
    Ok(())
}

type Data = Vec<(String, Vec<(String, String)>)>;

fn structured(bytes: &[u8]) -> Result<(Data, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return Ok((Vec::new(), rest));
    }
    let (mut data, mut rest) = (Vec::new(), bytes);
    while let Some(element) = rest.strip_prefix(b"[") {
        let end = element.iter().position(|byte| b" ]".contains(byte)).context("no `]`")?;
        let id = name(&element[..end])?;
        let mut parameters = Vec::new();
        rest = &element[end..];
        while let Some(parameter) = rest.strip_prefix(b" ") {
            let (key, after) = cut(parameter, b'=')?;
            let mut value = Vec::new();
            rest = after.strip_prefix(b"\"").context("a value without a quote")?;
            loop {
                match rest {
                    [b'"', after @ ..] => {
                        rest = after;
                        break;
                    }
                    [b'\\', escaped @ (b'"' | b'\\' | b']'), after @ ..] => {
                        value.push(*escaped);
                        rest = after;
                    }
                    [b']', ..] | [] => bail!("a value without an end"),
                    [byte, after @ ..] => {
                        value.push(*byte);
                        rest = after;
                    }
                }
            }
            parameters.push((name(key)?, String::from_utf8(value)?));
        }
        rest = rest.strip_prefix(b"]").context("no `]`")?;
        data.push((id, parameters));
    }
    ensure!(!data.is_empty(), "neither `-` nor structured data");
    Ok((data, rest))
}

/// SD-NAME: up to 32 printable characters without `=`, `]` and quotes.
fn name(bytes: &[u8]) -> Result<String> {
    let good = |byte: &u8| byte.is_ascii_graphic() && !b"=]\"".contains(byte);
    ensure!((1..=32).contains(&bytes.len()) && bytes.iter().all(good), "a name");
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples 1 and 3 of RFC 5424, 6.5.
    #[test]
    fn examples_of_the_standard_are_read() {
        let message = parse(
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed"
                .as_bytes(),
        )
        .unwrap();
        assert_eq!((message.facility, message.severity), (4, 2));
        assert_eq!(message.header[1..], ["mymachine.example.com", "su", "-", "ID47"]);
        assert_eq!(message.text, "'su root' failed");
        let message = parse(
            b"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
              eventSource=\"App\\]lication\"][x] An application event",
        )
        .unwrap();
        let [(id, parameters), (x, none)] = &message.data[..] else { panic!("{message:?}") };
        assert_eq!((id.as_str(), x.as_str(), none.len()), ("exampleSDID@32473", "x", 0));
        assert_eq!(parameters[1], ("eventSource".to_owned(), "App]lication".to_owned()));
        assert!(parse(b"<6>1 - - - - - -").unwrap().text.is_empty());
    }

    #[test]
    fn what_is_not_allowed_is_an_error() {
        for bad in [
            "",
            "<6>",
            "<192>1 - - - - - - x",
            "<06>1 - - - - - - x",
            "<6>2 - - - - - - x",
            "<6>1 - - - - -",
            "<6>1 yesterday - - - - - x",
            "<6>1 2003-10-11T22:14:15.1234567Z - - - - - x",
            "<6>1 2003-10-11T22:14:15 - - - - - x",
            "<6>1 - h\u{e4} - - - - x",
            "<6>1 -  - - - - x",
            "<6>1 - - - - - [] x",
            "<6>1 - - - - - [a b=\"c] x",
            "<6>1 - - - - - [a b=\"c\"]x",
            "<6>1 - - - - - x",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"<6>1 - - - - - - \xff").is_err());
    }
}
