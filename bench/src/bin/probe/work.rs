//! The operations that are timed. Each is set up here and then run in batches.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use bench::abi::message::{Info, Message, WORDS};
use bench::abi::start::tag;
use bench::abi::{Error, FOREVER, Handle, PAGE, Syscall};
use bench::echo::{ECHO, Echo, GIVE_BACK};
use bench::probe::{CLIENT, ECHO_IMAGE, NOOP_IMAGE, SERVER};
use bench::runtime::capability::{Console, Endpoint, Image, Notification, Process};
use bench::runtime::memory::Mapping;
use bench::runtime::process::Command;
use bench::runtime::syscall::exchange_words;
use bench::runtime::{Env, calls, thread};

/// Runs so many operations.
pub type Run = dyn FnMut(u64) -> Result<(), Error>;

/// An operation that is set up, and how to take it down.
pub struct Work {
    /// How many of what the figure counts are in one operation.
    pub scale: u64,
    run: Box<Run>,
    finish: Box<dyn FnOnce() -> Result<(), Error>>,
}

impl Work {
    /// An operation that needs no taking down.
    pub fn new(run: impl FnMut(u64) -> Result<(), Error> + 'static) -> Self {
        Self { scale: 1, run: Box::new(run), finish: Box::new(|| Ok(())) }
    }

    /// Says that one operation is `scale` of what the figure counts.
    pub fn counting(mut self, scale: u64) -> Self {
        self.scale = scale;
        self
    }

    fn then(mut self, finish: impl FnOnce() -> Result<(), Error> + 'static) -> Self {
        self.finish = Box::new(finish);
        self
    }

    /// The operation.
    pub fn run(&mut self) -> &mut Run {
        &mut *self.run
    }

    /// Ends helpers.
    pub fn finish(self) -> Result<(), Error> {
        drop(self.run);
        (self.finish)()
    }
}

/// Sets a figure's operation up on this core.
pub fn of(figure: &str, env: &mut Env, peer: Option<u16>) -> Result<Work, Error> {
    let (here, _) = calls::core()?;
    let mut image = |tag| env.take(tag).map(Image::from_handle).ok_or(Error::BadHandle);
    match figure {
        "syscall.null" => Ok(Work::new(|operations| {
            for _ in 0..operations {
                calls::null()?;
            }
            Ok(())
        })),
        "syscall.yield" => Ok(Work::new(|operations| {
            for _ in 0..operations {
                calls::yield_now()?;
            }
            Ok(())
        })),
        "ipc.call_reply" => call_reply(&image(ECHO_IMAGE)?, here, env),
        "ipc.cross_core" => {
            let peer = peer.ok_or(Error::InvalidArgument)?;
            call_reply(&image(ECHO_IMAGE)?, u32::from(peer), env)
        }
        CLIENT => {
            let server = env.take(SERVER).map(Endpoint::from_handle).ok_or(Error::BadHandle)?;
            Ok(Work::new(move |operations| call_words(server.handle(), operations)))
        }
        "ipc.grant" => grant(&image(ECHO_IMAGE)?, here, env),
        "notify.round_trip" => notifications(&image(ECHO_IMAGE)?, here),
        "executor.ring3_wake_to_poll" => crate::tokens::wake_to_poll(),
        "thread.switch" => thread_switch(here),
        "page.touch" => Ok(Work::new(touch_pages)),
        "process.spawn_exit" => {
            let noop = image(NOOP_IMAGE)?;
            Ok(Work::new(move |operations| {
                for _ in 0..operations {
                    Command::new(&noop, "noop").core(here).spawn()?.wait()?;
                }
                Ok(())
            }))
        }
        _ => Err(Error::InvalidArgument),
    }
}

/// Six words there and back, `operations` times.
fn call_words(server: Handle, operations: u64) -> Result<(), Error> {
    let mut words: [u64; WORDS] = [1, 2, 3, 4, 5, 6];
    for _ in 0..operations {
        exchange_words(Syscall::Call, server, ECHO, &mut words)?;
    }
    if words == [1, 2, 3, 4, 5, 6] { Ok(()) } else { Err(Error::InvalidArgument) }
}

/// A server process on `core`, called from here.
fn call_reply(echo: &Image, core: u32, env: &mut Env) -> Result<Work, Error> {
    let console = env.take(tag::CONSOLE).map(Console::from_handle);
    let server = Echo::start(echo, core, console.as_ref())?;
    // What is printed from here on still goes there.
    let _ = console.map(Console::into_handle);
    let endpoint = server.endpoint.handle();
    Ok(Work::new(move |operations| call_words(endpoint, operations)).then(|| server.quit()))
}

/// A server process on this core that is given a capability by each call, and gives it back with the
/// reply.
fn grant(echo: &Image, core: u32, env: &mut Env) -> Result<Work, Error> {
    let console = env.take(tag::CONSOLE).map(Console::from_handle);
    let server = Echo::start(echo, core, console.as_ref())?;
    let _ = console.map(Console::into_handle);
    let endpoint = server.endpoint.handle();
    let mut message = Message::new(GIVE_BACK, [1, 2, 3, 4, 5, 6]);
    message.info = Info::new(GIVE_BACK, 1);
    message.capabilities[0] = Notification::create()?.into_handle();
    let run = move |operations| {
        for _ in 0..operations {
            message.capabilities = calls::call(endpoint, &message)?.capabilities;
        }
        Ok(())
    };
    Ok(Work::new(run).then(|| server.quit()))
}

/// Two processes on this core; each signals the other and waits for its signal.
fn notifications(echo: &Image, core: u32) -> Result<Work, Error> {
    let (there, back) = (Notification::create()?, Notification::create()?);
    let partner: Process = Echo::start_notified(echo, core, &there, &back)?;
    let run = move |operations| {
        for _ in 0..operations {
            there.signal(1)?;
            calls::notification_wait(back.handle(), FOREVER)?;
        }
        Ok(())
    };
    Ok(Work::new(run).then(move || partner.kill()))
}

/// Two threads of this process on this core that yield to each other; a yield and the partner's
/// yield back are two switches.
fn thread_switch(core: u32) -> Result<Work, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let partner = thread::spawn(core, move || {
        while !seen.load(Ordering::Relaxed) {
            if calls::yield_now().is_err() {
                break;
            }
        }
    })?;
    let run = |operations| {
        for _ in 0..operations {
            calls::yield_now()?;
        }
        Ok(())
    };
    let finish = move || {
        stop.store(true, Ordering::Relaxed);
        partner.join()
    };
    Ok(Work::new(run).then(finish).counting(2))
}

/// Maps a page, writes to it, unmaps it.
fn touch_pages(operations: u64) -> Result<(), Error> {
    for _ in 0..operations {
        let mut page = Mapping::new(PAGE)?;
        core::hint::black_box(page.bytes())[0] = 1;
        page.unmap()?;
    }
    Ok(())
}
