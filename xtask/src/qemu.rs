//! The virtual machine: what it is made of, as arguments for QEMU.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::attach;
use crate::drives::{self, Drive, slot};
use crate::network::cards::{self, Card};
use crate::options::{Accel, Options};
use crate::process;
use crate::progress;
use crate::setup::Emulator;

/// How the guest's instructions are executed, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// The host's CPU.
    Kvm,
    /// Translated, a host thread for each virtual CPU.
    Tcg,
    /// Translated, counting instructions: four ticks each, one CPU.
    Icount,
}

impl Execution {
    /// `mode` of a metric measured this way.
    pub fn mode(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Icount => "icount",
        }
    }

    /// Takes KVM only where it works.
    pub fn choose(accel: Accel) -> Result<Self> {
        if accel == Accel::Tcg {
            return Ok(Self::Tcg);
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let why = if !has_virtualisation(&cpuinfo) {
            "the CPU's flags have neither vmx nor svm"
        } else if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
            "/dev/kvm cannot be opened (is the module loaded, are you in group kvm?)"
        } else {
            return Ok(Self::Kvm);
        };
        if accel == Accel::Kvm {
            bail!("--accel kvm: {why}");
        }
        Ok(Self::Tcg)
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

/// The board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// Intel's of 2009: PCI Express.
    Q35,
    /// Intel's of 1996: PCI, without a window onto configuration space.
    I440Fx,
}

impl Board {
    /// QEMU's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::I440Fx => "pc",
        }
    }
}

/// Where the first serial port goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// This terminal, both ways; also to a file.
    Terminal,
    /// Standard output, to be read by this tool.
    Pipe,
    /// A file only.
    File,
}

/// A machine about to be started.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The board.
    pub board: Board,
    /// Virtual CPUs.
    pub cores: u32,
    /// Guest memory in MiB.
    pub memory: u32,
    /// How its instructions are executed.
    pub execution: Execution,
    /// Where COM1 goes.
    pub console: Console,
    /// QEMU's `-display`.
    pub display: String,
    /// Stopped, with this port open for a debugger.
    pub debugger: Option<u16>,
    /// A reset ends the machine (a triple fault must not boot forever).
    pub once: bool,
    /// Network cards.
    pub cards: Vec<Card>,
    /// Disks beside the boot disk.
    pub drives: Vec<Drive>,
    /// More devices, as QEMU's `-device` wants them.
    pub devices: &'static [&'static str],
    /// Folder of this run: disk, firmware variables, logs.
    pub dir: PathBuf,
}

/// File names in a machine's folder.
pub const DISK: &str = "disk.img";
/// Firmware variables.
pub const VARS: &str = "vars.fd";
/// What the console printed.
pub const SERIAL: &str = "serial.log";
/// What the kernel reported on COM2, one JSON object a line.
pub const RECORDS: &str = "records.jsonl";
/// What QEMU itself had to say.
pub const COMPLAINTS: &str = "qemu.log";

impl Machine {
    /// A machine by the flags, in `dir`.
    pub fn by_options(options: &Options, console: Console, dir: PathBuf) -> Result<Self> {
        let execution = match (options.icount, options.accel) {
            (true, Accel::Kvm) => bail!("--icount counts by translation: --accel kvm cannot"),
            (true, _) => Execution::Icount,
            (false, accel) => Execution::choose(accel)?,
        };
        let cores = match (execution, options.smp) {
            (Execution::Icount, None | Some(1)) => 1,
            (Execution::Icount, Some(_)) => bail!("--icount has one core: leave out --smp"),
            (_, given) => given.unwrap_or(4),
        };
        let drives = attach::drives(&options.disks)?;
        Ok(Self {
            board: Board::Q35,
            cores,
            memory: options.memory,
            execution,
            console,
            display: options.display.clone(),
            debugger: None,
            once: console != Console::Terminal,
            cards: vec![Card::usual()],
            drives,
            devices: &[],
            dir,
        })
    }

    /// Where QEMU listens for its monitor protocol: in the machine's folder, or elsewhere if that
    /// path is too long for a socket (108 bytes).
    pub fn monitor(&self) -> PathBuf {
        let near = self.dir.join("monitor");
        if near.as_os_str().len() <= 100 {
            return near;
        }
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        std::env::temp_dir().join(format!("pollux-{}-{name}.qmp", std::process::id()))
    }

    /// QEMU's arguments.
    pub fn arguments(&self, emulator: &Emulator) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["-name", "Pollux", "-nodefaults", "-no-user-config"]);
        add(&["-machine", self.board.name()]);
        match self.execution {
            Execution::Kvm => add(&["-accel", "kvm"]),
            Execution::Tcg => add(&["-accel", "tcg,thread=multi"]),
            Execution::Icount => {
                add(&["-accel", "tcg,thread=single", "-icount", "shift=2", "-rtc", "clock=vm"]);
            }
        }
        add(&["-cpu", "max", "-smp", &self.cores.to_string(), "-m", &self.memory.to_string()]);
        let code = escaped(&emulator.code);
        add(&["-drive", &format!("if=pflash,format=raw,unit=0,readonly=on,file={code}")]);
        let vars = self.file(VARS);
        add(&["-drive", &format!("if=pflash,format=raw,unit=1,file={vars}")]);
        let disk = self.file(DISK);
        add(&["-drive", &format!("if=none,id=boot,format=raw,file={disk}")]);
        let boot = format!("nvme,drive=boot,serial=pollux-boot,bootindex=0,addr={}", slot::BOOT);
        add(&["-device", &boot]);
        let network = cards::arguments(&self.cards);
        add(&network.iter().map(String::as_str).collect::<Vec<_>>());
        add(&["-device", &format!("qemu-xhci,addr={}", slot::USB), "-device", "usb-kbd"]);
        let more = drives::arguments(&self.drives);
        add(&more.iter().map(String::as_str).collect::<Vec<_>>());
        for device in self.devices {
            add(&["-device", device]);
        }
        add(&["-vga", "std", "-display", &self.display]);
        add(&["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        let serial = self.file(SERIAL);
        match self.console {
            Console::Terminal => {
                let chardev = format!("stdio,id=com1,mux=on,signal=off,logfile={serial}");
                add(&["-chardev", &chardev, "-mon", "chardev=com1,mode=readline"]);
            }
            Console::Pipe => add(&["-chardev", "stdio,id=com1,signal=off"]),
            Console::File => add(&["-chardev", &format!("file,id=com1,path={serial}")]),
        }
        add(&["-serial", "chardev:com1"]);
        add(&["-chardev", &format!("file,id=com2,path={}", self.file(RECORDS))]);
        add(&["-serial", "chardev:com2"]);
        add(&["-qmp", &format!("unix:{},server=on,wait=off", escaped(&self.monitor()))]);
        if self.once {
            add(&["-no-reboot"]);
        }
        if let Some(port) = self.debugger {
            add(&["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")]);
        }
        arguments
    }

    fn file(&self, name: &str) -> String {
        escaped(&self.dir.join(name))
    }

    /// Fresh firmware variables (boot entries remember slots) and no logs of runs before.
    pub fn prepare(&self, emulator: &Emulator) -> Result<()> {
        let vars = self.dir.join(VARS);
        fs::write(&vars, fs::read(&emulator.vars)?)?;
        for name in [SERIAL, RECORDS, COMPLAINTS] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        let _ = fs::remove_file(self.monitor());
        Ok(())
    }

    /// Says what is about to be started.
    pub fn announce(&self, loader: &crate::limine::Loader) {
        progress::step(format!(
            "booting: {} core{}, {} MiB, {}, {loader}",
            self.cores,
            if self.cores == 1 { "" } else { "s" },
            self.memory,
            self.execution.mode(),
        ));
        for (name, drive) in drives::named(&self.drives) {
            progress::step(format!("disk {name}: {drive}"));
        }
    }

    /// The command that starts it.
    pub fn command(&self, emulator: &Emulator) -> std::process::Command {
        let mut command = process::tied_to_us(&emulator.qemu);
        command.args(self.arguments(emulator)).env_remove("LD_LIBRARY_PATH");
        command
    }
}

/// A path inside one of QEMU's comma-separated options.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(options: &Options) -> String {
        let machine = Machine::by_options(options, Console::Pipe, "/t/a,b".into()).unwrap();
        let emulator = Emulator { qemu: "q".into(), code: "/c".into(), vars: "/v".into() };
        let words = machine.arguments(&emulator);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_machine_is_as_asked() {
        let line = sample(&Options { accel: Accel::Tcg, ..Options::default() });
        for part in
            ["q35", "-smp 4", "-m 512", "thread=multi", "bootindex=0", "e1000e", "qemu-xhci"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(line.contains("file=/t/a,,b/disk.img"));
    }

    #[test]
    fn counting_instructions_takes_one_core() {
        let counting = Options { icount: true, ..Options::default() };
        let line = sample(&counting);
        assert!(line.contains("-smp 1 ") && line.contains("shift=2") && line.contains("clock=vm"));
        for bad in [
            Options { smp: Some(2), ..counting.clone() },
            Options { accel: Accel::Kvm, ..counting },
        ] {
            assert!(Machine::by_options(&bad, Console::Pipe, "/t".into()).is_err());
        }
    }

    #[test]
    fn kvm_needs_the_cpus_flags() {
        assert!(has_virtualisation("processor: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(!has_virtualisation("flags\t\t: fpu sse\nbugs: vmx_unrestricted svm\n"));
    }
}
