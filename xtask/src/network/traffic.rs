//! Connections made by this tool itself: to the guest's echo, discard and chargen services (RFC
//! 862 to 864), checked byte by byte; and the same kind of services on the host, for the kernel's
//! benchmark to measure against.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
const SOURCE: u16 = 19;
const PATIENCE: Duration = Duration::from_secs(20);
const PIECE: usize = 64 << 10;
/// Most datagrams that one request brings, and longest.
const DATAGRAMS: u32 = 1 << 24;
const DATAGRAM: usize = 1472;

/// A connection to `port` of `guest`.
pub fn connect(guest: &str, port: u16) -> Result<TcpStream> {
    let address = SocketAddr::new(guest.parse()?, port);
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot connect to port {port} of the guest"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends `bytes` bytes to the echo service; the same come back.
pub fn echo(guest: &str, bytes: u64) -> Result<()> {
    let stream = connect(guest, ECHO)?;
    let mut sender = stream.try_clone()?;
    let sending = thread::spawn(move || -> Result<()> {
        let mut piece = vec![0; PIECE];
        for at in (0..bytes).step_by(PIECE) {
            let length = (bytes - at).min(PIECE as u64) as usize;
            protocols::pattern::fill(7, at, &mut piece[..length]);
            sender.write_all(&piece[..length])?;
        }
        Ok(sender.shutdown(Shutdown::Write)?)
    });
    let echoed = check_pattern(stream, 7).context("from the echo service");
    sending
        .join()
        .unwrap_or_else(|_| bail!("the sender panicked"))
        .context("to the echo service")?;
    match echoed? {
        count if count == bytes => Ok(()),
        count => bail!("{count} of {bytes} bytes came back from the echo service"),
    }
}

/// How many bytes `stream` brings until its end, which are the pattern.
fn check_pattern(mut stream: impl Read, seed: u64) -> Result<u64> {
    let (mut piece, mut at, mut filled) = (vec![0; PIECE], 0, 0);
    loop {
        let count = stream.read(&mut piece[filled..])?;
        filled += count;
        // Whole words, but for the last.
        let whole = if count == 0 { filled } else { filled / 8 * 8 };
        if let Some(byte) = protocols::pattern::check(seed, at, &piece[..whole]) {
            bail!("byte {byte} is another");
        }
        at += whole as u64;
        piece.copy_within(whole..filled, 0);
        filled -= whole;
        if count == 0 {
            return Ok(at);
        }
    }
}

/// Sends `bytes` bytes to the discard service, which ends the connection once it has them all.
pub fn discard(guest: &str, bytes: u64) -> Result<()> {
    let mut stream = connect(guest, DISCARD)?;
    let piece = vec![0x55; PIECE];
    for at in (0..bytes).step_by(PIECE) {
        let length = (bytes - at).min(PIECE as u64) as usize;
        stream.write_all(&piece[..length]).context("to the discard service")?;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1]).context("the discard service does not end")? {
        0 => Ok(()),
        _ => bail!("the discard service said something"),
    }
}

/// Reads `bytes` bytes from the character generator and leaves; all are printable or end lines.
pub fn chargen(guest: &str, bytes: u64) -> Result<()> {
    let mut stream = connect(guest, SOURCE)?;
    let (mut piece, mut got) = (vec![0; PIECE], 0);
    while got < bytes {
        let count = stream.read(&mut piece).context("from the character generator")?;
        if count == 0 {
            bail!("the character generator ended after {got} bytes");
        }
        let good = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n');
        if let Some(other) = piece[..count].iter().find(|byte| !good(byte)) {
            bail!("the character generator sent {other:#x}");
        }
        got += count as u64;
    }
    Ok(())
}

/// Sends `count` datagrams of growing size to the UDP echo service, one after another, and again
/// those that get lost; all come back as they were.
pub fn echo_datagrams(guest: &str, count: u32) -> Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(format!("{guest}:{ECHO}"))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut buffer = [0; 2048];
    for number in 0..count {
        let length = 8 + number as usize * 37 % (DATAGRAM - 8);
        let mut sent = vec![0; length];
        protocols::pattern::fill(u64::from(number), 0, &mut sent);
        let mut came = None;
        for _ in 0..20 {
            socket.send(&sent)?;
            match socket.recv(&mut buffer) {
                Ok(bytes) => {
                    came = Some(bytes);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the UDP echo service"),
            }
        }
        let came = came.context("the UDP echo service does not answer")?;
        if buffer[..came] != sent {
            bail!("datagram {number} of {length} bytes came back as another of {came}");
        }
    }
    Ok(())
}

/// Discard (port 9) and source (port 19) on `address`, TCP and UDP, until this tool ends. A
/// datagram to the source with a count and a size (32 bits, big-endian, each) brings so many
/// datagrams of that size.
pub fn offer(address: &str) -> Result<()> {
    let piece = vec![0x55; PIECE];
    let sink = listen(address, DISCARD, |mut stream| {
        let mut piece = vec![0; 1 << 20];
        while matches!(stream.read(&mut piece), Ok(1..)) {}
    });
    let source =
        listen(address, SOURCE, move |mut stream| while stream.write_all(&piece).is_ok() {});
    sink.and(source)?;
    // Nobody reads it: what does not fit is dropped, which costs the least.
    let sink = UdpSocket::bind((address, DISCARD)).context("cannot take datagrams at port 9")?;
    std::mem::forget(sink);
    let source = UdpSocket::bind((address, SOURCE)).context("cannot take datagrams at port 19")?;
    thread::spawn(move || serve_datagrams(&source));
    Ok(())
}

/// Ends what the source of datagrams at `address` is sending.
pub fn quiet(address: &str) -> Result<()> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.send_to(&[0; 8], (address, SOURCE)).context("to our own source of datagrams")?;
    Ok(())
}

fn listen(
    address: &str,
    port: u16,
    serve: impl Fn(TcpStream) + Clone + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::bind((address, port))
        .with_context(|| format!("cannot listen at port {port}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    Ok(())
}

/// Answers requests for datagrams; a newer request ends the one before.
fn serve_datagrams(socket: &UdpSocket) {
    let mut request = [0; 2048];
    let datagram = [0x55; DATAGRAM];
    let (mut left, mut length, mut to) = (0, 0, None);
    loop {
        let _ = socket.set_nonblocking(left > 0);
        if let Ok((8, from)) = socket.recv_from(&mut request) {
            let word = |at: usize| {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(&request[at..at + 4]);
                u32::from_be_bytes(bytes)
            };
            (left, length, to) =
                (word(0).min(DATAGRAMS), (word(4) as usize).min(DATAGRAM), Some(from));
        }
        let Some(to) = to else { continue };
        for _ in 0..left.min(256) {
            // The queue of the device is full: what is lost is the answer's.
            let _ = socket.send_to(&datagram[..length], to);
        }
        left -= left.min(256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked_in_any_pieces() {
        /// Gives a few bytes at once.
        struct Drops(Vec<u8>, usize);
        impl Read for Drops {
            fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
                let count = self.0.len().min(self.1).min(room.len());
                room[..count].copy_from_slice(&self.0[..count]);
                self.0.drain(..count);
                self.1 = self.1 % 13 + 1;
                Ok(count)
            }
        }
        let mut bytes = vec![0; 100_003];
        protocols::pattern::fill(7, 0, &mut bytes);
        assert_eq!(check_pattern(Drops(bytes.clone(), 5), 7).unwrap(), 100_003);
        for at in [0, 50_000, 100_002] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let error = check_pattern(Drops(bad, 5), 7).unwrap_err().to_string();
            assert!(error.contains(&at.to_string()), "{error}");
        }
    }

    #[test]
    fn datagrams_are_sent_as_asked() {
        let source = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = source.local_addr().unwrap();
        thread::spawn(move || serve_datagrams(&source));
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = [&20_u32.to_be_bytes()[..], &99_u32.to_be_bytes()].concat();
        socket.send_to(&request, address).unwrap();
        let mut buffer = [0; 2048];
        for _ in 0..20 {
            assert_eq!(socket.recv(&mut buffer).unwrap(), 99);
        }
    }
}
