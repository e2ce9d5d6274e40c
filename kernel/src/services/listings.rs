//! What the shell lists: cores, tasks, memory.

use crate::clock;
use crate::platform::{self, Pollux};
use crate::process::{self, image};
use alloc::format;
use alloc::string::{String, ToString};
use executor::{CoreId, Priority, TaskState};
use hal::memory::{frames, heap};
use hal::x86_64::percpu;
use hal::x86_64::time::clock::ticks_to_ns;
use kernel_text::grid::Grid;
use kernel_text::quantity::{Bytes, Count, Nanoseconds, Share};
use protocols::abi::ExitStatus;

fn core_ids() -> impl Iterator<Item = CoreId> {
    (0..platform::core_count() as u16).map(CoreId)
}

fn ticks(ticks: u64) -> String {
    Nanoseconds(ticks_to_ns(ticks)).to_string()
}

fn count(number: u64) -> String {
    Count(number).to_string()
}

/// Each core's state and figures.
pub fn cores() -> Grid {
    let headings = [
        "core",
        "apic",
        "<state",
        "tasks",
        "polls",
        "idle",
        "wakes",
        "from afar",
        "sleeps",
        "timers",
        "longest poll",
        "calls",
    ];
    let mut grid = Grid::new(&headings);
    for core in core_ids() {
        let here = platform::of(core);
        let stats = here.executor.stats();
        let whole = stats.idle_ticks + stats.busy_ticks;
        let apic = percpu::of(core.0).map_or(String::from("?"), |cpu| cpu.lapic_id().to_string());
        grid.row(
            [
                core.0.to_string(),
                apic,
                format!("{:?}", here.executor.presence()).to_lowercase(),
                count(stats.tasks.into()),
                count(stats.polls),
                Share { part: stats.idle_ticks, whole }.to_string(),
                count(stats.wakes_local),
                count(stats.wakes_remote),
                count(stats.parks),
                count(stats.timers_fired),
                ticks(stats.longest_poll_ticks),
                count(here.syslog.head()),
            ]
            .into(),
        );
    }
    grid
}

/// Every task of `core`, or of all cores.
pub async fn tasks(core: Option<CoreId>) -> Grid {
    let headings = ["core", "<task", "<priority", "<state", "polls", "busy", "longest poll"];
    let mut grid = Grid::new(&headings);
    for core in core_ids().filter(|id| core.is_none_or(|core| core == *id)) {
        let Ok(tasks) = executor::tasks_of::<Pollux>(core).await else { continue };
        for task in tasks {
            let priority = match task.priority {
                Priority::High => "high",
                Priority::Normal => "normal",
                Priority::Low => "low",
            };
            let state = match task.state {
                TaskState::Waiting => "waiting",
                TaskState::Ready => "ready",
                TaskState::Polling => "polling",
            };
            grid.row(
                [
                    core.0.to_string(),
                    task.name.into(),
                    priority.into(),
                    state.into(),
                    count(task.polls),
                    ticks(task.busy_ticks),
                    ticks(task.longest_poll_ticks),
                ]
                .into(),
            );
        }
    }
    grid
}

/// Frames, heap, processes.
pub fn memory() -> Grid {
    let mut grid = Grid::new(&["<", "", "<"]);
    let frames = frames::statistics();
    let bytes = |frames: u64| Bytes(frames * hal::memory::FRAME_SIZE as u64).to_string();
    let mut line =
        |what: &str, value: String, more: String| grid.row([what.into(), value, more].into());
    line("memory", bytes(frames.total), format!("{} frames", Count(frames.total)));
    line("free", bytes(frames.free()), format!("{} frames", Count(frames.free())));
    line("  kept by cores", bytes(frames.cached), String::new());
    line("  least free in the pool ever", bytes(frames.pool_low_water), String::new());
    let heap = heap::statistics();
    line("kernel heap", Bytes(heap.claimed_bytes as u64).to_string(), String::new());
    line("  in use", Bytes(heap.used_bytes as u64).to_string(), String::new());
    line("  kept by cores", Bytes(heap.cached_bytes as u64).to_string(), String::new());
    line("processes", process::live_count().to_string(), String::new());
    line("programs", image::all().len().to_string(), String::new());
    grid
}

/// Frames in use, without those of the heap, which keeps what it once took, and of drivers, which
/// keep what a request once needed.
pub fn frames_in_use() -> u64 {
    let frames = frames::statistics();
    let dma = hal::dma::statistics();
    // What cores keep for their next DMA buffers is free, in other hands.
    let drivers = (dma.in_use - dma.shared.min(dma.in_use) + dma.pooled) as u64;
    let others = (heap::statistics().claimed_bytes + drivers) / hal::memory::FRAME_SIZE as u64;
    (frames.total - frames.free()).saturating_sub(others)
}

/// How long the kernel has run.
pub fn uptime() -> String {
    let seconds = clock::nanoseconds() / 1_000_000_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let load = core_ids().map(|core| platform::of(core).executor.load().tasks).sum::<u32>();
    format!(
        "up {hours}:{minutes:02}:{:02}, {} cores, {load} tasks, {} processes",
        seconds % 60,
        platform::core_count(),
        process::live_count()
    )
}

/// A process's end in words.
pub fn how_it_ended(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(0) => "ended well".into(),
        ExitStatus::Exited(code) => format!("left with code {code}"),
        ExitStatus::Killed => "was killed".into(),
        ExitStatus::Faulted(vector) => {
            let what = hal::x86_64::exceptions::exception_name(vector.into());
            format!("died of an exception ({what})")
        }
    }
}
