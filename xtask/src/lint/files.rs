//! Files say what they are about, stay short, and have names that tell something.

use super::source::{Source, word};
use super::{Breach, Severity};

/// Longer files are mentioned.
const LONG: usize = 400;
/// Longer files fail.
const TOO_LONG: usize = 500;

const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// Checks one Rust file.
pub fn check(file: &str, source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let stem = file.trim_end_matches(".rs");
    for part in stem.split('/') {
        if EMPTY_NAMES.contains(&part) {
            breaches.push(Breach::error(file, 1, empty_name(part)));
        }
    }
    for (line, code) in source.code() {
        let Some(at) = word(code, "mod") else { continue };
        let name: String =
            code[at + 3..].trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
        if EMPTY_NAMES.contains(&name.as_str()) {
            breaches.push(Breach::error(file, line, empty_name(&name)));
        }
    }
    let mut lines = source.lines.iter();
    let first = lines.position(|line| {
        let attribute = line.code.trim_start().starts_with("#!");
        !(attribute || line.code.trim().is_empty() && line.comment.is_empty())
    });
    // `//!` leaves `/!` to the comment.
    let head = first.map(|at| &source.lines[at]);
    if !head.is_some_and(|line| line.code.is_empty() && line.comment.starts_with("/!")) {
        breaches.push(Breach::error(
            file,
            1,
            "no `//!` head: say in the first lines what the file is about and what it relies on",
        ));
    }
    let count = source.lines.len() - usize::from(source.lines.last().is_some_and(blank));
    if count > LONG {
        let severity = if count > TOO_LONG { Severity::Error } else { Severity::Warning };
        let message = format!("{count} lines: one idea a file, at most {LONG} lines; split it");
        breaches.push(Breach { file: file.to_owned(), line: count, severity, message });
    }
    breaches
}

fn blank(line: &super::source::Line) -> bool {
    line.code.is_empty() && line.comment.is_empty()
}

fn empty_name(name: &str) -> String {
    format!("`{name}` tells a stranger nothing: name it after what lives there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<(usize, Severity)> {
        let breaches = check(file, &Source::new(text));
        breaches.iter().map(|breach| (breach.line, breach.severity)).collect()
    }

    #[test]
    fn heads() {
        assert!(messages("a/src/x.rs", "//! Head.\nfn f() {}\n").is_empty());
        assert!(messages("a/src/x.rs", "#![no_std]\n\n//! Head.\n").is_empty());
        for bad in ["", "fn f() {}\n", "/// Doc.\nfn f() {}\n", "// note\n//! Head.\n"] {
            assert_eq!(messages("a/src/x.rs", bad), [(1, Severity::Error)], "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let text = |lines: usize| format!("//! Head.\n{}", "x\n".repeat(lines - 1));
        assert!(messages("x.rs", &text(400)).is_empty());
        assert_eq!(messages("x.rs", &text(401)), [(401, Severity::Warning)]);
        assert_eq!(messages("x.rs", &text(501)), [(501, Severity::Error)]);
    }

    #[test]
    fn names() {
        assert_eq!(messages("a/src/utils.rs", "//! H\n").len(), 1);
        assert_eq!(messages("a/common/x.rs", "//! H\n").len(), 1);
        assert_eq!(messages("a/x.rs", "//! H\nmod helpers;\n"), [(2, Severity::Error)]);
        assert!(messages("a/x.rs", "//! H\nmod commonwealth;\n").is_empty());
    }
}
