//! Ring-3 processes: an address space, a table of capabilities, threads on any cores.
//!
//! A process ends once: by its own exit, with its last thread, by a fault or by a kill, whichever
//! is first. Then every thread's task is told to die, each takes its thread out of whatever it
//! waits in, and the last one returns the memory and turns the lights off. Only after that do those
//! who wait for the process hear of it.

pub mod calls;
pub mod exit;
pub mod handles;
pub mod image;
pub mod limits;
pub mod memory;
pub mod object;
pub mod pages;
pub mod reclaim;
pub mod run;
pub mod space;
pub mod spawn;
pub mod thread;

use crate::authority;
use crate::gateway::slow;
use crate::ipc;
use crate::platform::Pollux;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use executor::{CoreId, Priority};
use exit::{Announcement, Event};
use futures_util::future::{Either, select};
use hal::x86_64::user;
use handles::HandleTable;
use limits::THREADS_MAX;
use protocols::abi::{Error, ExitStatus};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{Budget, Cause};
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
    /// A capability was taken from it: whoever waits through one looks whether it is still there.
    pub bereft: Announcement,
    /// Messages of its threads that wait to be received.
    pub waiting_messages: AtomicU32,
    /// What it may use, at most.
    pub budget: Budget,
    /// Its end, once everything it had is returned.
    pub ended: Event<ExitStatus>,
    threads: spin::Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    live: Vec<Arc<Thread>>,
    /// Set once it is to end; no thread starts after that.
    status: Option<(ExitStatus, Cause)>,
}

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

/// The process of that number, if it hasn't ended.
pub fn find(id: u32) -> Option<Arc<Process>> {
    LIVING.lock().iter().find(|process| process.id == id).cloned()
}

/// Processes that haven't ended.
pub fn live_count() -> u32 {
    LIVING.lock().len() as u32
}

impl Process {
    /// An empty process without threads, out of its parent's budget (`None`: the kernel's).
    pub fn new(
        name: &str,
        parent: Option<&Arc<Self>>,
        budget: Budget,
        cause: Cause,
    ) -> Result<Arc<Self>, Error> {
        limits::room_for_object()?;
        let space = Space::new(budget.frames)?;
        let loan = parent.map(|parent| parent.space.lend(budget.frames)).transpose()?;
        let parent_id = parent.map_or(KERNEL, |parent| parent.id);
        let process = authority::new_process(parent_id, name, budget, cause, |id| {
            Arc::new(Self {
                id,
                job: parent.map_or(id, |parent| parent.job),
                name: name.into(),
                space,
                handles: HandleTable::new(),
                bereft: Announcement::new(),
                waiting_messages: AtomicU32::new(0),
                budget,
                ended: Event::new(),
                threads: spin::Mutex::new(Threads::default()),
            })
        })?;
        if let Some(loan) = loan {
            loan.keep();
        }
        LIVING.lock().push(process.clone());
        Ok(process)
    }

    /// A new thread at home on `core`, to be [launched](Self::launch).
    pub fn new_thread(
        self: &Arc<Self>,
        core: CoreId,
        start: Start,
        cause: Cause,
    ) -> Result<Arc<Thread>, Error> {
        limits::room_for_object()?;
        let mut threads = self.threads.lock();
        if threads.status.is_some() || threads.live.len() >= THREADS_MAX {
            return Err(Error::LimitReached);
        }
        let make = |id| Thread::new(self.clone(), id, core, start);
        let thread = authority::new_thread(self.id, cause, make)?;
        threads.live.push(thread.clone());
        drop(threads);
        self.space.join(core.0);
        Ok(thread)
    }

    /// Starts a new thread.
    pub fn launch(thread: Arc<Thread>) {
        let home = thread.home;
        let live = move || live(thread);
        executor::spawn_on::<Pollux, _, _>(home, "thread", Priority::Normal, live).detach();
    }

    /// Ends it for a reason of the kernel's: see [`Process::end_by`].
    pub fn end(&self, status: ExitStatus) {
        self.end_by(status, Cause::Kernel);
    }

    /// Ends it, unless it is ending. Returns at once; [`Process::ended`] tells when it is done.
    pub fn end_by(&self, status: ExitStatus, cause: Cause) {
        let threads = {
            let mut threads = self.threads.lock();
            if threads.status.is_some() {
                return;
            }
            threads.status = Some((status, cause));
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
        let dissolve = async move { this.dissolve(ExitStatus::Killed, Cause::Kernel).await };
        executor::spawn::<Pollux, _>("abandon", Priority::Normal, dissolve).detach();
        self.ended.wait().await;
    }

    /// Takes a dead thread off the list; the last one returns everything.
    async fn thread_ended(&self, thread: &Arc<Thread>, code: i32, cause: Cause) {
        let last = {
            let mut threads = self.threads.lock();
            threads.live.retain(|other| !Arc::ptr_eq(other, thread));
            authority::end_thread(self.id, thread.stamp.thread(), code, cause);
            if threads.live.is_empty() {
                Some(*threads.status.get_or_insert((ExitStatus::Exited(code), cause)))
            } else {
                None
            }
        };
        if let Some((status, cause)) = last {
            self.dissolve(status, cause).await;
        }
    }

    async fn dissolve(&self, status: ExitStatus, cause: Cause) {
        let returned = authority::end_process(self.id, status, cause);
        self.space.dissolve().await;
        if let Some((parent, frames)) = returned {
            parent.space.take_back(frames);
        }
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
    let (end, is_killed) = {
        let death = core::pin::pin!(thread.death.wait());
        let service = core::pin::pin!(slow::serve(&thread));
        match select(death, service).await {
            Either::Left(((), _)) => (End::Exited(-1), true),
            Either::Right((end, _)) => (end, false),
        }
    };
    // Whatever it was doing, it doesn't go back to ring 3.
    let cause = match end {
        // It said so itself.
        End::Exited(_) | End::Process(ExitStatus::Exited(_)) if !is_killed => thread.cause(),
        // Whoever ended the process, or the kernel.
        _ => thread.process.threads.lock().status.map_or(Cause::Kernel, |(_, cause)| cause),
    };
    if let End::Process(status) = end {
        thread.process.end_by(status, cause);
    }
    ipc::unlink(&thread).await;
    thread.set_state(thread::State::Busy);
    user::thread_ended(thread.user());
    let code = match end {
        End::Exited(code) | End::Process(ExitStatus::Exited(code)) => code,
        End::Process(_) => -1,
    };
    thread.process.thread_ended(&thread, code, cause).await;
    thread.ending.code.set(code);
    reclaim::defer_thread(thread);
}
