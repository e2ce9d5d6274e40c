//! The shell's command `syslog`: the last system calls of each core, and what of them is lost.

use crate::clock;
use crate::logs::syslog::{Entry, Event, PENDING, RECORDS};
use crate::platform;
use crate::services::console;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use executor::CoreId;
use hal::x86_64::time::clock::ticks_to_ns;
use kernel_text::grid::Grid;
use kernel_text::quantity::{Count, Nanoseconds};
use protocols::abi::{Error, Syscall};

/// Records shown.
const SHOWN: u64 = 16;

/// `syslog`: how much each core has recorded, and how much of it is there.
pub async fn list() {
    let mut grid = Grid::new(&["core", "recorded", "overwritten", "the last, after boot", "<"]);
    for core in (0..platform::core_count() as u16).map(CoreId) {
        let log = &platform::of(core).syslog;
        let head = log.head();
        let last = head.checked_sub(1).and_then(|last| log.read(last));
        let row = [
            core.0.to_string(),
            Count(head).to_string(),
            Count(oldest(head)).to_string(),
            last.map_or_else(String::new, |entry| since(entry.tsc)),
            last.map_or_else(String::new, |entry| name(entry.number)),
        ];
        grid.row(row.into());
    }
    console::show(grid.lines()).await;
}

/// `syslog CORE [COUNT]`: its last records.
pub async fn show(core: CoreId, most: Option<u64>) {
    let log = &platform::of(core).syslog;
    let head = log.head();
    if head == 0 {
        console::say(format_args!("no system calls on {core} yet; `cores` counts them"));
        return;
    }
    let headings =
        ["record", "after boot", "thread", "<", "<call", "<arguments or values", "<result"];
    let mut grid = Grid::new(&headings);
    let from = head.saturating_sub(most.unwrap_or(SHOWN));
    let first = from.max(oldest(head));
    let mut lost = first - from;
    let entries: Vec<Entry> = (first..head).filter_map(|sequence| log.read(sequence)).collect();
    // The core goes on recording meanwhile.
    lost += (head - first) - entries.len() as u64;
    for entry in &entries {
        let [a, b, c, d] = entry.values;
        grid.row(
            [
                Count(entry.sequence).to_string(),
                since(entry.tsc),
                format!("{}.{}", entry.stamp.process(), entry.stamp.thread()),
                if entry.event == Event::Request { "->" } else { "<-" }.into(),
                name(entry.number),
                format!("{a:#x} {b:#x} {c:#x} {d:#x}"),
                result(entry.result),
            ]
            .into(),
        );
    }
    console::show(grid.lines()).await;
    if lost > 0 {
        console::say(format_args!("{} more are lost: overwritten by later ones", Count(lost)));
    }
}

/// The oldest record that may still be there.
const fn oldest(head: u64) -> u64 {
    (head + 1).saturating_sub(RECORDS as u64)
}

fn since(tsc: u64) -> String {
    Nanoseconds(ticks_to_ns(tsc.saturating_sub(clock::entry_ticks()))).to_string()
}

fn name(number: u8) -> String {
    let call = Syscall::from_raw(number.into());
    call.map_or_else(|| format!("no call {number}"), |call| format!("{call:?}"))
}

fn result(raw: u64) -> String {
    if raw == PENDING {
        return "waits".into();
    }
    match protocols::abi::decode(raw) {
        Ok(value) => format!("{value:#x}"),
        Err(error) => format!("{:?}", error as Error),
    }
}
