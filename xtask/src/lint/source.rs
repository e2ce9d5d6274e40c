//! A Rust file as lines of code and lines of comment, told apart by a small lexer: what stands
//! in a string or a comment is not code, and the other way round.

/// One line, split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Code; the contents of strings and characters are gone.
    pub code: String,
    /// Text of the comments on this line.
    pub comment: String,
}

/// A file's lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// All lines, in order.
    pub lines: Vec<Line>,
}

/// What the lexer is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    RawText(usize),
}

impl Source {
    /// Splits `text`.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut lines = vec![Line::default()];
        let mut inside = Inside::Code;
        let mut at = 0;
        while at < chars.len() {
            let c = chars[at];
            if c == '\n' {
                if inside == Inside::LineComment {
                    inside = Inside::Code;
                }
                lines.push(Line::default());
                at += 1;
                continue;
            }
            let line = lines.last_mut().expect("there is always a line");
            let next = chars.get(at + 1).copied();
            match inside {
                Inside::LineComment => line.comment.push(c),
                Inside::BlockComment(depth) => {
                    if (c, next) == ('*', Some('/')) {
                        inside = match depth {
                            1 => Inside::Code,
                            _ => Inside::BlockComment(depth - 1),
                        };
                        at += 1;
                    } else if (c, next) == ('/', Some('*')) {
                        inside = Inside::BlockComment(depth + 1);
                        at += 1;
                    } else {
                        line.comment.push(c);
                    }
                }
                Inside::Text => match c {
                    // A backslash at the end of a line must not swallow the line's end.
                    '\\' if next != Some('\n') => at += 1,
                    '"' => {
                        line.code.push('"');
                        inside = Inside::Code;
                    }
                    _ => {}
                },
                Inside::RawText(hashes) => {
                    let closes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                    if c == '"' && closes >= hashes {
                        line.code.push('"');
                        inside = Inside::Code;
                        at += hashes;
                    }
                }
                Inside::Code => {
                    if (c, next) == ('/', Some('/')) {
                        inside = Inside::LineComment;
                    } else if (c, next) == ('/', Some('*')) {
                        inside = Inside::BlockComment(1);
                        at += 1;
                    } else if c == '"' {
                        let hashes = raw_hashes(&chars[..at]);
                        line.code.push('"');
                        inside = hashes.map_or(Inside::Text, Inside::RawText);
                    } else if c == '\'' {
                        at += character(&chars[at..]);
                        line.code.push('\'');
                    } else {
                        line.code.push(c);
                    }
                }
            }
            at += 1;
        }
        Self { lines }
    }

    /// Code of every line, with its number from 1.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(at, line)| (at + 1, line.code.as_str()))
    }
}

/// How many `#` an opening quote after `before` has, if it opens a raw string.
fn raw_hashes(before: &[char]) -> Option<usize> {
    let hashes = before.iter().rev().take_while(|c| **c == '#').count();
    let rest = &before[..before.len() - hashes];
    (rest.last() == Some(&'r')
        && !matches!(rest.iter().rev().nth(1), Some(c) if c.is_alphanumeric() && *c != 'b' && *c != 'c'))
    .then_some(hashes)
}

/// How many characters after the quote belong to a character literal; 0 for a lifetime.
fn character(from_quote: &[char]) -> usize {
    match from_quote.get(1) {
        Some('\\') => from_quote.iter().skip(3).position(|c| *c == '\'').map_or(0, |n| n + 3),
        Some(_) if from_quote.get(2) == Some(&'\'') => 2,
        _ => 0,
    }
}

/// Whether `word` stands in `code` by itself; returns where.
pub fn word(code: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new(text).code().map(|(_, code)| code).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("a // unsafe\nb /* unsafe /* x */ y */ c"), "a \nb  c");
        assert_eq!(code("let s = \"unsafe \\\" // no\"; x"), "let s = \"\"; x");
        assert_eq!(code("r#\"unsafe \" here\"# y"), "r#\"\" y");
        assert_eq!(code("let c = '\"'; let d = '\\''; unsafe"), "let c = '; let d = '; unsafe");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(Source::new("x // SAFETY: fine").lines[0].comment, "/ SAFETY: fine");
        assert_eq!(code("\"a\\\nb\" c").lines().count(), 2);
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(word("unsafe_op unsafe {", "unsafe"), Some(10));
        assert_eq!(word("not_unsafe", "unsafe"), None);
    }
}
