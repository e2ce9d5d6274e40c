//! Child processes with a time limit, which never outlive this tool.
//!
//! Every child is on one list. Ctrl-C, a termination signal, an error on the way out and a
//! panic all end in [`end_all`]; only children from that list are killed, each by its own
//! handle, so that nobody else's QEMU is touched. If this tool itself is killed outright, the
//! kernel ends the child (`setpriv --pdeathsig`, where there is one).

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());
static TERMINAL: Mutex<Option<String>> = Mutex::new(None);

/// How a child came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It left by itself.
    Exited(ExitStatus),
    /// It was still there at its time limit, and was killed.
    TimedOut,
}

/// A running child process; killed when dropped.
pub struct Running {
    child: Arc<Mutex<Child>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    /// Starts `command`. Call this from the main thread: the child is tied to its starter.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let child = Arc::new(Mutex::new(child));
        lock(&CHILDREN).push(Arc::clone(&child));
        Ok(Self { child })
    }

    /// The child's standard output, if it is a pipe and nobody took it before.
    pub fn take_stdout(&self) -> Option<std::process::ChildStdout> {
        lock(&self.child).stdout.take()
    }

    /// The child's standard input, if it is a pipe and nobody took it before.
    pub fn take_stdin(&self) -> Option<std::process::ChildStdin> {
        lock(&self.child).stdin.take()
    }

    /// Its exit status, if it has left.
    pub fn poll(&self) -> Result<Option<ExitStatus>> {
        lock(&self.child).try_wait().context("cannot wait for a child process")
    }

    /// Waits until it leaves or `deadline` passes.
    pub fn wait_until(&self, deadline: Option<Instant>) -> Result<Option<ExitStatus>> {
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Some(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Kills it (this process alone) and collects it.
    pub fn kill(&self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.poll(), Ok(Some(_))) {
            self.kill();
        }
        lock(&CHILDREN).retain(|other| !Arc::ptr_eq(other, &self.child));
    }
}

/// From here on Ctrl-C and termination signals end the children first, then this tool.
pub fn end_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        end_all();
        eprintln!("\ninterrupted");
        std::process::exit(130);
    })
    .context("cannot install the Ctrl-C handler")
}

/// Kills every child that is still there and gives the terminal back its settings.
pub fn end_all() {
    for child in lock(&CHILDREN).drain(..) {
        let mut child = lock(&child);
        let _ = child.kill();
        let _ = child.wait();
    }
    restore_terminal();
}

/// Remembers the terminal's settings, since QEMU makes it raw.
pub fn remember_terminal() {
    let output = Command::new("stty").arg("-g").stdin(Stdio::inherit()).output();
    if let Ok(output) = output
        && output.status.success()
    {
        let settings = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        *lock(&TERMINAL) = Some(settings);
    }
}

/// Undoes what a child did to the terminal since [`remember_terminal`].
pub fn restore_terminal() {
    if let Some(settings) = lock(&TERMINAL).take() {
        let _ = Command::new("stty").arg(settings).stdin(Stdio::inherit()).status();
    }
}

/// Runs `command` with this tool's own standard streams, for at most `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<End> {
    let child = Running::start(command)?;
    match child.wait_until(Some(Instant::now() + limit))? {
        Some(status) => Ok(End::Exited(status)),
        None => {
            child.kill();
            Ok(End::TimedOut)
        }
    }
}

/// [`run`], where anything but success is an error that says what was run.
pub fn run_checked(what: &str, command: &mut Command, limit: Duration) -> Result<()> {
    match run(command, limit)? {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => bail!("{what} failed ({status}): {}", shown(command)),
        End::TimedOut => {
            bail!("{what} took more than {} s: {}", limit.as_secs(), shown(command))
        }
    }
}

/// Standard output of `command`, if it succeeds within `limit`; silent otherwise.
pub fn output(command: &mut Command, limit: Duration) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = Running::start(command).ok()?;
    let pipe = child.take_stdout()?;
    let reader = thread::spawn(move || all_of(pipe));
    let status = child.wait_until(Some(Instant::now() + limit)).ok()??;
    status.success().then(|| reader.join().ok()).flatten()
}

/// How `command` ended (`None`: it was killed at `limit`), and all it said, errors last.
pub fn said(command: &mut Command, limit: Duration) -> Result<(Option<ExitStatus>, String)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Running::start(command)?;
    let out = child.take_stdout().context("no standard output")?;
    let errors = lock(&child.child).stderr.take().context("no standard error")?;
    let readers = [thread::spawn(move || all_of(out)), thread::spawn(move || all_of(errors))];
    let status = child.wait_until(Some(Instant::now() + limit))?;
    // Its pipes end with it.
    drop(child);
    let texts = readers.map(|reader| reader.join().unwrap_or_default());
    Ok((status, texts.concat()))
}

fn all_of(mut pipe: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A program on `PATH`, or `None`.
pub fn which(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A program on `PATH` or among those for administrators, which users' paths often leave out.
pub fn which_admin(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
    let mut others = places.iter().map(|dir| PathBuf::from(dir).join(name));
    which(name).or_else(|| others.find(|file| file.is_file()))
}

/// A command which the operating system ends when this tool's main thread ends, where it can.
pub fn tied_to_us(program: impl AsRef<OsStr>) -> Command {
    match which("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_ends_the_child() {
        let start = Instant::now();
        let end = run(Command::new("sleep").arg("30"), Duration::from_millis(100)).unwrap();
        assert_eq!(end, End::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn output_is_collected_and_failure_is_none() {
        let limit = Duration::from_secs(30);
        assert_eq!(output(Command::new("echo").arg("hi"), limit).as_deref(), Some("hi\n"));
        assert_eq!(output(&mut Command::new("false"), limit), None);
        assert_eq!(output(&mut Command::new("no-such-program-here"), limit), None);
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("a");
        command.args(["b c", "", "d'e", "--f=g"]);
        assert_eq!(shown(&command), r"a 'b c' '' 'd'\''e' --f=g");
    }
}
