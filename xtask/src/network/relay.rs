//! A cable with somebody in the middle: frames between a card and its tap device pass through this
//! tool, which treats them as the [`weather`](super::weather) has it, and can send frames of its
//! own to the card.
//!
//! ```text
//!   QEMU: card ═ near socket ═ reader ─> Line ─> writer ═ far socket ═ QEMU: hub ═ tap device
//!                              writer <─ Line <─ reader
//!                inject ─────────┘
//! ```
//!
//! QEMU's `stream` sockets: each frame after its length, four bytes, big-endian. A card that does
//! not read makes its writer wait, so what is injected is not lost before it is there.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::weather::{Counts, Line, Weather};

/// Longest frame that QEMU's sockets carry.
const LONGEST: usize = 68 << 10;

/// How long QEMU may take to connect.
const CONNECTING: Duration = Duration::from_secs(30);

/// The cable of one card.
pub struct Relay {
    /// Where the card connects to.
    pub near: PathBuf,
    /// Where the tap device's end connects to.
    pub far: PathBuf,
    /// The socket of the card, once it has connected.
    card: Arc<End>,
    lines: [Arc<Shared>; 2],
}

/// One socket, for writing.
#[derive(Default)]
struct End {
    stream: Mutex<Option<UnixStream>>,
    connected: Condvar,
}

/// A line that a reader fills and a writer empties.
struct Shared {
    line: Mutex<Line>,
    filled: Condvar,
    start: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Two sockets in `dir` that wait for QEMU, in good weather.
    pub fn open(dir: &Path, seed: u64) -> Result<Self> {
        let (near, far) = (socket_path(dir, "near"), socket_path(dir, "far"));
        let (card, tap) = (Arc::new(End::default()), Arc::new(End::default()));
        let lines = [seed, seed ^ 0x5eed].map(|seed| {
            let (line, filled) = (Mutex::new(Line::new(seed)), Condvar::new());
            Arc::new(Shared { line, filled, start: Instant::now() })
        });
        join(&near, Arc::clone(&card), Arc::clone(&lines[0]))?;
        join(&far, Arc::clone(&tap), Arc::clone(&lines[1]))?;
        for (line, end) in lines.iter().zip([tap, Arc::clone(&card)]) {
            let line = Arc::clone(line);
            thread::spawn(move || write_all(&line, &end));
        }
        Ok(Self { near, far, card, lines })
    }

    /// From now on it is like this, both ways.
    pub fn set_weather(&self, weather: Weather) {
        for line in &self.lines {
            lock(&line.line).set_weather(weather);
        }
    }

    /// What happened from the card, and to it.
    pub fn counts(&self) -> [Counts; 2] {
        [0, 1].map(|at| lock(&self.lines[at].line).counts())
    }

    /// Sends `frames` to the card, and waits until its socket has taken them.
    pub fn inject(&self, frames: &[Vec<u8>]) -> Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 4).sum());
        for frame in frames {
            if frame.len() > LONGEST {
                bail!("a frame of {} bytes is too long for QEMU's socket", frame.len());
            }
            bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        self.card.write(&bytes).context("the card's socket")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.near);
        let _ = fs::remove_file(&self.far);
    }
}

/// A path for a socket: in `dir`, or elsewhere if that is too long for one (108 bytes).
fn socket_path(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    if path.as_os_str().len() <= 100 {
        return path;
    }
    let run = dir.file_name().unwrap_or_default().to_string_lossy();
    std::env::temp_dir().join(format!("pollux-{}-{run}.{name}", std::process::id()))
}

/// Waits for QEMU at `path`; what comes from there goes into `line`.
fn join(path: &Path, end: Arc<End>, line: Arc<Shared>) -> Result<()> {
    let _ = fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    thread::spawn(move || -> Result<()> {
        let (stream, _) = listener.accept()?;
        *lock(&end.stream) = Some(stream.try_clone()?);
        end.connected.notify_all();
        let mut reader = BufReader::with_capacity(LONGEST, stream);
        while let Some(frame) = frame(&mut reader)? {
            lock(&line.line).send(line.start.elapsed(), &frame);
            line.filled.notify_one();
        }
        Ok(())
    });
    Ok(())
}

/// The next frame of a stream; `None` at its end.
fn frame(reader: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    if reader.read_exact(&mut head).is_err() {
        return Ok(None);
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > LONGEST {
        bail!("a frame of {length} bytes: the stream is out of step");
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Writes what arrives at the end of `line`, for ever.
fn write_all(line: &Shared, end: &End) {
    loop {
        let mut waiting = lock(&line.line);
        let frame = loop {
            let now = line.start.elapsed();
            if let Some(frame) = waiting.arrived(now) {
                break frame;
            }
            waiting = match waiting.next_arrival() {
                None => line.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let soon = due.saturating_sub(now);
                    let woken = line.filled.wait_timeout(waiting, soon);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(waiting);
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&frame);
        // The other end has left: so has the machine, and nobody waits for this.
        if end.write(&bytes).is_err() {
            return;
        }
    }
}

impl End {
    /// Writes whole frames at once, so that two writers do not mix theirs.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut stream = lock(&self.stream);
        let deadline = Instant::now() + CONNECTING;
        while stream.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("QEMU has not connected");
            }
            let woken = self.connected.wait_timeout(stream, left);
            stream = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        stream.as_mut().context("not connected")?.write_all(bytes).context("QEMU hung up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(name: &str) -> (Relay, UnixStream, UnixStream, PathBuf) {
        let dir = std::env::temp_dir().join(format!("xtask-relay-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let relay = Relay::open(&dir, 1).unwrap();
        let near = UnixStream::connect(&relay.near).unwrap();
        let far = UnixStream::connect(&relay.far).unwrap();
        (relay, near, far, dir)
    }

    fn put(stream: &mut UnixStream, frame: &[u8]) {
        stream.write_all(&(frame.len() as u32).to_be_bytes()).unwrap();
        stream.write_all(frame).unwrap();
    }

    #[test]
    fn frames_pass_both_ways_and_are_injected() {
        let (relay, mut near, mut far, dir) = connected("ways");
        for number in 0..100_u8 {
            put(&mut near, &vec![number; usize::from(number)]);
            assert_eq!(frame(&mut far).unwrap().unwrap(), vec![number; usize::from(number)]);
            put(&mut far, &[number, 1]);
            assert_eq!(frame(&mut near).unwrap().unwrap(), [number, 1]);
        }
        relay.inject(&[vec![7; 9000], Vec::new()]).unwrap();
        assert_eq!(frame(&mut near).unwrap().unwrap(), vec![7; 9000]);
        assert!(frame(&mut near).unwrap().unwrap().is_empty());
        assert!(relay.inject(&[vec![0; LONGEST + 1]]).is_err());
        assert_eq!(relay.counts().map(|counts| counts.passed), [100, 100]);
        drop((relay, near, far));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_weather_is_felt() {
        let (relay, mut near, mut far, dir) = connected("weather");
        relay.set_weather(Weather { lost: 10_000, ..Weather::default() });
        put(&mut near, &[1]);
        while relay.counts()[0].lost == 0 {
            thread::yield_now();
        }
        relay.set_weather(Weather { doubled: 10_000, ..Weather::default() });
        put(&mut near, &[2]);
        assert_eq!(frame(&mut far).unwrap().unwrap(), [2]);
        assert_eq!(frame(&mut far).unwrap().unwrap(), [2]);
        drop((relay, near, far));
        fs::remove_dir_all(dir).unwrap();
    }
}
