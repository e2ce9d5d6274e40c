//! Starting other programs.

use super::calls;
use super::capability::{Image, Process};
use crate::abi::start::{ARGS_MAX, HANDLES_MAX, Limits, Slice, SpawnArgs, StartHandle};
use crate::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle};

/// A program to be started: arguments and capabilities are gathered, then [`Command::spawn`].
#[derive(Debug)]
pub struct Command<'a> {
    image: &'a Image,
    args: SpawnArgs,
    overfull: bool,
    strings: core::marker::PhantomData<&'a str>,
}

impl<'a> Command<'a> {
    /// Starts `image` as `name` (its first argument).
    pub fn new(image: &'a Image, name: &'a str) -> Self {
        let args = SpawnArgs {
            core: ANY_CORE,
            arg_count: 0,
            handle_count: 0,
            reserved: 0,
            limits: Limits::default(),
            args: [Slice::default(); ARGS_MAX],
            handles: [StartHandle::default(); HANDLES_MAX],
        };
        let command = Self { image, args, overfull: false, strings: core::marker::PhantomData };
        command.arg(name)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: &'a str) -> Self {
        match self.args.args.get_mut(self.args.arg_count as usize) {
            Some(slot) => {
                *slot = Slice { ptr: argument.as_ptr() as u64, len: argument.len() as u64 };
                self.args.arg_count += 1;
            }
            None => self.overfull = true,
        }
        self
    }

    /// Chooses the home core of its main thread.
    #[must_use]
    pub const fn core(mut self, core: u32) -> Self {
        self.args.core = core;
        self
    }

    /// What it may use, taken from what this process has left. What is zero, or if this is not
    /// called, is an eighth of that.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.args.limits = limits;
        self
    }

    /// Moves a capability into the child, under `tag`.
    #[must_use]
    pub fn give(mut self, tag: u32, capability: impl Into<Handle>) -> Self {
        let handle = capability.into();
        match self.args.handles.get_mut(self.args.handle_count as usize) {
            Some(slot) => {
                *slot = StartHandle { handle: handle.0, tag };
                self.args.handle_count += 1;
            }
            None => {
                self.overfull = true;
                let _ = calls::drop_capability(handle);
            }
        }
        self
    }

    /// Starts it. On an error the capabilities given are dropped.
    pub fn spawn(self) -> Result<Process, Error> {
        let spawned = if self.overfull {
            Err(Error::InvalidArgument)
        } else {
            calls::process_spawn(self.image.handle(), &self.args)
        };
        if spawned.is_err() {
            for entry in &self.args.handles[..self.args.handle_count as usize] {
                let _ = calls::drop_capability(entry.handle());
            }
        }
        spawned.map(Process::from_handle)
    }
}

impl Process {
    /// Waits for its end.
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        calls::process_wait(self.handle(), FOREVER)
    }

    /// The same until `deadline_ns` at most.
    pub fn wait_until(&self, deadline_ns: u64) -> Result<ExitStatus, Error> {
        calls::process_wait(self.handle(), deadline_ns)
    }

    /// Kills it; on return none of its threads can run again.
    pub fn kill(&self) -> Result<(), Error> {
        calls::process_kill(self.handle())
    }
}
