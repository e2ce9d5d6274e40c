//! What a person gives a program: words like `--disk NAME` among its arguments.

use alloc::string::String;
use alloc::vec::Vec;

/// Takes each `word`, and what comes after it, out of a program's `arguments`: what is left, and
/// what came after. `None`: nothing came after the last one.
pub fn take_out<'a>(arguments: &'a [String], word: &str) -> Option<(Vec<String>, Vec<&'a str>)> {
    let (mut rest, mut given) = (Vec::new(), Vec::new());
    let mut words = arguments.iter();
    while let Some(next) = words.next() {
        if next == word {
            given.push(words.next()?.as_str());
        } else {
            rest.push(next.clone());
        }
    }
    Some((rest, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(words: &str) -> Option<(Vec<String>, Vec<String>)> {
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        let (rest, given) = take_out(&words, "--disk")?;
        Some((rest, given.into_iter().map(String::from).collect()))
    }

    #[test]
    fn words_are_taken_out_in_order() {
        let strings = |words: &[&str]| words.iter().copied().map(String::from).collect();
        assert_eq!(taken("a b"), Some((strings(&["a", "b"]), strings(&[]))));
        let mixed = taken("a --disk x b --disk y");
        assert_eq!(mixed, Some((strings(&["a", "b"]), strings(&["x", "y"]))));
        // Whatever comes after it is what is given.
        assert_eq!(taken("--disk --disk"), Some((strings(&[]), strings(&["--disk"]))));
        assert_eq!(taken(""), Some((strings(&[]), strings(&[]))));
    }

    #[test]
    fn a_word_without_anything_after_it_is_noticed() {
        assert_eq!(taken("a --disk"), None);
        assert_eq!(taken("--disk x --disk"), None);
    }
}
