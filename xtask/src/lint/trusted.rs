//! The trusted core: what must be right for authority to hold, counted so that it stays small
//! enough to be read.
//!
//! Counted are lines of code: no blank lines, no comments, nothing under `#[cfg(test)]`, no test
//! files.

use super::Breach;
use super::source::Source;

/// Most lines of it.
pub const MOST: usize = 3000;

/// Folders (ending in `/`) and single files of the core. What is listed exists.
const CORE: &[&str] = &[
    // Who holds what, and what a commit does to it.
    "protocols/src/axiom/",
    // The same in the kernel: the lock around it, and what its effects do.
    "kernel/src/authority/",
    // Messages, and capabilities in them.
    "kernel/src/ipc/",
    // System calls.
    "kernel/src/gateway/",
    // Handle tables, address spaces.
    "kernel/src/process/handles.rs",
    "kernel/src/process/space.rs",
    "kernel/src/process/space/",
];

/// What the core stands on: the machine's ways into ring 3 and out of it, and its page tables.
/// Counted apart.
const MACHINE: &[&str] = &[
    "hal/src/x86_64/user/entry.rs",
    "hal/src/x86_64/paging/space.rs",
    "hal/src/x86_64/paging/tables.rs",
];

/// What lies in those folders and is not of the core: nobody's authority depends on it.
const BESIDE: &[&str] = &[
    // What happened, for others to read: history, not authority.
    "protocols/src/axiom/chain.rs",
    "protocols/src/axiom/encoding.rs",
    "protocols/src/axiom/name.rs",
    "protocols/src/axiom/replay.rs",
    "protocols/src/axiom/show.rs",
    "protocols/src/axiom/state/encode.rs",
    "kernel/src/authority/log/mod.rs",
    "kernel/src/authority/log/place.rs",
    // They only look.
    "protocols/src/axiom/state/verify.rs",
    "protocols/src/axiom/state/view.rs",
    "kernel/src/authority/view.rs",
    // Clients of it: the kernel's own servers, and what these hold.
    "kernel/src/authority/capability.rs",
    "kernel/src/ipc/service.rs",
    // Without an IOMMU a lent device can do anything: there is no authority to be kept.
    "kernel/src/gateway/device.rs",
];

/// Where the lists are.
const HERE: &str = "xtask/src/lint/trusted.rs";

/// Lines of each entry of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// By entry, in the list's order.
    pub parts: Vec<(&'static str, usize)>,
    /// Of what it stands on.
    pub machine: usize,
}

impl Core {
    /// Counts what is listed among `files`.
    pub fn count(files: &[(&str, Source)]) -> Self {
        let machine = Self::of(MACHINE, files).sum();
        Self { machine, ..Self::of(CORE, files) }
    }

    fn of(list: &[&'static str], files: &[(&str, Source)]) -> Self {
        let part = |entry: &&'static str| {
            let part = files.iter().filter(|(name, _)| is_within(name, entry) && counts(name));
            (*entry, part.map(|(_, source)| lines(source)).sum())
        };
        Self { parts: list.iter().map(part).collect(), machine: 0 }
    }

    /// All of it.
    pub fn sum(&self) -> usize {
        self.parts.iter().map(|(_, lines)| lines).sum()
    }

    /// What is wrong: too much, or a list of what isn't there.
    pub fn breaches(&self) -> Vec<Breach> {
        let empty = self.parts.iter().filter(|(_, lines)| *lines == 0);
        let mut breaches: Vec<Breach> = empty
            .map(|(entry, _)| {
                Breach::error(HERE, 1, format!("there is no code in {entry}: correct the list"))
            })
            .collect();
        let sum = self.sum();
        if sum > MOST {
            let message = format!(
                "the trusted core has {sum} lines of code, at most {MOST} may be: move out what \
                 nobody's authority depends on"
            );
            let largest = self.parts.iter().max_by_key(|(_, lines)| *lines);
            breaches.push(Breach::error(largest.map_or(HERE, |part| part.0), 1, message));
        }
        breaches
    }

    /// One line for people, and one for each part.
    pub fn table(&self) -> String {
        let parts = self.parts.iter().map(|(entry, lines)| format!("{lines:>6}  {entry}\n"));
        let (sum, machine) = (self.sum(), self.machine);
        let parts: String = parts.collect();
        format!("{parts}{sum:>6}  trusted core, of {MOST}; {machine} of the machine below it\n")
    }
}

fn is_within(name: &str, entry: &str) -> bool {
    if entry.ends_with('/') { name.starts_with(entry) } else { name == entry }
}

fn counts(name: &str) -> bool {
    let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
    !is_test && !BESIDE.contains(&name)
}

/// Lines of code that are not only for tests.
fn lines(source: &Source) -> usize {
    let mut count = 0;
    // Braces that are open in an item for tests; `None` outside of one.
    let mut test: Option<usize> = None;
    for (_, code) in source.code() {
        let code = code.trim();
        if test.is_none() && code.starts_with("#[cfg(test)]") {
            test = Some(0);
        }
        match test {
            None => count += usize::from(!code.is_empty()),
            Some(before) => {
                let open = before + code.matches('{').count();
                let left = open.saturating_sub(code.matches('}').count());
                let ends = left == 0 && (code.ends_with(';') || code.ends_with('}'));
                test = if ends { None } else { Some(left) };
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[&str] = &["a/b/", "a/c.rs"];

    #[test]
    fn code_is_counted_and_nothing_else() {
        let text = "//! Head.\n\nuse x; // Why.\n\n/* more\n   of it */\nfn f() {\n    g();\n}\n";
        assert_eq!(lines(&Source::new(text)), 4);
        let tests = format!(
            "{text}#[cfg(test)]\nmod t;\n#[cfg(test)]\nmod tests {{\n    fn t() {{\n    }}\n}}\n\
             #[cfg(test)]\nuse y;\nfn h() {{}}\n"
        );
        assert_eq!(lines(&Source::new(&tests)), 5);
        assert_eq!(
            lines(&Source::new("#[cfg(test)]\nfn f(\n    x: u8,\n) {\n    \"}\";\n}\nz;")),
            1
        );
    }

    #[test]
    fn what_is_listed_is_summed_up() {
        let files = [
            ("a/b/x.rs", Source::new("a;\nb;")),
            ("a/b/tests.rs", Source::new("a;")),
            ("a/b/d/e.rs", Source::new("a;")),
            ("a/c.rs", Source::new("a;")),
            ("a/d.rs", Source::new("a;")),
        ];
        let core = Core::of(LIST, &files);
        assert_eq!(core.parts, [("a/b/", 3), ("a/c.rs", 1)]);
        assert!(core.breaches().is_empty());
        assert!(core.table().contains("     4  trusted core"), "{}", core.table());
    }

    #[test]
    fn too_much_and_what_is_not_there_are_breaches() {
        let large = [("a/b/x.rs", Source::new(&"x;\n".repeat(MOST + 1)))];
        let core = Core::of(LIST, &large);
        let messages: Vec<String> = core.breaches().iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("no code in a/c.rs"), "{messages:?}");
        assert!(messages[1].contains("has 3001 lines"), "{messages:?}");
    }
}
