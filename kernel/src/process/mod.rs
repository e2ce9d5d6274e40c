//! Ring-3 processes: an address space, a table of capabilities, threads on any cores.
//!
//! A process ends once: by its own exit, with its last thread, by a fault or by a kill, whichever
//! is first. Then every thread's task is told to die, each takes its thread out of whatever it
//! waits in, and the last one returns the memory and turns the lights off. Only after that do those
//! who wait for the process hear of it.

pub mod exit;
pub mod handles;
pub mod image;
pub mod limits;
pub mod memory;
pub mod object;
pub mod reclaim;
pub mod run;
pub mod space;
pub mod spawn;
pub mod thread;

use crate::gateway::slow;
use crate::ipc;
use crate::platform::Pollux;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::*};
use executor::{CoreId, Priority};
use exit::Event;
use futures_util::future::{Either, select};
use hal::x86_64::user;
use handles::HandleTable;
use limits::{PROCESSES_MAX, THREADS_MAX};
use protocols::abi::{Error, ExitStatus};
use space::Space;
use thread::{Start, Thread};

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Its number, never used again.
    pub id: u32,
    /// The id of the program it descends from, which the kernel started: its own if that is itself.
    pub job: u32,
    /// Its program's name, for people.
    pub name: String,
    /// Its memory.
    pub space: Space,
    /// What it holds.
    pub handles: HandleTable,
    /// Its end, once everything it had is returned.
    pub ended: Event<ExitStatus>,
    threads: spin::Mutex<Threads>,
    next_thread: AtomicU32,
}

#[derive(Debug, Default)]
struct Threads {
    live: Vec<Arc<Thread>>,
    /// Set once it is to end; no thread starts after that.
    status: Option<ExitStatus>,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
/// Every process that hasn't ended.
static LIVING: spin::Mutex<Vec<Arc<Process>>> = spin::Mutex::new(Vec::new());

/// Kills all processes of a job, and those they start meanwhile. Returns at once.
pub fn end_job(job: u32) {
    let end = async move {
        loop {
            let members: Vec<Arc<Process>> =
                LIVING.lock().iter().filter(|process| process.job == job).cloned().collect();
            if members.is_empty() {
                break;
            }
            members.iter().for_each(|process| process.end(ExitStatus::Killed));
            for process in members {
                process.ended.wait().await;
            }
        }
    };
    executor::spawn::<Pollux, _>("end job", Priority::Normal, end).detach();
}

/// Processes that haven't ended.
pub fn live_count() -> u32 {
    LIVING.lock().len() as u32
}

impl Process {
    /// An empty process without threads.
    pub fn new(name: &str, job: Option<u32>) -> Result<Arc<Self>, Error> {
        limits::room_for_object()?;
        let space = Space::new()?;
        let id = NEXT_ID.fetch_add(1, Relaxed);
        let process = Arc::new(Self {
            id,
            job: job.unwrap_or(id),
            name: name.into(),
            space,
            handles: HandleTable::new(),
            ended: Event::new(),
            threads: spin::Mutex::new(Threads::default()),
            next_thread: AtomicU32::new(1),
        });
        let mut living = LIVING.lock();
        if living.len() >= PROCESSES_MAX {
            return Err(Error::LimitReached);
        }
        living.push(process.clone());
        drop(living);
        Ok(process)
    }

    /// Starts a thread on `core`.
    pub fn spawn_thread(
        self: &Arc<Self>,
        core: CoreId,
        start: Start,
    ) -> Result<Arc<Thread>, Error> {
        limits::room_for_object()?;
        let id = self.next_thread.fetch_add(1, Relaxed);
        let thread = Thread::new(self.clone(), id, core, start).ok_or(Error::OutOfMemory)?;
        {
            let mut threads = self.threads.lock();
            if threads.status.is_some() || threads.live.len() >= THREADS_MAX {
                return Err(Error::LimitReached);
            }
            threads.live.push(thread.clone());
        }
        self.space.join(core.0);
        let its_own = thread.clone();
        executor::spawn_on::<Pollux, _, _>(core, "thread", Priority::Normal, move || live(its_own))
            .detach();
        Ok(thread)
    }

    /// Ends it, unless it is ending. Returns at once; [`Process::ended`] tells when it is done.
    pub fn end(&self, status: ExitStatus) {
        let threads = {
            let mut threads = self.threads.lock();
            if threads.status.is_some() {
                return;
            }
            threads.status = Some(status);
            threads.live.clone()
        };
        for thread in threads {
            thread.death.set(());
        }
    }

    /// Ends a process that never got a thread. It does end, even if nobody waits for this.
    pub async fn abandon(self: &Arc<Self>) {
        self.end(ExitStatus::Killed);
        let this = self.clone();
        let dissolve = async move { this.dissolve(ExitStatus::Killed).await };
        executor::spawn::<Pollux, _>("abandon", Priority::Normal, dissolve).detach();
        self.ended.wait().await;
    }

    /// Takes a dead thread off the list; the last one returns everything.
    async fn thread_ended(&self, thread: &Arc<Thread>, code: i32) {
        let last = {
            let mut threads = self.threads.lock();
            threads.live.retain(|other| !Arc::ptr_eq(other, thread));
            if threads.live.is_empty() {
                Some(*threads.status.get_or_insert(ExitStatus::Exited(code)))
            } else {
                None
            }
        };
        if let Some(status) = last {
            self.dissolve(status).await;
        }
    }

    async fn dissolve(&self, status: ExitStatus) {
        drop(self.handles.drain());
        self.space.dissolve().await;
        crate::services::console::ended(self.id, &self.name);
        LIVING.lock().retain(|process| process.id != self.id);
        self.ended.set(status);
    }
}

/// How a thread's own code ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// It left with this code.
    Exited(i32),
    /// It took its process along.
    Process(ExitStatus),
}

/// A thread's life, as its task.
async fn live(thread: Arc<Thread>) {
    let end = {
        let death = core::pin::pin!(thread.death.wait());
        let service = core::pin::pin!(slow::serve(&thread));
        match select(death, service).await {
            Either::Left(((), _)) => End::Exited(-1),
            Either::Right((end, _)) => end,
        }
    };
    // Whatever it was doing, it doesn't go back to ring 3.
    if let End::Process(status) = end {
        thread.process.end(status);
    }
    ipc::unlink(&thread).await;
    thread.set_state(thread::State::Busy);
    user::thread_ended(thread.user());
    let code = match end {
        End::Exited(code) | End::Process(ExitStatus::Exited(code)) => code,
        End::Process(_) => -1,
    };
    thread.process.thread_ended(&thread, code).await;
    thread.ending.code.set(code);
    reclaim::defer_thread(thread);
}
