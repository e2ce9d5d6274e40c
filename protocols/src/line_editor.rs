//! The bytes a terminal sends while a person types a line (ECMA-48 keys), as a state machine.
//!
//! ```text
//!            ESC            [ or O           final byte: A up, B down
//!   plain ─────────► escape ────────► sequence ─────────────────────► plain
//! ```
//!
//! Editing happens at the end of the line: printable ASCII, backspace, Ctrl-W (a word), Ctrl-U
//! (all), Ctrl-L (draw again), up and down through the last lines. Whatever else comes is answered
//! by a bell or ignored; no bytes can bring it out of step.

/// Most bytes of a line.
pub const LINE_MAX: usize = 160;
/// Lines remembered.
pub const HISTORY: usize = 16;

/// What the caller has to do after a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// Nothing.
    Nothing,
    /// Show this character.
    Echo(u8),
    /// Take the last character off the screen.
    Erase,
    /// Draw prompt and line again.
    Redraw,
    /// Ring: the key makes no sense here, or the line is full.
    Bell,
    /// The line is complete: look at [`LineEditor::line`], then [`LineEditor::start`] the next.
    Submit,
    /// Ctrl-C: the line is given up (it is empty now).
    Interrupt,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    const EMPTY: Self = Self { bytes: [0; LINE_MAX], length: 0 };

    fn as_str(&self) -> &str {
        // Only printable ASCII ever gets in.
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    /// After a carriage return: a line feed belongs to it.
    Returned,
    Escape,
    Sequence,
}

/// A line being typed, and those before it.
#[derive(Debug)]
pub struct LineEditor {
    line: Line,
    state: State,
    history: [Line; HISTORY],
    /// Lines ever remembered; the newest is at `remembered - 1` modulo [`HISTORY`].
    remembered: usize,
    /// How far back the person has gone; 0: the line being typed.
    back: usize,
}

impl Default for LineEditor {
    fn default() -> Self {
        Self::new()
    }
}

impl LineEditor {
    /// An empty line, no history.
    pub const fn new() -> Self {
        Self {
            line: Line::EMPTY,
            state: State::Plain,
            history: [Line::EMPTY; HISTORY],
            remembered: 0,
            back: 0,
        }
    }

    /// The line as it stands.
    pub fn line(&self) -> &str {
        self.line.as_str()
    }

    /// Takes the next byte from the terminal.
    pub fn feed(&mut self, byte: u8) -> Feedback {
        let state = core::mem::replace(&mut self.state, State::Plain);
        match (state, byte) {
            (State::Returned, b'\n') => Feedback::Nothing,
            (State::Escape, b'[' | b'O') => {
                self.state = State::Sequence;
                Feedback::Nothing
            }
            (State::Escape, 0x1b) | (State::Plain | State::Returned, 0x1b) => {
                self.state = State::Escape;
                Feedback::Nothing
            }
            (State::Escape, _) => Feedback::Nothing,
            (State::Sequence, b'A') => self.older(),
            (State::Sequence, b'B') => self.newer(),
            // Parameters and intermediates; a final byte (0x40 and up) or a control ends it.
            (State::Sequence, 0x20..=0x3f) => {
                self.state = State::Sequence;
                Feedback::Nothing
            }
            (State::Sequence, _) => Feedback::Nothing,
            (State::Plain | State::Returned, byte) => self.key(byte),
        }
    }

    fn key(&mut self, byte: u8) -> Feedback {
        match byte {
            b'\r' => {
                self.state = State::Returned;
                Feedback::Submit
            }
            b'\n' => Feedback::Submit,
            0x20..=0x7e if self.line.length < LINE_MAX => {
                self.line.bytes[self.line.length] = byte;
                self.line.length += 1;
                Feedback::Echo(byte)
            }
            0x08 | 0x7f if self.line.length > 0 => {
                self.line.length -= 1;
                Feedback::Erase
            }
            // Ctrl-W
            0x17 => {
                let kept = self.line().trim_end_matches(' ').trim_end_matches(|c| c != ' ').len();
                self.line.length = kept;
                Feedback::Redraw
            }
            // Ctrl-U
            0x15 => {
                self.line.length = 0;
                Feedback::Redraw
            }
            // Ctrl-L
            0x0c => Feedback::Redraw,
            // Ctrl-C
            0x03 => {
                self.line.length = 0;
                self.back = 0;
                Feedback::Interrupt
            }
            0 => Feedback::Nothing,
            _ => Feedback::Bell,
        }
    }

    fn older(&mut self) -> Feedback {
        if self.back >= self.remembered.min(HISTORY) {
            return Feedback::Bell;
        }
        self.back += 1;
        self.line = self.history[(self.remembered - self.back) % HISTORY];
        Feedback::Redraw
    }

    fn newer(&mut self) -> Feedback {
        match self.back {
            0 => return Feedback::Bell,
            1 => self.line = Line::EMPTY,
            _ => self.line = self.history[(self.remembered - self.back + 1) % HISTORY],
        }
        self.back -= 1;
        Feedback::Redraw
    }

    /// Remembers the line (unless it is blank or the one before it) and begins an empty one.
    pub fn start(&mut self) {
        let newest = self.remembered.checked_sub(1).map(|at| &self.history[at % HISTORY]);
        let repeated = newest.is_some_and(|newest| newest.as_str() == self.line());
        if !repeated && !self.line().trim().is_empty() {
            self.history[self.remembered % HISTORY] = self.line;
            self.remembered += 1;
        }
        self.line = Line::EMPTY;
        self.back = 0;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Types bytes; the lines submitted.
    fn typed(editor: &mut LineEditor, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if editor.feed(*byte) == Feedback::Submit {
                lines.push(editor.line().to_string());
                editor.start();
            }
        }
        lines
    }

    #[test]
    fn edits_at_the_end() {
        let mut editor = LineEditor::new();
        assert_eq!(typed(&mut editor, b"hekp\x7f\x7flp\r\n"), ["help"]);
        assert_eq!(typed(&mut editor, b"rubbish\x15mem\n"), ["mem"]);
        assert_eq!(typed(&mut editor, b"log debug \x17 info\r"), ["log  info"]);
        assert_eq!(typed(&mut editor, b"gone\x03here\r"), ["here"]);
        assert_eq!(LineEditor::new().feed(0x7f), Feedback::Bell);
    }

    #[test]
    fn each_way_of_ending_a_line_ends_one() {
        assert_eq!(typed(&mut LineEditor::new(), b"a\rb\nc\r\nd\r\r\n"), ["a", "b", "c", "d", ""]);
    }

    #[test]
    fn goes_through_history() {
        let mut editor = LineEditor::new();
        typed(&mut editor, b"one\rtwo\rtwo\r  \r");
        let up_up = b"\x1b[A\x1b[A\r";
        assert_eq!(typed(&mut editor, up_up), ["one"]);
        // The newest is "one" again; down from the oldest comes back to an empty line.
        assert_eq!(typed(&mut editor, b"\x1bOA\x1bOA\x1b[B\x1b[Bx\r"), ["x"]);
        assert_eq!(editor.feed(0x1b), Feedback::Nothing);
        editor.feed(b'[');
        assert_eq!(editor.feed(b'B'), Feedback::Bell);
    }

    #[test]
    fn history_is_bounded() {
        let mut editor = LineEditor::new();
        for number in 0..HISTORY + 5 {
            typed(&mut editor, format!("l{number}\r").as_bytes());
        }
        let mut last = Feedback::Nothing;
        for _ in 0..HISTORY + 1 {
            editor.feed(0x1b);
            editor.feed(b'[');
            last = editor.feed(b'A');
        }
        assert_eq!((last, editor.line()), (Feedback::Bell, "l5"));
    }

    #[test]
    fn unknown_keys_leave_no_trace() {
        // Delete, F5, Alt-x, cursor left.
        let mut editor = LineEditor::new();
        assert_eq!(typed(&mut editor, b"a\x1b[3~\x1b[15~\x1bx\x1b[Db\r"), ["ab"]);
    }

    proptest! {
        #[test]
        fn any_bytes_keep_it_in_step(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut editor = LineEditor::new();
            for byte in bytes {
                let before = editor.line().len();
                let feedback = editor.feed(byte);
                prop_assert!(editor.line().len() <= LINE_MAX);
                prop_assert!(editor.line().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
                match feedback {
                    Feedback::Echo(shown) => {
                        prop_assert_eq!(editor.line().as_bytes().last(), Some(&shown));
                        prop_assert_eq!(editor.line().len(), before + 1);
                    }
                    Feedback::Erase => prop_assert_eq!(editor.line().len(), before - 1),
                    Feedback::Nothing | Feedback::Bell => {
                        prop_assert_eq!(editor.line().len(), before);
                    }
                    Feedback::Submit => editor.start(),
                    Feedback::Redraw | Feedback::Interrupt => {}
                }
            }
        }
    }
}
