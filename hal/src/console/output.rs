//! Where lines go: COM1 and the screen, behind one lock; and `log`'s sink.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;

use super::grid::{Grid, Ink};
use super::line::Line;
use super::painter::Painter;
use crate::boot::FramebufferInfo;
use crate::lock::{InterruptLock, InterruptLockGuard};
use crate::memory::this_core;
use crate::serial::{self, Port};

/// How often a taken lock is looked at before a line is given up: some tenths of a second.
const PATIENCE: u32 = 20_000_000;
/// Longest log message, in bytes.
const LONGEST: usize = 768;

/// A line of the log, after it was shown.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// When, as the clock of [`set_clock`] has it.
    pub microseconds: u64,
    /// Where.
    pub core: u16,
    /// How bad it is.
    pub level: Level,
    /// Who speaks: a path of modules.
    pub target: &'a str,
    /// What was said.
    pub text: &'a str,
    /// All of it as it was shown, piece by piece.
    pub pieces: &'a [(Ink, &'a str)],
}

struct Screen {
    painter: Option<Painter<'static>>,
    grid: Grid,
    /// The last text shown did not end its line: a prompt, a half-typed command.
    mid_line: bool,
    /// How often something was shown.
    shown: u64,
}

/// Where a line that is being typed stands, until something else is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// Something else was shown after the line that is being typed: it is to be drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced;

static SCREEN: InterruptLock<Screen> =
    InterruptLock::new(Screen { painter: None, grid: Grid::new(), mid_line: false, shown: 0 });
static CLOCK: Once<fn() -> u64> = Once::new();
/// Sees each log line.
pub type Observer = fn(&Logged<'_>);
static OBSERVER: Once<Observer> = Once::new();
static LOST: AtomicU64 = AtomicU64::new(0);

impl Screen {
    fn write(&mut self, text: &str, ink: Ink) {
        self.grid.write(text, ink);
    }

    fn refresh(&mut self) {
        if let Some(painter) = &mut self.painter {
            self.grid.refresh(|column, row, cell| painter.draw(column, row, cell));
        }
    }
}

/// Makes this the kernel's log, at that level. Before a screen is attached, all goes to COM1 alone.
pub fn init(level: LevelFilter) {
    // An error only says that it was done before.
    let _ = log::set_logger(&Sink);
    log::set_max_level(level);
}

/// Changes what is logged.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// The level that a `log=` option names.
pub fn parse_level(name: &str) -> Option<LevelFilter> {
    name.parse().ok()
}

/// Says where time stamps come from: microseconds since some start. Until then they are zero.
pub fn set_clock(microseconds: fn() -> u64) {
    CLOCK.call_once(|| microseconds);
}

/// Has every line of the log passed to `observer` too, after it was shown. It is called in any
/// context that logs, interrupt handlers included, and must not log.
pub fn observe_log(observer: Observer) {
    OBSERVER.call_once(|| observer);
}

/// Shows the console on a screen as well, from now on. Returns whether the format can be drawn.
///
/// # Safety
/// The framebuffer is mapped writable at `info.address` for good, and nobody else draws there.
pub unsafe fn attach_screen(info: &FramebufferInfo) -> bool {
    if !info.is_drawable() {
        return false;
    }
    let start = info.address.as_mut_ptr::<u8>();
    // SAFETY: mapped, ours, and as long as `size` says, by the caller's word.
    let pixels = unsafe { core::slice::from_raw_parts_mut(start, info.size() as usize) };
    let mut screen = SCREEN.lock();
    screen.painter = Painter::new(info, pixels);
    let Some(painter) = &mut screen.painter else { return false };
    painter.clear();
    let (columns, rows) = painter.text_size();
    screen.grid.resize(columns, rows);
    true
}

/// Writes text on both, without a time stamp: tables, the shell.
pub fn print(text: fmt::Arguments<'_>) {
    print_in(Ink::Plain, text);
}

/// As [`print`], coloured on the screen.
pub fn print_in(ink: Ink, text: fmt::Arguments<'_>) {
    struct Pieces(Ink);
    impl fmt::Write for Pieces {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            show(&[(self.0, text)]);
            Ok(())
        }
    }
    // Whole texts first: pieces would be torn apart by other cores' lines.
    let mut line = Line::<1024>::new();
    if let Some(text) = text.as_str() {
        show(&[(ink, text)]);
    } else if write!(line, "{text}").is_ok() && !line.is_cut() {
        show(&[(ink, line.as_str())]);
    } else {
        let _ = Pieces(ink).write_fmt(text);
    }
}

/// Writes text that begins and ends a line: what stands half-written there is left on its own line.
pub fn print_line(text: fmt::Arguments<'_>) {
    let mut line = Line::<1024>::new();
    // What doesn't fit is cut and says so.
    let _ = writeln!(line, "{text}");
    show_line(&[(Ink::Plain, line.as_str())]);
}

/// Draws a line that is being typed, on a line of its own, and says where it stands. `None`: the
/// console could not be had.
pub fn begin_line(text: &str) -> Option<Place> {
    let mut screen = lock()?;
    if screen.mid_line {
        put(&mut screen, &[(Ink::Plain, "\n")]);
    }
    put(&mut screen, &[(Ink::Plain, text)]);
    Some(Place(screen.shown))
}

/// Goes on with the line at `place`, unless something else was shown since.
///
/// # Errors
/// Something was: nothing is written.
pub fn continue_line(place: &mut Place, text: &str) -> Result<(), Displaced> {
    let mut screen = lock().ok_or(Displaced)?;
    if screen.shown != place.0 {
        return Err(Displaced);
    }
    if !text.is_empty() {
        put(&mut screen, &[(Ink::Plain, text)]);
        place.0 = screen.shown;
    }
    Ok(())
}

/// [`show`] on a line of its own.
fn show_line(pieces: &[(Ink, &str)]) {
    let Some(mut screen) = lock() else { return };
    if screen.mid_line {
        put(&mut screen, &[(Ink::Plain, "\n")]);
    }
    put(&mut screen, pieces);
}

/// Writes pieces of text, together, on both outputs.
fn show(pieces: &[(Ink, &str)]) {
    if let Some(mut screen) = lock() {
        put(&mut screen, pieces);
    }
}

/// The console, after word of lines that were lost; `None` after a bounded wait.
fn lock() -> Option<InterruptLockGuard<'static, Screen>> {
    let Some(mut screen) = SCREEN.try_lock_for(PATIENCE) else {
        LOST.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let lost = LOST.swap(0, Ordering::Relaxed);
    if lost > 0 {
        let mut notice = Line::<64>::new();
        let _ = writeln!(notice, "console: {lost} lines before this one were lost");
        put(&mut screen, &[(Ink::Yellow, notice.as_str())]);
    }
    Some(screen)
}

fn put(screen: &mut Screen, pieces: &[(Ink, &str)]) {
    screen.shown += 1;
    if let Some(mut port) = serial::panic_writer(Port::Com1) {
        for (_, text) in pieces {
            let _ = port.write_str(text);
        }
    }
    for (ink, text) in pieces {
        screen.write(text, *ink);
        if let Some(last) = text.bytes().last() {
            screen.mid_line = last != b'\n';
        }
    }
    screen.refresh();
}

struct Sink;

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = CLOCK.get().map_or(0, |clock| clock());
        let core = this_core().unwrap_or(0);
        let mut stamp = Line::<40>::new();
        let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
        let _ = write!(stamp, "[{seconds:4}.{micros:06}] core{core} ");
        let (level, ink) = match record.level() {
            Level::Error => ("error", Ink::Red),
            Level::Warn => ("warn ", Ink::Yellow),
            Level::Info => ("info ", Ink::Green),
            Level::Debug => ("debug", Ink::Blue),
            Level::Trace => ("trace", Ink::Violet),
        };
        let mut message = Line::<LONGEST>::new();
        let _ = write!(message, " {}: {}", record.target(), record.args());
        let text = if record.level() == Level::Error { Ink::Red } else { Ink::Plain };
        let pieces =
            [(Ink::Faint, stamp.as_str()), (ink, level), (text, message.as_str()), (text, "\n")];
        show_line(&pieces);
        if let Some(observer) = OBSERVER.get() {
            let target = record.target();
            // Where it stands in the message: after a space, the target, a colon and a space.
            let text = message.as_str().get(target.len() + 3..).unwrap_or("");
            let (microseconds, level) = (now, record.level());
            observer(&Logged { microseconds, core, level, target, text, pieces: &pieces });
        }
    }

    fn flush(&self) {}
}

/// The last words: writes to both outputs whoever held them.
pub struct Epitaph {
    screen: InterruptLockGuard<'static, Screen>,
    port: serial::Writer,
}

/// Takes the console for good, for a panic's epitaph.
///
/// # Safety
/// Every other core has stopped, and whatever this core did before will not go on: who held the
/// console never comes back to it.
pub unsafe fn epitaph() -> Epitaph {
    // SAFETY: the caller vouches that no holder comes back.
    unsafe {
        Epitaph { screen: SCREEN.lock_by_force(PATIENCE), port: serial::take_by_force(Port::Com1) }
    }
}

impl fmt::Write for Epitaph {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.port.write_str(text)?;
        self.screen.write(text, Ink::Red);
        if text.contains('\n') {
            self.screen.refresh();
        }
        Ok(())
    }
}

impl Drop for Epitaph {
    fn drop(&mut self) {
        self.screen.refresh();
    }
}
