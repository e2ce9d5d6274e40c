//! Puts built files, loader and configuration together into a boot medium.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::build::{self, Built};
use crate::image::{self, Entry};
use crate::limine::{self, Loader};
use crate::options::Options;

/// The files of a boot medium: what the contract between loader and kernel names.
pub fn entries(built: &Built, loader: &Loader, command_line: &str) -> Result<Vec<Entry>> {
    let names = built.modules.iter().map(|module| module.name.as_str());
    let configuration = limine::configuration(command_line, names)?;
    let bootx64 = fs::read(&loader.path)
        .with_context(|| format!("cannot read the loader {}", loader.path.display()))?;
    let mut entries = vec![
        Entry::new("EFI/BOOT/BOOTX64.EFI", bootx64),
        Entry::new("limine.conf", configuration),
        Entry::new("pollux/kernel", built.kernel.clone()),
    ];
    for module in &built.modules {
        entries.push(Entry::new(format!("pollux/{}", module.name), module.contents.clone()));
    }
    Ok(entries)
}

/// Writes them to an image.
pub fn write(path: &Path, built: &Built, loader: &Loader, command_line: &str) -> Result<()> {
    image::write(path, &entries(built, loader, command_line)?)
}

/// The kernel's command line by the flags, with `words` that the command itself needs.
pub fn command_line(options: &Options, words: &[&str]) -> String {
    let level = options.log.as_deref().unwrap_or("info");
    let mut line = vec![format!("log={level}")];
    line.extend(words.iter().map(|word| (*word).to_owned()));
    line.extend((!options.cmdline.is_empty()).then(|| options.cmdline.clone()));
    line.join(" ")
}

/// Adds the user's program to the modules and returns the name it has there.
pub fn add_program(built: &mut Built, path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("program");
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    ensure!(
        !["kernel", "kernel.sym"].contains(&name.as_str()),
        "a program cannot be called `{name}`; rename the file"
    );
    let module = build::program(&name, path)?;
    built.modules.retain(|other| other.name != name);
    built.modules.push(module);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Module;
    use crate::limine::Kind;

    #[test]
    fn the_medium_holds_what_the_kernel_expects() {
        let path = std::env::temp_dir().join(format!("xtask-loader-{}", std::process::id()));
        fs::write(&path, "MZ").unwrap();
        let loader = Loader { kind: Kind::Limine, path: path.clone() };
        let modules = vec![Module { name: "ping".to_owned(), contents: vec![1] }];
        let built = Built { kernel: vec![2], unstripped: "k".into(), modules };
        let entries = entries(&built, &loader, "log=info").unwrap();
        fs::remove_file(path).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let expected = ["EFI/BOOT/BOOTX64.EFI", "limine.conf", "pollux/kernel", "pollux/ping"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn command_lines_put_the_users_words_last() {
        let options = Options { cmdline: "log=trace".to_owned(), ..Options::default() };
        assert_eq!(command_line(&options, &["headless"]), "log=info headless log=trace");
    }
}
