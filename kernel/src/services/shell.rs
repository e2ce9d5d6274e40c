//! The shell on COM1: a task that waits for keys, edits a line, runs a command, and begins again.
//! While a command runs, Ctrl-C drops it.

use super::commands::{self, Shell};
use super::console;
use super::input::Input;
use crate::platform::Pollux;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use executor::Priority;
use executor::sync::Notify;
use futures_util::future::{Either, select};
use hal::console::Place;
use kernel_text::options::Exit;
use protocols::line_editor::{Feedback, LineEditor};

const PROMPT: &str = "pollux> ";

/// The prompt stands on the screen: whoever writes a line has to say so.
static PROMPTING: AtomicBool = AtomicBool::new(false);
/// A line was written over the prompt.
static DISTURBED: Notify = Notify::new();

/// A line was written: if the prompt stood there, it is to be drawn again. Good in any context.
pub fn disturbed() {
    if PROMPTING.load(Relaxed) {
        DISTURBED.notify();
    }
}

/// Starts the shell's task.
pub fn start(exit: Exit) {
    executor::spawn::<Pollux, _>("shell", Priority::Normal, run(Shell { exit })).detach();
}

async fn run(shell: Shell) {
    let mut input = Input::open();
    let mut editor = Box::new(LineEditor::new());
    while let Some(line) = read_line(&mut input, &mut editor).await {
        let command = pin!(commands::run(&shell, &line));
        let interrupted = pin!(input.interrupted());
        if let Either::Right(((), _)) = select(command, interrupted).await {
            console::say("^C: stopped, with all it had started");
        }
    }
    log::warn!("shell: there is no input any more");
}

/// The prompt and what was typed after it, as they stand on the console.
struct Typed(Option<Place>);

impl Typed {
    /// Draws them on a line of their own.
    fn draw(line: &str) -> Self {
        Self(hal::console::begin_line(&format!("{PROMPT}{line}")))
    }

    /// Shows `text` there. If something else was shown meanwhile, all is drawn again instead:
    /// `line` is what was typed by now.
    fn show(&mut self, text: &str, line: &str) {
        let shown = self.0.as_mut().map(|place| hal::console::continue_line(place, text));
        if shown != Some(Ok(())) {
            *self = Self::draw(line);
        }
    }
}

/// One line; `None` if there is no more input.
async fn read_line(input: &mut Input, editor: &mut LineEditor) -> Option<String> {
    DISTURBED.take();
    PROMPTING.store(true, Relaxed);
    let mut typed = Typed::draw(editor.line());
    let line = loop {
        let byte = {
            let next = pin!(input.next());
            match select(next, pin!(DISTURBED.wait())).await {
                Either::Left((byte, _)) => byte,
                Either::Right(((), _)) => {
                    typed.show("", editor.line());
                    continue;
                }
            }
        };
        let Some(byte) = byte else { break None };
        let before = editor.line().len();
        match editor.feed(byte) {
            Feedback::Nothing => {}
            Feedback::Echo(byte) => {
                typed.show(char::from(byte).encode_utf8(&mut [0; 4]), editor.line());
            }
            Feedback::Erase => typed.show("\u{8} \u{8}", editor.line()),
            Feedback::Redraw => {
                let blank = " ".repeat(before);
                let line = editor.line();
                typed.show(&format!("\r{PROMPT}{blank}\r{PROMPT}{line}"), line);
            }
            Feedback::Bell => hal::serial::send(hal::serial::Port::Com1, b"\x07"),
            Feedback::Interrupt => {
                typed.show("^C", "");
                typed = Typed::draw("");
            }
            Feedback::Submit => {
                // A command stands whole before its answer.
                typed.show("", editor.line());
                let line = String::from(editor.line());
                editor.start();
                break Some(line);
            }
        }
    };
    PROMPTING.store(false, Relaxed);
    console::raw("\n");
    line
}
