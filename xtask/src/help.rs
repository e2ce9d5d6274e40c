//! What `--help` says.

use crate::options::Command;

const TOP: &str = "\
cargo xtask: build, boot, test and measure Pollux

    cargo xtask run        build everything and boot it in QEMU; leaves you at its shell
    cargo xtask test       run all tests: lint, host tests, boots in QEMU
    cargo xtask bench      boot, measure, print a table; report in target/bench/
    cargo xtask image      make a disk image for a USB stick
    cargo xtask lint       check the house rules (imports, unsafe, file sizes, trusted core)
    cargo xtask gdb        boot stopped, for a debugger
    cargo xtask soak       repeat boots and benchmarks for hours
    cargo xtask results    read the figures a machine left on its boot medium
    cargo xtask replay     verify a machine's CommitLog, and show who held what
    cargo xtask setup      find or install what the others need (they do so by themselves)

`cargo xtask COMMAND --help` lists the flags of a command. Anything missing (compiler, QEMU,
firmware) is named; on Debian and Ubuntu as root, or with passwordless sudo, it is installed.
";

const MACHINE: &str = "  --smp N              virtual CPUs (4)
  --memory SIZE        guest memory: 512, 512M, 2G (512)
  --accel HOW          auto, tcg or kvm (auto: KVM only if the CPU has vmx or svm)
  --cmdline WORDS      words for the kernel's command line; may be given several times
  --log LEVEL          off, error, warn, info, debug or trace (info)
  --limine DIR         folder with Limine's BOOTX64.EFI; also LIMINE_DIR, a system install, .limine/
  --loader WHICH       own (hal/uefi-loader), limine or any (any: Limine if it is at hand)
  --kernel FILE        boot this kernel instead of building one
";

const DISKS: &str = "  --disk FILE|null[,kind=nvme|ahci][,block=512|4096]
                       attach a disk (several times: several): a raw image, or one that keeps
                       nothing; nvme and 512 unless given. Read-only until `disk NAME writable` at
                       the shell, or --cmdline disk.write=NAME; `disks` there lists them
";

const NETWORK: &str = "  --net MODEL          the network card: e1000, e1000e, rtl8139 or none (e1000e), on QEMU's user
                       network; the status page's port is forwarded, and named before the boot
  --forward HOST:GUEST forward this port of 127.0.0.1 too (several times: several)
";

const DISPLAY: &str =
    "  --display WHAT       QEMU's -display: none, gtk, sdl, vnc=:1, curses (none)\n";

/// The help of a command.
pub fn text(command: Command) -> String {
    match command {
        Command::Help => TOP.to_owned(),
        Command::Run => format!(
            "cargo xtask run: build the kernel, its loader and ring-3 programs, make a disk image, and\n\
             boot it (q35, UEFI, NVMe disk, e1000e, xHCI). It measures itself quickly, prints the table and\n\
             leaves you at its shell (with --cmdline or --program: does what those say first).\n\
             The terminal becomes the serial console:\n\
             Ctrl-C goes to Pollux; Ctrl-A X leaves QEMU, Ctrl-A H lists its other keys.\n\n{MACHINE}{DISKS}{NETWORK}{DISPLAY}  \
             --headless           run the benchmark, print it, exit 0 if it succeeded\n  \
             --program FILE       run this ring-3 ELF after boot (and leave with its status if --headless)\n  \
             --timeout SECONDS    end the machine after that long (--headless: 600)\n\n\
             Files of the run (serial log, COM2 records, disk) are in target/run/.\n"
        ),
        Command::Test => "cargo xtask test: every test there is, each step with a time limit.\n\n  \
             --filter TEXT        only steps whose name contains TEXT\n  \
             --list               name the steps, run none\n  \
             --accel HOW          auto, tcg or kvm (auto)\n  \
             --limine DIR         folder with Limine's BOOTX64.EFI, for the boots that need it\n  \
             --kernel FILE        boot this kernel instead of building one\n\n\
             The last line is `N passed, N failed`; the exit is 0 if none failed. Logs are in target/run/.\n"
            .to_owned(),
        Command::Bench => format!(
            "cargo xtask bench: boot, measure on every core, print a table. A self-contained HTML\n\
             report and the same as JSON go to target/bench/.\n\n{MACHINE}  \
             --icount             count instructions instead of time (one core, slow, exactly repeatable)\n  \
             --host               measure the executor natively too (cargo bench -p executor)\n  \
             --filter PREFIX      only metrics whose name begins with PREFIX\n  \
             --json FILE          write the JSON there too\n  \
             --timeout SECONDS    end the machine after that long (900; --icount: 3600)\n"
        ),
        Command::Image => "cargo xtask image: a GPT disk with an EFI system partition, to boot anything with UEFI.\n\n  \
             --out FILE           where it goes (target/pollux.img)\n  \
             --cmdline WORDS      words for the kernel's command line; try bench=auto\n  \
             --log LEVEL          off, error, warn, info, debug or trace (info)\n  \
             --limine DIR         folder with Limine's BOOTX64.EFI\n  \
             --loader WHICH       own, limine or any (any)\n  \
             --program FILE       a ring-3 ELF to take along and run after boot\n  \
             --kernel FILE        take this kernel instead of building one\n\n\
             Then: dd if=target/pollux.img of=/dev/sdX bs=4M conv=fsync (X: your USB stick; all on it is lost)\n"
            .to_owned(),
        Command::Lint => "cargo xtask lint: the house rules, each breach with file and line.\n\n\
             Imports between crates go down only; `unsafe` stays on its islands and says SAFETY; every\n\
             file begins with //! and has at most 400 lines (500 with a warning); no utils, helpers,\n\
             manager or common; the trusted core, counted line by line, has at most 3,000.\n"
            .to_owned(),
        Command::Gdb => format!(
            "cargo xtask gdb: boot stopped at the first instruction, with a debugger's port open; prints\n\
             the gdb command with the kernel's symbols.\n\n{MACHINE}{DISKS}{NETWORK}{DISPLAY}  \
             --program FILE       run this ring-3 ELF after boot\n  \
             --attach             start gdb in this terminal (the console goes to a file)\n"
        ),
        Command::Soak => "cargo xtask soak: the boots of `test` and the benchmark, over and over, each round with\n\
             another seed, core count and memory size. Counts failures and keeps their logs in target/soak/.\n\n  \
             --hours N            how long (1)\n  \
             --minutes N          how long\n  \
             --seed N             seed of the first round (1)\n  \
             --filter TEXT        only boots whose name contains TEXT\n  \
             --accel HOW          auto, tcg or kvm (auto)\n  \
             --limine DIR         folder with Limine's BOOTX64.EFI\n  \
             --kernel FILE        boot this kernel instead of building one\n"
            .to_owned(),
        Command::Results => "cargo xtask results DISK: the figures that a machine booted with bench=auto left on its boot\n\
             medium. DISK is an image or a device such as /dev/sdb (reading one takes permission).\n\n  \
             --json FILE          write the JSON there instead of a table here\n"
            .to_owned(),
        Command::Replay => "cargo xtask replay DISK: verify the chain of a CommitLog, rebuild the authority it leads to, and\n\
             show it: processes, what they hold, and what was derived from what.\n\n\
             DISK is an image file or a block device with a GUID partition table and a partition of type\n\
             pollux-commits, such a partition by itself, or a file of records made by --save. It is only\n\
             read. `cargo xtask run` leaves its disk at target/run/run/disk.img, for the next run to make\n\
             anew. The exit is 0 if nothing contradicts (a warning does not), 1 if the log is damaged or is\n\
             not what --expect, --log or --against say, 2 if the command line makes no sense.\n\n  \
             --at SEQUENCE        the state after this record (the last)\n  \
             --list               print the commits, one a line, instead of the state; the verdict goes to\n                       \
             standard error\n  \
             --from N, --to N     which commits to print\n  \
             --json FILE          write it as JSON (`-`: to standard output, here and below)\n  \
             --dot FILE           write it as a graph for Graphviz\n  \
             --svg FILE           draw that graph\n  \
             --save FILE          write all records to a file that can be replayed, if the log is sound\n  \
             --expect HASH        the state's or the chain's hash should be this\n  \
             --log FILE           compare with what the kernel said of its log on its serial line\n  \
             --against OTHER      compare with another log, record by record; it is verified as well\n"
            .to_owned(),
        Command::Setup => "cargo xtask setup: find a compiler for x86_64-unknown-none and -uefi, QEMU and OVMF;\n\
             install or name what is missing.\n\n  \
             --env                print variables with which plain `cargo build --release --target\n                       \
             x86_64-unknown-none` works: eval \"$(cargo xtask setup --env)\"\n"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{COMMANDS, flags};

    #[test]
    fn every_flag_is_explained() {
        for (name, command) in COMMANDS {
            let text = text(*command);
            for flag in flags(*command) {
                assert!(text.contains(&format!("--{flag} ")), "{name} --{flag}");
            }
            assert!(TOP.contains(&format!("cargo xtask {name} ")) || *name == "help", "{name}");
        }
    }
}
