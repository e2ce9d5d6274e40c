//! The kernel's command line: what each word asks for. A word nobody knows is reported, never
//! fatal.
//!
//! ```text
//! headless                run the benchmark, show it, leave
//! bench=auto              run the benchmark, show it, save it, go on to the shell
//! results=save|show       whether figures are written to the boot medium (bench=auto: save, else show)
//! bench.quick             about a tenth of the samples
//! bench.filter=PREFIX     figures whose names begin so
//! icount                  ticks count instructions (QEMU's -icount shift=2)
//! test[=FILTER]           run the in-kernel tests whose names contain FILTER, leave
//! attack                  run the ring-3 attack suite, leave (bench.quick, bench.filter and run.args hold for it too)
//! run=NAME run.args=a,b   run a program; then the shell, under headless leave by its status
//! exit=qemu               leave through isa-debug-exit instead of power-off
//! bench.disk=NAME,…       measure these disks too (what they hold is lost if they may be written to)
//! bench.net=ADDRESS,…     measure the interfaces that these peers are at
//! disk.write=NAME,…|all   disks that the shell and programs may write to
//! commits=auto|off|NAME   the partition that the CommitLog is kept on (auto: the only one made for it)
//! commits.flush=never     leave out its flushes, for the test that has to notice: it is not durable
//! irq=poll|msix|adaptive  how drivers notice that a device is done
//! net.…=…                 the network ([`net_settings`](crate::net_settings))
//! smp=N  log=LEVEL        at most N cores; how much is logged (read earlier in the boot)
//! ```

use alloc::string::String;
use alloc::vec::Vec;

/// What the machine is to do once it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Welcome a person to the shell.
    Shell,
    /// Benchmark, then [`Then`].
    Bench,
    /// Run the tests whose names contain this (empty: all).
    Test(String),
    /// Run the attack suite.
    Attack {
        /// More arguments for it.
        arguments: Vec<String>,
    },
    /// Run a program of the user's.
    Run {
        /// Its name among the boot modules.
        name: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// What comes after the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The shell.
    Shell,
    /// Leave by the task's result.
    Leave,
}

/// How the machine is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By ACPI.
    PowerOff,
    /// Through QEMU's isa-debug-exit, which carries the result.
    Qemu,
}

/// How many samples a benchmark takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// As many as it takes to be sure.
    Full,
    /// About a tenth.
    Quick,
}

/// What the benchmark's ticks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Time.
    Time,
    /// Instructions executed, four ticks each.
    Instructions,
}

/// Where the CommitLog is kept, beside memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commits {
    /// On the one partition made for it.
    Auto,
    /// Nowhere.
    Off,
    /// On the partition of this name.
    Named(String),
}

/// Whether what the CommitLog writes is made to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFlushes {
    /// Whenever the log says so.
    All,
    /// Never, though it is said to be: a fault for tests.
    None,
}

/// What becomes of the benchmark's figures, beside being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// They are written to the boot medium.
    Save,
    /// Nothing.
    Show,
}

/// The whole command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub task: Task,
    /// What then.
    pub then: Then,
    /// How to leave.
    pub exit: Exit,
    /// How many samples.
    pub samples: Samples,
    /// What ticks are.
    pub ticks: Ticks,
    /// Figures to take; empty: all.
    pub filter: String,
    /// What becomes of them.
    pub results: Results,
    /// Where the CommitLog is kept.
    pub commits: Commits,
    /// Whether it is flushed.
    pub commit_flushes: CommitFlushes,
    /// Words that mean nothing here, or whose values don't.
    pub strange: Vec<String>,
}

/// Words other parts of the kernel read for themselves.
const ELSEWHERE: &[&str] = &[
    "log",
    "smp",
    "irq",
    "disk.write",
    "bench.disk",
    "bench.net",
    "net.ip",
    "net.dns",
    "net.name",
    "net.core",
    "net.syslog",
    "net.http",
    "net.services",
];

impl Options {
    /// Reads a command line. Any text will do.
    pub fn parse(line: &str) -> Self {
        let mut options = Self {
            task: Task::Shell,
            then: Then::Shell,
            exit: Exit::PowerOff,
            samples: Samples::Full,
            ticks: Ticks::Time,
            filter: String::new(),
            results: Results::Show,
            commits: Commits::Auto,
            commit_flushes: CommitFlushes::All,
            strange: Vec::new(),
        };
        let (mut headless, mut task, mut arguments) = (false, None, Vec::new());
        let (mut results, mut auto) = (None, false);
        for word in line.split_whitespace() {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word, None),
            };
            match (key, value) {
                ("headless", None) => headless = true,
                ("bench", Some("auto")) => {
                    task = Some(Task::Bench);
                    auto = true;
                }
                ("results", Some("save")) => results = Some(Results::Save),
                ("results", Some("show")) => results = Some(Results::Show),
                ("bench.quick", None) => options.samples = Samples::Quick,
                ("bench.filter", Some(prefix)) => options.filter = prefix.into(),
                ("icount", None) => options.ticks = Ticks::Instructions,
                ("test", filter) => task = Some(Task::Test(filter.unwrap_or("").into())),
                ("attack", None) => task = Some(Task::Attack { arguments: Vec::new() }),
                ("run", Some(name)) if !name.is_empty() => {
                    task = Some(Task::Run { name: name.into(), arguments: Vec::new() });
                }
                ("run.args", Some(list)) => {
                    arguments = list.split(',').map(String::from).collect();
                }
                ("commits", Some("auto")) => options.commits = Commits::Auto,
                ("commits", Some("off")) => options.commits = Commits::Off,
                ("commits", Some(name)) if !name.is_empty() => {
                    options.commits = Commits::Named(name.into());
                }
                ("commits.flush", Some("never")) => options.commit_flushes = CommitFlushes::None,
                ("exit", Some("qemu")) => options.exit = Exit::Qemu,
                (key, Some(_)) if ELSEWHERE.contains(&key) => {}
                _ => options.strange.push(word.into()),
            }
        }
        options.results = results.unwrap_or(if auto { Results::Save } else { Results::Show });
        let leaves = headless || matches!(task, Some(Task::Test(_) | Task::Attack { .. }));
        options.then = if leaves { Then::Leave } else { Then::Shell };
        options.task = match task {
            Some(Task::Run { name, .. }) => Task::Run { name, arguments },
            Some(Task::Attack { .. }) => Task::Attack { arguments },
            Some(task) => task,
            None if headless => Task::Bench,
            None => Task::Shell,
        };
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asks_for_the_shell() {
        let options = Options::parse("");
        assert_eq!((options.task, options.then), (Task::Shell, Then::Shell));
        assert_eq!(Options::parse("log=debug smp=2").strange, [""; 0]);
    }

    #[test]
    fn each_task_ends_as_it_should() {
        let read = |line| {
            let options = Options::parse(line);
            (options.task, options.then)
        };
        assert_eq!(read("headless"), (Task::Bench, Then::Leave));
        assert_eq!(read("bench=auto"), (Task::Bench, Then::Shell));
        assert_eq!(read("bench=auto headless"), (Task::Bench, Then::Leave));
        assert_eq!(read("test"), (Task::Test("".into()), Then::Leave));
        assert_eq!(read("headless test=clock"), (Task::Test("clock".into()), Then::Leave));
        let attack = |arguments| (Task::Attack { arguments }, Then::Leave);
        assert_eq!(read("attack"), attack([].into()));
        assert_eq!(read("attack run.args=--disk,a"), attack(["--disk".into(), "a".into()].into()));
        let run = Task::Run { name: "hi".into(), arguments: ["a".into(), "b".into()].into() };
        assert_eq!(read("run.args=a,b run=hi"), (run.clone(), Then::Shell));
        assert_eq!(read("run=hi run.args=a,b headless"), (run, Then::Leave));
    }

    #[test]
    fn figures_are_saved_when_asked_or_when_nobody_may_be_there() {
        let results = |line| Options::parse(line).results;
        assert_eq!(results("headless"), Results::Show);
        assert_eq!(results("bench=auto headless"), Results::Save);
        assert_eq!(results("results=save headless"), Results::Save);
        assert_eq!(results("results=show bench=auto"), Results::Show);
        assert_eq!(Options::parse("results=burn results").strange, ["results=burn", "results"]);
    }

    #[test]
    fn the_commit_log_has_a_place() {
        let commits = |line| Options::parse(line).commits;
        assert_eq!(commits("headless"), Commits::Auto);
        assert_eq!(commits("commits=off"), Commits::Off);
        assert_eq!(commits("commits=nvme1n1p2"), Commits::Named("nvme1n1p2".into()));
        assert_eq!(commits("commits=off commits=auto"), Commits::Auto);
        let flushes = |line| Options::parse(line).commit_flushes;
        assert_eq!(flushes("commits=auto"), CommitFlushes::All);
        assert_eq!(flushes("commits.flush=never"), CommitFlushes::None);
        assert_eq!(Options::parse("commits.flush=some").strange, ["commits.flush=some"]);
        assert_eq!(Options::parse("commits= commits").strange, ["commits=", "commits"]);
    }

    #[test]
    fn garbage_is_reported() {
        let options =
            Options::parse("bench bench=never run= exit= = ==x \u{1f600} headless=1 exit=qemu");
        assert_eq!(
            options.strange,
            ["bench", "bench=never", "run=", "exit=", "=", "==x", "\u{1f600}", "headless=1"]
        );
        assert_eq!((options.exit, options.task), (Exit::Qemu, Task::Shell));
    }
}
