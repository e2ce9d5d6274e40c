//! The table of boots that `test` and `soak` drive from outside. Adding one is adding a line.
//! Those about disks are in [`storage`], those about the CommitLog in [`commits`].

mod authority;
mod commits;
mod lent;
mod lines;
mod mutation;
mod ring3;
mod storage;

use crate::boot::{FAILURE, SUCCESS};
use crate::disks::Disk;
use crate::expect::{EPITAPH, Expect};
use crate::qemu::Board;
use crate::script::Step;

pub use mutation::Mutation;

/// A loader a boot insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Whichever the user would get.
    AnyLoader,
    /// `hal/uefi-loader`.
    OwnLoader,
    /// The official Limine; skipped where there is none.
    Limine,
}

/// One boot.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Its name, for `--filter`.
    pub name: &'static str,
    /// The board.
    pub board: Board,
    /// Virtual CPUs.
    pub cores: u32,
    /// Guest memory in MiB.
    pub memory: u32,
    /// The kernel's command line.
    pub words: &'static str,
    /// Which loader.
    pub needs: Needs,
    /// What is wrong with the medium.
    pub mutation: Mutation,
    /// Disks beside the boot disk, with what they hold before and have to hold afterwards.
    pub disks: &'static [Disk],
    /// More devices, as QEMU's `-device` wants them.
    pub devices: &'static [&'static str],
    /// What is typed and done while it runs.
    pub script: &'static [Step],
    /// What has to happen.
    pub expect: Expect,
    /// Names that have to be among the metrics on COM2.
    pub metrics: &'static [&'static str],
    /// Names that have to be among the results on the disk afterwards.
    pub saved: &'static [&'static str],
    /// Time limit in seconds.
    pub limit: u64,
}

/// What most boots are like.
pub const PLAIN: Boot = Boot {
    name: "",
    board: Board::Q35,
    cores: 4,
    memory: 512,
    words: "exit=qemu",
    needs: Needs::AnyLoader,
    mutation: Mutation::None,
    disks: &[],
    devices: &[],
    script: &[],
    expect: Expect::Status(SUCCESS),
    metrics: &[],
    saved: &[],
    limit: 120,
};

/// Every figure the benchmark has to come up with on several cores and with disks.
const METRICS: &[&str] = &[
    "ahci.read128k.qd8",
    "ahci.read4k.qd1",
    "ahci.read4k.qd32.msix",
    "ahci.write4k.qd32.poll",
    "boot.entry_to_ring3",
    "cap.derive",
    "cap.revoke_1000",
    "commit.append",
    "commit.hash",
    "executor.cross_core_wake",
    "executor.wake_to_poll",
    "ipc.call_reply",
    "ipc.cross_core",
    "ipc.grant",
    "notify.round_trip",
    "nvme.read128k.qd8",
    "nvme.read4k.qd1",
    "nvme.read4k.qd1.poll",
    "nvme.read4k.qd32",
    "nvme.write4k.qd32.msix",
    "page.touch",
    "process.spawn_exit",
    "syscall.null",
    "syscall.yield",
    "syslog.record",
    "thread.switch",
];

const TESTS: &str = "test exit=qemu";
/// The peer is that of [`crate::network::cards::Cable::Alone`].
const ATTACK: &str = "attack run.args=peer=10.0.2.100 exit=qemu";
const BENCH: &str = "headless bench.quick exit=qemu";
const BENCH_DISKS: &str =
    "headless bench.quick bench.disk=nvme1n1,sata0 disk.write=nvme1n1,sata0 exit=qemu";
const HELLO: &str = "run=hello headless exit=qemu";

/// All boots there are.
pub fn all() -> impl Iterator<Item = &'static Boot> {
    let of_disks = [storage::BOOTS, commits::BOOTS, ring3::BOOTS, lent::BOOTS];
    let of_disks = of_disks.into_iter().flatten();
    BOOTS.iter().chain(authority::BOOTS).chain(of_disks).chain(lines::BOOTS)
}

/// What a loader has to say is asked of our own: Limine says it on the screen alone.
/// Exit status 33 is the kernel's success, 35 its failure.
const BOOTS: &[Boot] = &[
    Boot { name: "kernel-tests.1-core", cores: 1, words: TESTS, limit: 300, ..PLAIN },
    Boot { name: "kernel-tests.4-cores", words: TESTS, limit: 300, ..PLAIN },
    Boot {
        name: "kernel-tests.own-loader",
        words: TESTS,
        needs: Needs::OwnLoader,
        limit: 300,
        ..PLAIN
    },
    Boot { name: "kernel-tests.limine", words: TESTS, needs: Needs::Limine, limit: 300, ..PLAIN },
    Boot { name: "program.hello", words: HELLO, ..PLAIN },
    Boot {
        name: "shell",
        script: &[
            Step::Type("help"),
            Step::Type("cores"),
            Step::Type("tasks 1"),
            Step::Type("mem"),
            Step::Type("log debug"),
            Step::Type("run hello one two"),
            Step::Type("syslog"),
            Step::Type("bench quick syscall.null"),
            Step::Type("frobnicate"),
            Step::Type("cores and more"),
            Step::Type("poweroff"),
        ],
        expect: Expect::StatusAfterAll(
            SUCCESS,
            &[
                "this list",
                "core",
                "frames",
                "log level is DEBUG",
                "hello from core",
                "syscall.null",
                "unknown command `frobnicate`",
                "usage: cores",
            ],
        ),
        ..PLAIN
    },
    Boot {
        name: "panic",
        script: &[Step::Type("panic")],
        expect: Expect::StatusAfterAll(
            FAILURE,
            &[
                EPITAPH,
                "asked for at the shell",
                "task `shell`",
                "kernel::services::",
                "=== end ===",
            ],
        ),
        ..PLAIN
    },
    Boot {
        name: "bench.4-cores",
        words: BENCH_DISKS,
        disks: storage::NULL_DISKS,
        metrics: METRICS,
        limit: 400,
        ..PLAIN
    },
    Boot {
        name: "bench.1-core",
        cores: 1,
        words: BENCH,
        metrics: &["syscall.null", "ipc.call_reply"],
        limit: 300,
        ..PLAIN
    },
    Boot {
        name: "bench.128-mib",
        memory: 128,
        words: BENCH,
        metrics: &["syscall.null"],
        limit: 400,
        ..PLAIN
    },
    Boot {
        name: "bench.saves-results",
        words: "bench=auto bench.quick bench.filter=syscall headless exit=qemu",
        expect: Expect::StatusAfter(SUCCESS, &["figures written to nvme0n1p2"]),
        metrics: &["syscall.null"],
        saved: &["syscall.null"],
        limit: 300,
        ..PLAIN
    },
    Boot { name: "attack.4-cores", words: ATTACK, devices: &["edu"], limit: 400, ..PLAIN },
    Boot { name: "attack.1-core", cores: 1, words: ATTACK, limit: 400, ..PLAIN },
    Boot {
        name: "command-line.garbage",
        words: "=== frob=1 log=loud smp=banana bench.filter irq= \"quote 'x' run.args=,, %s%n \\ headless run=hello exit=qemu",
        expect: Expect::StatusAfter(SUCCESS, &["unknown", "ignored", "warn"]),
        ..PLAIN
    },
    Boot {
        name: "program.missing",
        words: "run=no-such-program headless exit=qemu",
        expect: Expect::StatusAfter(FAILURE, &["no-such-program"]),
        ..PLAIN
    },
    Boot {
        name: "program.corrupt",
        words: HELLO,
        mutation: Mutation::Corrupt("pollux/hello"),
        expect: Expect::StatusAfter(FAILURE, &["hello"]),
        ..PLAIN
    },
    Boot {
        name: "program.cut",
        words: HELLO,
        mutation: Mutation::Cut("pollux/hello"),
        expect: Expect::StatusAfter(FAILURE, &["hello"]),
        ..PLAIN
    },
    Boot {
        name: "symbols.corrupt",
        words: HELLO,
        mutation: Mutation::Corrupt("pollux/kernel.sym"),
        ..PLAIN
    },
    Boot {
        name: "module.missing",
        needs: Needs::OwnLoader,
        mutation: Mutation::Remove("pollux/hello"),
        expect: Expect::Says(&["pollux/hello"]),
        ..PLAIN
    },
    Boot {
        name: "kernel.missing",
        needs: Needs::OwnLoader,
        mutation: Mutation::Remove("pollux/kernel"),
        expect: Expect::Says(&["pollux/kernel", "failed to open executable"]),
        ..PLAIN
    },
    Boot {
        name: "kernel.corrupt",
        needs: Needs::OwnLoader,
        mutation: Mutation::Corrupt("pollux/kernel"),
        expect: Expect::Says(&["elf", "kernel:", "panic"]),
        ..PLAIN
    },
    Boot {
        name: "kernel.cut",
        needs: Needs::OwnLoader,
        mutation: Mutation::Cut("pollux/kernel"),
        expect: Expect::Says(&["pollux/kernel"]),
        ..PLAIN
    },
    Boot {
        name: "loader.bad-configuration",
        needs: Needs::OwnLoader,
        mutation: Mutation::Configuration("this is no configuration\n\0\x01: : :\n"),
        expect: Expect::Says(&["limine.conf"]),
        ..PLAIN
    },
    Boot {
        name: "memory.too-little-to-load",
        needs: Needs::OwnLoader,
        memory: 128,
        mutation: Mutation::Ballast(120),
        expect: Expect::Says(&[
            "out of memory",
            "not enough memory",
            "too little memory",
            "out_of_resources",
        ]),
        ..PLAIN
    },
    // What is left is less than half: the firmware's own memory has to be taken over to run here.
    Boot {
        name: "memory.tight",
        memory: 128,
        words: BENCH,
        needs: Needs::OwnLoader,
        mutation: Mutation::Ballast(64),
        limit: 400,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = all().map(|boot| boot.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }
}
