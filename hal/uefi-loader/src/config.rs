//! `limine.conf`, the subset that Pollux uses: `timeout` and the first entry.
//!
//! Options are `name: value` lines, names without regard to case; `#` begins a comment line; a line
//! beginning with `/` opens a menu entry. There is no menu here, so the first entry is the one
//! booted and later ones are not read. An option we do not know is reported and skipped; one that
//! we know but cannot honour (another protocol, a path on another device) is an error, because
//! booting something else than what was asked for is worse than not booting.

use alloc::vec::Vec;
use thiserror_no_std::Error;

/// What the configuration asks for; strings borrow from its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config<'a> {
    /// Seconds to wait before booting; `None` waits for a key.
    pub timeout_s: Option<u32>,
    /// Path of the kernel on the boot volume, beginning with `/`.
    pub kernel: &'a str,
    /// Line that names the kernel.
    pub cmdline: &'a str,
    /// Modules in the order of the file.
    pub modules: Vec<Module<'a>>,
    /// Width and height of the screen in pixels, if one is asked for.
    pub resolution: Option<(u32, u32)>,
    /// Options we do not know, for a warning.
    pub unknown: Vec<Unknown<'a>>,
}

/// One file to be loaded beside the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module<'a> {
    /// Path on the boot volume, beginning with `/`.
    pub path: &'a str,
    /// String handed to the kernel with it.
    pub cmdline: &'a str,
}

/// An option that this loader does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// Line number, from 1.
    pub line: usize,
    /// The option's name as written.
    pub name: &'a str,
}

/// Why a configuration cannot be booted. Line numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// A NUL character, which no path or command line can hold.
    #[error("line {0}: holds a NUL character")]
    Nul(usize),
    /// No line begins with `/`.
    #[error("has no entry: write one as a line `/Pollux`")]
    NoEntry,
    /// The first entry names no kernel.
    #[error("line {0}: the entry has no `kernel_path:`")]
    NoKernel(usize),
    /// Neither comment, entry nor `name: value`.
    #[error("line {0}: expected `name: value`")]
    NotAnOption(usize),
    /// `timeout` is neither a number nor `no`.
    #[error("line {0}: `timeout` takes a number of seconds or `no`")]
    Timeout(usize),
    /// `resolution` is not `WIDTHxHEIGHT`.
    #[error("line {0}: `resolution` takes `WIDTHxHEIGHT`")]
    Resolution(usize),
    /// A boot protocol other than `limine`.
    #[error("line {0}: only `protocol: limine` is supported")]
    Protocol(usize),
    /// A path that is not on the boot volume.
    #[error("line {0}: only paths of the form `boot():/path` are supported")]
    Path(usize),
    /// A path with a `#hash`, which this loader would not check.
    #[error("line {0}: this loader does not check file hashes (`#` in a path)")]
    Hash(usize),
    /// A second kernel for the same entry.
    #[error("line {0}: a second `kernel_path:` in one entry")]
    SecondKernel(usize),
    /// `module_cmdline` with no module before it.
    #[error("line {0}: `module_cmdline:` without a `module_path:` before it")]
    NoModule(usize),
    /// An entry nested in another.
    #[error("line {0}: sub-entries are not supported")]
    SubEntry(usize),
    /// An entry's option before the first entry.
    #[error("line {0}: this option belongs inside an entry")]
    OutsideEntry(usize),
}

/// Reads a configuration.
pub fn parse(file: &[u8]) -> Result<Config<'_>, ConfigError> {
    let text = core::str::from_utf8(file).map_err(|_| ConfigError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut config = Config {
        timeout_s: Some(0),
        kernel: "",
        cmdline: "",
        modules: Vec::new(),
        resolution: None,
        unknown: Vec::new(),
    };
    let mut entry = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.contains('\0') {
            return Err(ConfigError::Nul(number));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('/') {
            if title.starts_with('/') {
                return Err(ConfigError::SubEntry(number));
            }
            if entry.is_some() {
                break;
            }
            entry = Some(number);
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(ConfigError::NotAnOption(number))?;
        option(&mut config, entry.is_some(), number, name.trim_end(), value.trim_start())?;
    }
    match entry {
        None => Err(ConfigError::NoEntry),
        Some(line) if config.kernel.is_empty() => Err(ConfigError::NoKernel(line)),
        Some(_) => Ok(config),
    }
}

fn option<'a>(
    config: &mut Config<'a>,
    in_entry: bool,
    line: usize,
    name: &'a str,
    value: &'a str,
) -> Result<(), ConfigError> {
    let is = |known: &[&str]| known.iter().any(|k| name.eq_ignore_ascii_case(k));
    if is(&["timeout"]) {
        config.timeout_s = if value.eq_ignore_ascii_case("no") {
            None
        } else {
            Some(value.parse().map_err(|_| ConfigError::Timeout(line))?)
        };
        return Ok(());
    }
    // Options of the official loader that change nothing here.
    if is(&["quiet", "verbose", "serial", "graphics", "comment", "kaslr", "editor_enabled"]) {
        return Ok(());
    }
    let local = is(&["protocol", "kernel_path", "path", "kernel_cmdline", "cmdline"])
        || is(&["module_path", "module_cmdline", "module_string", "resolution"]);
    if local && !in_entry {
        return Err(ConfigError::OutsideEntry(line));
    }
    if is(&["protocol"]) {
        if !value.eq_ignore_ascii_case("limine") {
            return Err(ConfigError::Protocol(line));
        }
    } else if is(&["kernel_path", "path"]) {
        if !config.kernel.is_empty() {
            return Err(ConfigError::SecondKernel(line));
        }
        config.kernel = boot_path(value, line)?;
    } else if is(&["kernel_cmdline", "cmdline"]) {
        config.cmdline = value;
    } else if is(&["module_path"]) {
        config.modules.push(Module { path: boot_path(value, line)?, cmdline: "" });
    } else if is(&["module_cmdline", "module_string"]) {
        config.modules.last_mut().ok_or(ConfigError::NoModule(line))?.cmdline = value;
    } else if is(&["resolution"]) {
        config.resolution = Some(resolution(value).ok_or(ConfigError::Resolution(line))?);
    } else {
        config.unknown.push(Unknown { line, name });
    }
    Ok(())
}

/// The path inside `boot():/path` (or a bare `/path`).
fn boot_path(value: &str, line: usize) -> Result<&str, ConfigError> {
    let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("boot():"));
    let path = if scheme.is_some() { value.get(7..).unwrap_or("") } else { value };
    if path.contains('#') {
        return Err(ConfigError::Hash(line));
    }
    if !path.starts_with('/') || path.len() < 2 {
        return Err(ConfigError::Path(line));
    }
    Ok(path)
}

/// `WIDTHxHEIGHT` with an optional `xBPP`, which GOP does not let us choose.
fn resolution(value: &str) -> Option<(u32, u32)> {
    let mut numbers = value.split(['x', 'X']).map(|number| number.trim().parse::<u32>().ok());
    let size = (numbers.next()??, numbers.next()??);
    if let Some(depth) = numbers.next() {
        depth?;
    }
    (numbers.next().is_none() && size.0 != 0 && size.1 != 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "\u{feff}timeout: 3\r\n# a comment\nterm_font: x\n\n/Pollux\n    protocol: limine\n    \
        KERNEL_PATH: boot():/pollux/kernel\n    kernel_cmdline: log=info run=a:b\n    \
        module_path: boot():/pollux/init\n    module_cmdline: init\n    module_path: /b\n\
        resolution: 1024x768x32\n/Second\n    protocol: linux\n";

    #[test]
    fn reads_what_it_should() {
        let config = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(config.timeout_s, Some(3));
        assert_eq!(config.kernel, "/pollux/kernel");
        assert_eq!(config.cmdline, "log=info run=a:b");
        assert_eq!(config.modules[0], Module { path: "/pollux/init", cmdline: "init" });
        assert_eq!(config.modules[1], Module { path: "/b", cmdline: "" });
        assert_eq!(config.resolution, Some((1024, 768)));
        assert_eq!(config.unknown, [Unknown { line: 3, name: "term_font" }]);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(error(""), ConfigError::NoEntry);
        assert_eq!(error("timeout: soon"), ConfigError::Timeout(1));
        assert_eq!(error("/P\nprotocol: linux"), ConfigError::Protocol(2));
        assert_eq!(error("/P\n"), ConfigError::NoKernel(1));
        assert_eq!(error("/P\n//Q"), ConfigError::SubEntry(2));
        assert_eq!(error("/P\npath: hdd(1:1):/k"), ConfigError::Path(2));
        assert_eq!(error("/P\npath: boot():/"), ConfigError::Path(2));
        assert_eq!(error("/P\npath: boot():/k#12"), ConfigError::Hash(2));
        assert_eq!(error("/P\npath: /k\nkernel_path: /k"), ConfigError::SecondKernel(3));
        assert_eq!(error("/P\nmodule_cmdline: x"), ConfigError::NoModule(2));
        assert_eq!(error("/P\nrubbish"), ConfigError::NotAnOption(2));
        assert_eq!(error("/P\npath: /k\0"), ConfigError::Nul(2));
        assert_eq!(error("path: /k\n/P"), ConfigError::OutsideEntry(1));
        assert_eq!(error("/P\nresolution: 0x3"), ConfigError::Resolution(2));
        assert_eq!(parse(b"\xff\xfe"), Err(ConfigError::NotText));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn never_panics_on_near_misses(cut in 0..GOOD.len(), at in 0..GOOD.len(), with in any::<u8>()) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = with;
            bytes.truncate(cut);
            if let Ok(config) = parse(&bytes) {
                prop_assert!(config.kernel.starts_with('/'));
                prop_assert!(config.modules.iter().all(|module| module.path.starts_with('/')));
            }
        }
    }
}
