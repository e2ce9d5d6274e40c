//! The course of a boot, up to the last point from which there is a way back.

use crate::console::{say, wait_for_ever, wait_for_key};
use crate::handoff::{self, Prepared};
use crate::pages::Pages;
use crate::volume::{self, BootVolume, Loaded};
use crate::{machine, screen};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use thiserror_no_std::Error;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Guid, Status, runtime, system, table};
use uefi_loader::config::{self, Config, ConfigError};
use uefi_loader::date::unix_seconds;
use uefi_loader::elf::{ElfError, Kernel};
use uefi_loader::memory_map::MapFull;
use uefi_loader::paging::PagingError;
use uefi_loader::requests::{Feature, RequestError, Requests};
use uefi_loader::responses::{self, Arena, Facts, File, Framebuffer, ResponseError};

const CONFIG: &str = "/limine.conf";
const LONGEST_CONFIG: u64 = 64 << 10;

/// What went wrong, apart from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    #[error("is not on the boot volume")]
    NotFound,
    #[error("is a directory")]
    Directory,
    #[error("has a name this firmware cannot express")]
    Name,
    #[error("is {len} bytes long; at most {limit} are read")]
    TooLarge { len: u64, limit: u64 },
    #[error("ends after {done} of {len} bytes: the volume is damaged")]
    Short { done: u64, len: u64 },
    #[error("not enough memory ({0} bytes in one piece)")]
    NoMemory(u64),
    #[error("the firmware reports {1} for its {0}")]
    Firmware(&'static str, Status),
    #[error("this firmware runs with 5-level paging, which this loader cannot leave")]
    FiveLevels,
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Elf(#[from] ElfError),
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Response(#[from] ResponseError),
    #[error("{0}")]
    Paging(#[from] PagingError),
    #[error("{0}")]
    Map(#[from] MapFull),
}

/// What went wrong, and with which file.
#[derive(Debug)]
pub struct Failure {
    subject: String,
    reason: Reason,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

/// Names the file that a reason is about.
fn about<E: Into<Reason>>(subject: &str) -> impl FnOnce(E) -> Failure {
    move |reason| Failure { subject: subject.to_string(), reason: reason.into() }
}

/// Boots; returns only if it cannot.
pub fn boot() -> Result<Infallible, Failure> {
    let mut files = BootVolume::open().map_err(about("boot volume"))?;
    let text = files.read(CONFIG, LONGEST_CONFIG).map_err(about(CONFIG))?;
    let config = config::parse(text.bytes()).map_err(about(CONFIG))?;
    for option in &config.unknown {
        let (line, name) = (option.line, option.name);
        say(format_args!(
            "pollux uefi-loader: {CONFIG}: line {line}: `{name}` is not known, skipped\n"
        ));
    }
    match config.timeout_s {
        Some(0) => {}
        Some(seconds) => wait_for_key("Booting", seconds),
        None => wait_for_ever("Booting"),
    }
    if machine::five_levels() {
        return Err(about("processor")(Reason::FiveLevels));
    }

    let file = files.read(config.kernel, u64::MAX).map_err(about(config.kernel))?;
    let kernel = Kernel::parse(file.bytes()).map_err(about(config.kernel))?;
    let short = Reason::NoMemory(kernel.image_len);
    let mut image = Pages::allocate(kernel.image_len).ok_or(short).map_err(about(config.kernel))?;
    kernel.place(file.bytes(), &mut image);
    let requests = Requests::scan(&image).map_err(about(config.kernel))?;

    let mut modules = Vec::new();
    if requests.wants(Feature::Module) {
        for module in &config.modules {
            modules.push(files.read(module.path, u64::MAX).map_err(about(module.path))?);
        }
    }
    drop(files);
    prepare(&config, &kernel, image, &requests, &file, &modules).map_err(about(config.kernel))
}

/// Answers the kernel's requests and gets ready to leave. What fails here is the kernel's doing, or
/// a want of memory.
fn prepare(
    config: &Config<'_>,
    kernel: &Kernel,
    mut image: Pages,
    requests: &Requests,
    file: &Loaded,
    modules: &[Loaded],
) -> Result<Infallible, Reason> {
    let screen = screen::find(config.resolution);
    let kernel_file = describe(file, config.kernel, config.cmdline);
    let described = modules.iter().zip(&config.modules);
    let described: Vec<_> =
        described.map(|(file, module)| describe(file, module.path, module.cmdline)).collect();
    let rsdp = table_of(ConfigTableEntry::ACPI2_GUID).or(table_of(ConfigTableEntry::ACPI_GUID));
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        volume: volume::identity(),
        kernel_file,
        modules: &described,
        kernel_physical: image.physical(),
        kernel_virtual: kernel.base,
        framebuffer: screen.as_ref().map(|screen| Framebuffer {
            physical: screen.physical,
            mode: screen.mode,
            modes: &screen.modes,
            edid: &screen.edid,
        }),
        rsdp,
        smbios: [table_of(ConfigTableEntry::SMBIOS_GUID), table_of(ConfigTableEntry::SMBIOS3_GUID)],
        system_table: table::system_table_raw().map_or(0, |table| table.as_ptr() as u64),
        unix_seconds: now(),
    };

    let map = handoff::empty_map()?;
    let texts = config.kernel.len()
        + config.cmdline.len()
        + config
            .modules
            .iter()
            .map(|module| 256 + module.path.len() + module.cmdline.len())
            .sum::<usize>();
    let screen_len =
        screen.as_ref().map_or(0, |screen| 48 * screen.modes.len() + screen.edid.len());
    let arena_len = 4096 + texts + screen_len + responses::memory_map_len(map.most_entries());
    let mut arena = Pages::allocate(arena_len as u64).ok_or(Reason::NoMemory(arena_len as u64))?;
    let arena_virtual = arena.physical() + uefi_loader::HHDM;
    let mut arena = Arena::new(&mut arena, arena_virtual);
    responses::answer(requests, &mut image, &mut arena, &facts)?;
    let stack_len = responses::stack_len(requests, &image);
    let stack = stack_len.checked_next_multiple_of(uefi_loader::PAGE).and_then(Pages::allocate);
    let entry = responses::entry(requests, &image, kernel)?;

    let mut taken = Vec::new();
    for loaded in core::iter::once(file).chain(modules) {
        taken.push((loaded.pages.physical(), loaded.pages.len()));
    }
    taken.push((image.physical(), image.len()));
    let (count, bytes) = (modules.len(), modules.iter().map(|module| module.len).sum::<u64>());
    say(format_args!(
        "pollux uefi-loader: {} ({} KiB), {count} modules ({} KiB), base revision {}\n",
        config.kernel,
        file.len >> 10,
        bytes >> 10,
        requests.revision(),
    ));
    handoff::hand_over(Prepared {
        kernel,
        requests,
        image: &mut image,
        arena,
        stack: stack.ok_or(Reason::NoMemory(stack_len))?,
        entry,
        executable: &taken,
        framebuffer: screen.as_ref().map(|screen| (screen.physical, screen.mode.bytes())),
        io_apics: rsdp.map(machine::io_apics).unwrap_or_default(),
        map,
    })
}

fn describe<'a>(file: &Loaded, path: &'a str, cmdline: &'a str) -> File<'a> {
    File { physical: file.pages.physical(), len: file.len, path, cmdline }
}

/// Physical address of one of the firmware's configuration tables.
fn table_of(guid: Guid) -> Option<u64> {
    system::with_config_table(|tables| {
        tables.iter().find(|table| table.guid == guid).map(|table| table.address as u64)
    })
}

fn now() -> Option<i64> {
    let time = runtime::get_time().ok()?;
    let date = (time.year(), time.month(), time.day());
    let clock = (time.hour(), time.minute(), time.second());
    Some(unix_seconds(date, clock, time.time_zone().unwrap_or(0)))
}
