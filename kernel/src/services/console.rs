//! Text on the human console: whole lines from programs, and the kernel's own.
//!
//! A program's line is shown once it is complete, with the program's name before it, so that lines
//! of different programs never mix and none can pass for the kernel's. What a program left
//! unfinished is shown when it ends.

use crate::logs::{outgoing, recent};
use alloc::collections::BTreeMap;
use core::fmt::Display;
use hal::console::{Ink, Logged};
use hal::x86_64::interrupts;
use kernel_text::shown::Lines;
use kernel_text::table::Style;

pub use kernel_text::shown::Shown;

/// Unfinished lines, by process number.
static UNFINISHED: spin::Mutex<BTreeMap<u32, Lines>> = spin::Mutex::new(BTreeMap::new());

/// Writes what process `id`, called `name`, says.
pub fn write_from(id: u32, name: &str, bytes: &[u8]) {
    let mut lines = UNFINISHED.lock().remove(&id).unwrap_or_default();
    lines.write(bytes, |line| show_from(name, line));
    if !lines.is_empty() {
        // Threads of one process may write at once: whoever comes later goes on the other's line.
        let mut unfinished = UNFINISHED.lock();
        let kept = unfinished.entry(id).or_default();
        if kept.is_empty() {
            *kept = lines;
        } else {
            drop(unfinished);
            lines.flush(|line| show_from(name, line));
        }
    }
}

/// Process `id` has ended: shows what it left unfinished.
pub fn ended(id: u32, name: &str) {
    let lines = UNFINISHED.lock().remove(&id);
    if let Some(mut lines) = lines {
        lines.flush(|line| show_from(name, line));
    }
}

fn show_from(name: &str, line: &str) {
    // A program that introduces itself need not be introduced.
    let introduced = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    if introduced {
        say(format_args!("{line}"));
    } else {
        say(format_args!("{name}: {line}"));
    }
}

/// Shows a line of the kernel's own.
pub fn say(line: impl Display) {
    hal::console::print_line(format_args!("{line}"));
    super::shell::disturbed();
}

/// Shows a line in a style, where there are colours: on the screen.
pub fn say_in(style: Style, line: &str) {
    let ink = match style {
        Style::Heading => Ink::Bright,
        Style::Text => Ink::Plain,
        Style::Rule => Ink::Faint,
    };
    hal::console::print_in(ink, format_args!("{line}\n"));
}

/// Shows lines that belong together.
pub fn say_all(lines: impl IntoIterator<Item = impl Display>) {
    lines.into_iter().for_each(say);
}

/// Lines shown in one go.
const TURN: usize = 8;

/// Shows lines that may be many: others have turns in between, and whoever asked may give it up.
pub async fn show(lines: impl IntoIterator<Item = impl Display>) {
    for (number, line) in (1..).zip(lines) {
        say(line);
        if number % TURN == 0 {
            executor::yield_now().await;
        }
    }
}

/// Writes text as it is: prompts, echoes.
pub fn raw(text: &str) {
    hal::console::print(format_args!("{text}"));
}

/// hal's observer of the log: keeps the line for the shell, whose prompt it may have displaced, and
/// for a syslog server. As one on this core: what logs may be something that is left behind when it
/// is interrupted.
pub fn logged(line: &Logged<'_>) {
    interrupts::without(|| {
        recent::keep(line.pieces);
        outgoing::keep(line);
        super::shell::disturbed();
    });
}
