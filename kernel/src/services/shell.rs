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

/// One line; `None` if there is no more input.
async fn read_line(input: &mut Input, editor: &mut LineEditor) -> Option<String> {
    console::raw(PROMPT);
    DISTURBED.take();
    PROMPTING.store(true, Relaxed);
    let line = loop {
        let byte = {
            let next = pin!(input.next());
            match select(next, pin!(DISTURBED.wait())).await {
                Either::Left((byte, _)) => byte,
                Either::Right(((), _)) => {
                    console::raw(&format!("{PROMPT}{}", editor.line()));
                    continue;
                }
            }
        };
        let Some(byte) = byte else { break None };
        let before = editor.line().len();
        match editor.feed(byte) {
            Feedback::Nothing => {}
            Feedback::Echo(byte) => console::raw(char::from(byte).encode_utf8(&mut [0; 4])),
            Feedback::Erase => console::raw("\u{8} \u{8}"),
            Feedback::Redraw => {
                let blank = " ".repeat(before);
                console::raw(&format!("\r{PROMPT}{blank}\r{PROMPT}{}", editor.line()));
            }
            Feedback::Bell => hal::serial::send(hal::serial::Port::Com1, b"\x07"),
            Feedback::Interrupt => console::raw(&format!("^C\n{PROMPT}")),
            Feedback::Submit => {
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
