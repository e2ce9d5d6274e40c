//! The machine's state as JSON, made at most so often and shared by all who ask.

use super::figures;
use crate::platform::{self, Pollux};
use crate::services::net::{self, Net, after_ms};
use crate::services::{bench, report};
use crate::{clock, devices, process};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::{self, Write};
use drivers::net::LinkState;
use drivers::storage::{StorageDevice, Writable};
use executor::sync::Semaphore;
use executor::{CoreId, Instant, Platform, Priority};
use hal::memory::{FRAME_SIZE, frames, heap};
use hal::x86_64::cpu;
use hal::x86_64::time::clock::{ticks_to_ns, wall_ns};
use protocols::calendar::Timestamp;
use protocols::json::{OrNull, Text};

/// How long figures are good for.
const FRESH_MS: u64 = 250;

/// Makes the JSON.
pub struct Status {
    net: Net,
    made: RefCell<Option<(Instant, Rc<str>)>>,
    turn: Semaphore,
}

/// The tasks of one name on one core.
#[derive(Default)]
struct Tasks {
    count: u64,
    polls: u64,
    busy_ticks: u64,
    longest_ticks: u64,
}

impl Status {
    /// Nothing made yet.
    pub fn new(net: Net) -> Self {
        Self { net, made: RefCell::new(None), turn: Semaphore::new(1) }
    }

    /// The machine's state, not older than a moment.
    pub async fn json(&self) -> Rc<str> {
        if let Some(text) = self.fresh() {
            return text;
        }
        // Whoever waits here finds what the first has made.
        let _turn = self.turn.acquire(1).await;
        if let Some(text) = self.fresh() {
            return text;
        }
        let tasks = tasks().await;
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut text, &tasks);
        let text: Rc<str> = text.into();
        *self.made.borrow_mut() = Some((after_ms(FRESH_MS), text.clone()));
        text
    }

    fn fresh(&self) -> Option<Rc<str>> {
        let made = self.made.borrow();
        made.as_ref().filter(|(until, _)| Pollux::now() < *until).map(|(_, text)| text.clone())
    }

    fn write(
        &self,
        out: &mut String,
        tasks: &BTreeMap<(u16, &'static str, u8), Tasks>,
    ) -> fmt::Result {
        out.write_char('{')?;
        machine(out)?;
        list(out, "cores", (0..platform::core_count() as u16).map(CoreId), core)?;
        memory(out)?;
        list(out, "networks", self.net.overview(), |out, one| {
            let megabits = match one.link {
                LinkState::Down => None,
                LinkState::Up { megabits } => Some(megabits),
            };
            write!(
                out,
                "{{\"name\":{},\"device\":{},\"mac\":\"{}\",\"link_mbit_s\":{},\"mode\":\"{}\",",
                Text(&one.name),
                Text(one.kind),
                one.mac,
                OrNull(megabits),
                one.mode
            )?;
            list(out, "addresses", &one.addresses, |out, text| write!(out, "{}", Text(text)))?;
            let counts = one.statistics;
            write!(
                out,
                "\"received_frames\":{},\"received_bytes\":{},\"sent_frames\":{},\
                 \"sent_bytes\":{},\"missed\":{},\"receive_errors\":{},\"send_errors\":{},\
                 \"resets\":{},\"lost\":{},\"damaged\":{},\"interrupts\":{},\"sockets\":{}}}",
                counts.received_frames,
                counts.received_bytes,
                counts.transmitted_frames,
                counts.transmitted_bytes,
                counts.missed,
                counts.receive_errors,
                counts.transmit_errors,
                counts.resets,
                one.lost,
                one.damaged,
                one.interrupts,
                one.sockets
            )
        })?;
        list(out, "disks", devices::listed(), |out, listed| disk(out, &listed))?;
        list(out, "devices", devices::functions(), |out, (function, driver)| {
            let header = function.header();
            let class = protocols::pci::class_name(header.class, header.subclass, header.interface);
            write!(
                out,
                "{{\"function\":\"{}\",\"id\":\"{:04x}:{:04x}\",\"what\":{},\"driver\":{}}}",
                function.address(),
                header.vendor,
                header.device,
                Text(class.unwrap_or("unknown")),
                OrNull(driver.as_deref().map(Text))
            )
        })?;
        list(out, "tasks", tasks, |out, ((core, name, priority), sum)| {
            write!(
                out,
                "{{\"core\":{core},\"name\":{},\"priority\":\"{}\",\"count\":{},\"polls\":{},\
                 \"busy_ns\":{},\"longest_poll_ns\":{}}}",
                Text(name),
                ["high", "normal", "low"][usize::from(*priority).min(2)],
                sum.count,
                sum.polls,
                ticks_to_ns(sum.busy_ticks),
                ticks_to_ns(sum.longest_ticks)
            )
        })?;
        list(out, "figures", report::measured(), figures::write)?;
        // Behind the last list stands a comma.
        write!(out, "\"processes\":{}}}", process::live_count())
    }
}

/// `"name":[…],`
fn list<T>(
    out: &mut String,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    write!(out, "\"{name}\":[")?;
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            out.write_char(',')?;
        }
        write(out, item)?;
    }
    out.write_str("],")
}

fn machine(out: &mut String) -> fmt::Result {
    let entry = bench::entry_to_ring3().map(ticks_to_ns);
    write!(
        out,
        "\"name\":{},\"version\":{},\"cpu\":{},\"tsc_hz\":{},\"uptime_ms\":{},\"date\":{},\
         \"entry_to_ring3_ns\":{},\"network_core\":{},",
        Text(&net::settings().host_name),
        Text(env!("CARGO_PKG_VERSION")),
        Text(cpu::features().brand()),
        clock::frequency(),
        clock::nanoseconds() / 1_000_000,
        OrNull(wall_ns().map(|ns| alloc::format!("\"{}\"", Timestamp(ns / 1_000)))),
        OrNull(entry),
        net::core().0
    )
}

fn core(out: &mut String, id: CoreId) -> fmt::Result {
    let here = platform::of(id);
    let stats = here.executor.stats();
    write!(
        out,
        "{{\"core\":{},\"state\":\"{:?}\",\"tasks\":{},\"ready\":{},\"busy_ns\":{},\"idle_ns\":{},\
         \"polls\":{},\"wakes\":{},\"wakes_from_afar\":{},\"sleeps\":{},\"timers\":{},\
         \"stalls\":{},\"longest_poll_ns\":{},\"system_calls\":{}}}",
        id.0,
        here.executor.presence(),
        stats.tasks,
        stats.ready,
        ticks_to_ns(stats.busy_ticks),
        ticks_to_ns(stats.idle_ticks),
        stats.polls,
        stats.wakes_local,
        stats.wakes_remote,
        stats.parks,
        stats.timers_fired,
        stats.stalls,
        ticks_to_ns(stats.longest_poll_ticks),
        here.syslog.head()
    )
}

fn memory(out: &mut String) -> fmt::Result {
    let frames = frames::statistics();
    let heap = heap::statistics();
    let bytes = |frames: u64| frames * FRAME_SIZE as u64;
    write!(
        out,
        "\"memory\":{{\"total_bytes\":{},\"free_bytes\":{},\"least_free_bytes\":{},\
         \"heap_bytes\":{},\"heap_used_bytes\":{},\"device_bytes\":{}}},",
        bytes(frames.total),
        bytes(frames.free()),
        bytes(frames.pool_low_water),
        heap.claimed_bytes,
        heap.used_bytes,
        hal::dma::statistics().in_use
    )
}

fn disk(out: &mut String, listed: &devices::Listed) -> fmt::Result {
    let block = listed.block();
    let info = block.info();
    let counts = listed.is_whole().then(|| figures::disk_counts(block.device())).flatten();
    write!(
        out,
        "{{\"name\":{},\"whole\":{},\"bytes\":{},\"block_bytes\":{},\"writable\":{},\
         \"mode\":\"{}\",\"what\":{},\"commands\":{},\"interrupts\":{}}}",
        Text(block.name()),
        listed.is_whole(),
        info.blocks.saturating_mul(u64::from(info.block_size)),
        info.block_size,
        listed.access() == Writable::Yes,
        block.completion_mode(),
        Text(&listed.description),
        OrNull(counts.map(|counts| counts.0)),
        OrNull(counts.map(|counts| counts.1))
    )
}

/// All tasks, by core, name and priority.
async fn tasks() -> BTreeMap<(u16, &'static str, u8), Tasks> {
    let mut sums: BTreeMap<_, Tasks> = BTreeMap::new();
    for core in (0..platform::core_count() as u16).map(CoreId) {
        let Ok(tasks) = executor::tasks_of::<Pollux>(core).await else { continue };
        for task in tasks {
            let priority = match task.priority {
                Priority::High => 0,
                Priority::Normal => 1,
                Priority::Low => 2,
            };
            let sum = sums.entry((core.0, task.name, priority)).or_default();
            sum.count += 1;
            sum.polls += task.polls;
            sum.busy_ticks += task.busy_ticks;
            sum.longest_ticks = sum.longest_ticks.max(task.longest_poll_ticks);
        }
    }
    sums
}
