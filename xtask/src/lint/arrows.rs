//! Imports between crates go down only, and what touches the machine stays in `hal`.

use super::Breach;
use super::source::Source;

/// Folder of a crate, and which of ours it may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("xtask", &["protocols"]),
    ("bench", &["drivers", "executor", "hal", "protocols"]),
    ("kernel", &["drivers", "executor", "hal", "protocols"]),
    ("drivers", &["executor", "hal", "protocols"]),
    ("executor", &[]),
    ("hal/uefi-loader", &["protocols"]),
    ("hal", &["protocols"]),
    ("protocols", &[]),
];

/// Our crates, as imported.
const OURS: &[&str] =
    &["bench", "drivers", "executor", "hal", "kernel", "protocols", "uefi_loader", "xtask"];

/// Crates that touch the machine.
const MACHINE: &[&str] = &["acpi", "limine", "uart_16550", "uefi", "x86_64"];

/// The crate that `file` belongs to, with what it may import.
fn arrows_of(file: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    ARROWS.iter().find(|(folder, _)| file.starts_with(&format!("{folder}/")))
}

/// What is wrong with importing `import` from `folder`.
fn breach(folder: &str, allowed: &[&str], import: &str) -> Option<String> {
    let import = import.replace('-', "_");
    let import = import.as_str();
    let own = folder.rsplit('/').next().unwrap_or(folder).replace('-', "_");
    if OURS.contains(&import) && import != own && !allowed.contains(&import) {
        let may = if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") };
        return Some(format!("`{folder}` must not import `{import}` (it may import {may})"));
    }
    if MACHINE.contains(&import) && !folder.starts_with("hal") {
        return Some(format!("`{import}` touches the machine: only `hal` may import it"));
    }
    None
}

/// Checks the dependency tables of a `Cargo.toml`.
pub fn manifest(file: &str, text: &str) -> Vec<Breach> {
    let Some((folder, allowed)) = arrows_of(file) else { return Vec::new() };
    let mut breaches = Vec::new();
    let mut in_table = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let mut import = None;
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(|c| c == '[' || c == ']');
            in_table = header.ends_with("dependencies");
            if let Some((_, name)) = header.split_once("dependencies.") {
                import = Some(name);
            }
        } else if in_table && !line.starts_with('#') {
            import = line.split(['.', '=']).next().map(str::trim).filter(|name| !name.is_empty());
        }
        // A crate may go by another name here.
        let renamed = line.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
        let found = [import, renamed.filter(|_| in_table)];
        let found = found.into_iter().flatten().find_map(|name| breach(folder, allowed, name));
        breaches.extend(found.map(|message| Breach::error(file, at + 1, message)));
    }
    breaches
}

/// Checks the `use` and `extern crate` lines of a Rust file.
pub fn imports(file: &str, source: &Source) -> Vec<Breach> {
    let Some((folder, allowed)) = arrows_of(file) else { return Vec::new() };
    let mut breaches = Vec::new();
    for (line, code) in source.code() {
        let mut code = code.trim();
        while let Some(rest) = code.strip_prefix("pub") {
            code = rest.trim_start_matches(|c: char| c != ' ').trim_start();
        }
        let Some(path) = code.strip_prefix("use ").or_else(|| code.strip_prefix("extern crate "))
        else {
            continue;
        };
        let path = path.trim_start_matches("::");
        let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // `use self::…`-style paths name modules, not crates; so does a bare name of one.
        let message =
            breach(folder, allowed, &name).filter(|_| path[name.len()..].starts_with(':'));
        breaches.extend(message.map(|message| Breach::error(file, line, message)));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_go_down_only() {
        let text = "[dependencies]\nhal.workspace = true\nlog = \"1\"\n";
        let found = manifest("executor/Cargo.toml", text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), ("executor/Cargo.toml", 2));
        assert!(manifest("drivers/Cargo.toml", text).is_empty());
        assert_eq!(
            manifest("kernel/Cargo.toml", "[dependencies.x86_64]\nversion = \"1\"").len(),
            1
        );
        let renamed = "[dev-dependencies]\nh = { package = \"kernel\", path = \"..\" }\n";
        assert_eq!(manifest("hal/Cargo.toml", renamed).len(), 1);
        assert!(manifest("hal/uefi-loader/Cargo.toml", "[dependencies]\nuefi = \"1\"").is_empty());
        assert!(manifest("Cargo.toml", text).is_empty());
        assert!(manifest("drivers/Cargo.toml", "[package]\nname = \"x\"\nkernel = 1\n").is_empty());
    }

    #[test]
    fn imports_go_down_only() {
        let source = Source::new("use crate::hal;\npub(crate) use kernel::x;\n// use xtask::y;\n");
        let found = imports("drivers/src/lib.rs", &source);
        assert_eq!(found.iter().map(|breach| breach.line).collect::<Vec<_>>(), [2]);
        assert!(imports("drivers/src/lib.rs", &Source::new("use hal::pci;")).is_empty());
        assert_eq!(
            imports("kernel/src/a.rs", &Source::new("use ::x86_64::instructions;")).len(),
            1
        );
    }
}
