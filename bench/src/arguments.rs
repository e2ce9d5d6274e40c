//! Reading a program's arguments: words, `key=value`, `image=NAME:n` and `disk=NAME:n`.

/// The value of the first `key=value` argument with this key; the first argument, the program's
/// name, is not looked at.
pub fn value<'a>(args: &[&'a str], key: &str) -> Option<&'a str> {
    args.iter()
        .skip(1)
        .find_map(|argument| argument.split_once('=').filter(|(left, _)| *left == key))
        .map(|(_, right)| right)
}

/// Name and number in each `image=NAME:n`, or of another key that is given so.
pub fn numbered<'a>(args: &[&'a str], key: &str) -> impl Iterator<Item = (&'a str, u32)> {
    args.iter().skip(1).filter_map(move |argument| {
        let (left, meant) = argument.split_once('=')?;
        let (name, number) = meant.rsplit_once(':').filter(|_| left == key)?;
        Some((name, number.parse().ok()?))
    })
}

/// The number in `image=NAME:n` for this name.
pub fn image_number(args: &[&str], name: &str) -> Option<u32> {
    numbered(args, "image").find(|(other, _)| *other == name).map(|(_, number)| number)
}

/// Whether a metric of this name is wanted: no `filter=`, or one that it starts with.
pub fn wanted(args: &[&str], metric: &str) -> bool {
    value(args, "filter").is_none_or(|prefix| metric.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &[&str] = &["bench", "quick", "filter=ipc.", "image=a:b:7", "image=noop:2", "x="];

    #[test]
    fn finds_values_and_images() {
        assert_eq!(value(ARGS, "filter"), Some("ipc."));
        assert_eq!(value(ARGS, "x"), Some(""));
        assert_eq!(value(ARGS, "bench"), None);
        assert_eq!(value(&["filter=a"], "filter"), None);
        assert_eq!(image_number(ARGS, "noop"), Some(2));
        assert_eq!(image_number(ARGS, "a:b"), Some(7));
        assert_eq!(image_number(ARGS, "a"), None);
        assert_eq!(image_number(&["p", "image=n:x"], "n"), None);
        assert!(numbered(&["p", "disk=a:0", "x", "disk=b:1"], "disk").eq([("a", 0), ("b", 1)]));
    }

    #[test]
    fn filters_by_prefix() {
        assert!(wanted(ARGS, "ipc.call_reply"));
        assert!(!wanted(ARGS, "syscall.null"));
        assert!(wanted(&["bench"], "syscall.null"));
    }
}
