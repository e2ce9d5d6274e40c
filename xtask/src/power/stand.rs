//! Where a test of the log runs its machines, two at a time at most.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::boots::Needs;
use crate::drives::Drive;
use crate::image;
use crate::limine::Loader;
use crate::medium;
use crate::network::session::Session;
use crate::options::Options;
use crate::progress;
use crate::qemu::{Console, DISK, Machine};
use crate::trial::Bench;

/// How long a line at the shell takes at most that does no work to speak of.
pub const SOON: Duration = Duration::from_secs(30);
/// How long a load takes at most.
pub const LOAD: Duration = Duration::from_secs(120);

/// The folder, the kernel and the loader of a test.
pub struct Stand<'a, 'b> {
    bench: &'a mut Bench<'b>,
    loader: Loader,
    /// Where its files are.
    pub dir: PathBuf,
}

impl<'a, 'b> Stand<'a, 'b> {
    /// In that folder.
    pub fn new(bench: &'a mut Bench<'b>, dir: PathBuf) -> Result<Self> {
        let loader = bench.loader(Needs::AnyLoader)?.context("no loader at hand")?;
        Ok(Self { bench, loader, dir })
    }

    /// Says what comes now.
    pub fn note(&self, what: &str) {
        progress::step(format!("      {what}"));
    }

    /// Makes the medium of the machines of that `name`.
    pub fn medium(&self, name: &str, words: &str) -> Result<()> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        let line = format!("log=info exit=qemu {words}");
        image::write(&dir.join(DISK), &medium::entries(&self.bench.built, &self.loader, &line)?)
    }

    /// Starts a machine with a medium that was made.
    pub fn start(&self, name: &str, cores: u32, drive: Drive) -> Result<Session> {
        let accel = self.bench.options.accel;
        let flags = Options { smp: Some(cores), accel, ..Options::default() };
        let mut machine = Machine::by_options(&flags, Console::Pipe, self.dir.join(name))?;
        machine.cards.clear();
        machine.drives = vec![drive];
        Session::start(machine, &self.bench.emulator)
    }

    /// Boots a machine, does `play` with it and switches it off; what that came to, and all that the
    /// console said.
    pub fn run<R>(
        &self,
        (name, words): (&str, &str),
        cores: u32,
        drive: Drive,
        play: impl FnOnce(&mut Session) -> Result<R>,
    ) -> Result<(R, String)> {
        self.medium(name, words)?;
        let mut session = self.start(name, cores, drive)?;
        let played = played(&mut session, play);
        finish(session, played)
    }
}

/// Does `play`, then asks the machine to leave.
pub fn played<R>(session: &mut Session, play: impl FnOnce(&mut Session) -> Result<R>) -> Result<R> {
    let result = play(session)?;
    session.begin("poweroff")?;
    Ok(result)
}

/// Waits until a machine that was asked to leave has left.
///
/// # Errors
/// What was played went wrong, or the machine does not leave as it should; with its last words.
pub fn finish<R>(session: Session, played: Result<R>) -> Result<(R, String)> {
    let outcome = match &played {
        Ok(_) => session.leave(SOON)?,
        Err(error) => session.astray(format!("{error:#}")),
    };
    let _ = std::fs::remove_file(outcome.dir.join(DISK));
    let result = played.with_context(|| outcome.last_words(25))?;
    if outcome.ended != crate::boot::Ended::Status(crate::boot::SUCCESS) {
        bail!("{}", outcome.last_words(25));
    }
    Ok((result, outcome.serial))
}
