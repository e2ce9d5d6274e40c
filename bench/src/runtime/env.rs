//! What a program starts with: arguments, capabilities, facts about the machine.

use super::capability::{Console, Endpoint, Image, Log, Process, Report};
use crate::abi::Handle;
use crate::abi::start::{ARGS_MAX, HANDLES_MAX, StartHandle, tag};

/// Arguments, capabilities by tag, and the machine. Capabilities that are not taken stay in the
/// table until the process ends.
#[derive(Debug)]
pub struct Env {
    pub(super) args: [&'static str; ARGS_MAX],
    pub(super) arg_count: usize,
    pub(super) handles: [StartHandle; HANDLES_MAX],
    /// Cores of the machine.
    pub cores: u32,
    /// Ticks of `rdtsc` in a second.
    pub tsc_hz: u64,
}

impl Env {
    /// All arguments; the first is the program's name.
    pub fn args(&self) -> &[&'static str] {
        &self.args[..self.arg_count]
    }

    /// The value of the first `key=value` argument with this key.
    pub fn value(&self, key: &str) -> Option<&'static str> {
        crate::arguments::value(self.args(), key)
    }

    /// Whether this word is among the arguments.
    pub fn has(&self, word: &str) -> bool {
        self.args().iter().skip(1).any(|argument| *argument == word)
    }

    /// The capability of a tag, left where it is.
    pub fn handle(&self, tag: u32) -> Option<Handle> {
        self.handles.iter().find(|entry| entry.handle != 0 && entry.tag == tag).map(|e| e.handle())
    }

    /// Takes the capability of a tag out.
    pub fn take(&mut self, tag: u32) -> Option<Handle> {
        let entry = self.handles.iter_mut().find(|entry| entry.handle != 0 && entry.tag == tag)?;
        Some(core::mem::take(entry).handle())
    }

    /// All capabilities not taken yet.
    pub fn handles(&self) -> impl Iterator<Item = StartHandle> + '_ {
        self.handles.iter().copied().filter(|entry| entry.handle != 0)
    }

    /// The process itself.
    pub fn take_self(&mut self) -> Option<Process> {
        self.take(tag::SELF).map(Process::from_handle)
    }

    /// The console. What [`crate::println!`] prints goes there too, as long as the value lives.
    pub fn take_console(&mut self) -> Option<Console> {
        self.take(tag::CONSOLE).map(Console::from_handle)
    }

    /// The kernel log.
    pub fn take_log(&mut self) -> Option<Log> {
        self.take(tag::LOG).map(Log::from_handle)
    }

    /// Where metrics go.
    pub fn take_report(&mut self) -> Option<Report> {
        self.take(tag::REPORT).map(Report::from_handle)
    }

    /// Name and tag of each disk it was given: the kernel's argument `disk=NAME:n` says that it has
    /// the tag `DISK + n`.
    pub fn disks(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        crate::arguments::numbered(self.args(), "disk")
            .filter_map(|(name, number)| Some((name, tag::DISK.checked_add(number)?)))
    }

    /// Name and tag of each device it was lent: the kernel's argument `device=NAME:n` says that it
    /// has the tag `DEVICE + n`.
    pub fn devices(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        crate::arguments::numbered(self.args(), "device")
            .filter_map(|(name, number)| Some((name, tag::DEVICE.checked_add(number)?)))
    }

    /// Name and tag of each port range it was given: the kernel's argument `ports=FIRST+COUNT:n` says
    /// that it has the tag `PORTS + n`.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        crate::arguments::numbered(self.args(), "ports")
            .filter_map(|(name, number)| Some((name, tag::PORTS.checked_add(number)?)))
    }

    /// The network service, if it was given ([`super::net::Network`]).
    pub fn take_network(&mut self) -> Option<Endpoint> {
        self.take(tag::NET).map(Endpoint::from_handle)
    }

    /// The image of a program, by its name: an argument `image=NAME:n` says that it has the tag
    /// `IMAGE + n`.
    pub fn take_image(&mut self, name: &str) -> Option<Image> {
        let number = crate::arguments::image_number(self.args(), name)?;
        self.take(tag::IMAGE.checked_add(number)?).map(Image::from_handle)
    }
}
