//! Lines that are understood, and what is said of those that are not.

use super::*;

fn parsed(line: &str) -> Result<(Command, Options)> {
    parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn good_lines() {
    let (command, options) = parsed("run --smp 2 --memory 2G --accel=tcg --log debug").unwrap();
    assert_eq!((command, options.smp, options.memory), (Command::Run, Some(2), 2048));
    assert_eq!((options.accel, options.log.as_deref()), (Accel::Tcg, Some("debug")));
    let (_, options) = parsed("run --cmdline a --cmdline b=1").unwrap();
    assert_eq!(options.cmdline, "a b=1");
    assert_eq!(parsed("soak --hours 2").unwrap().1.duration, Some(Duration::from_secs(7200)));
    let (_, options) = parsed("replay disk.img --at 7 --json - --log serial.log").unwrap();
    assert_eq!((options.replay.at, options.replay.log), (Some(7), Some("serial.log".into())));
    assert!(parsed("replay --help").unwrap().1.help);
    for line in ["replay a --list --from 5 --to 5 --json -", "replay a --at 5 --save b --dot -"] {
        parsed(line).unwrap();
    }
    assert!(parsed("").unwrap().1.help);
    assert_eq!(parsed("help run").unwrap().0, Command::Run);
}

#[test]
fn bad_lines_say_why() {
    for (line, why) in [
        ("rum", "did you mean `run`"),
        ("run --smb 3", "did you mean `smp`"),
        ("run --smp 0", "not a number from 1 to 255"),
        ("run --smp", "needs a value"),
        ("run --accel hvf", "none of auto, tcg, kvm"),
        ("run --icount", "has no flag"),
        ("run --memory lots", "not a size"),
        ("run --memory 8", "at least 64"),
        ("run --log loud", "none of off"),
        ("run --headless=yes", "unexpected"),
        ("run --disk a,kind=tape", "neither nvme nor ahci"),
        ("run extra", "unexpected argument"),
        ("--smp 3 run", "command first"),
        ("run -q", "unknown flag -q"),
        ("soak --hours never", "not a time"),
        ("replay a b", "unexpected argument"),
        ("replay a --at end", "not a number"),
        ("replay a --expect 12", "`12` is no hash of 64 hexadecimal digits: it has 2"),
        ("results --json a", "usage: cargo xtask results DISK"),
        ("replay", "usage: cargo xtask replay DISK"),
        ("replay --list", "usage: cargo xtask replay DISK"),
        ("replay a --list --at 3", "--at is about a state, --list prints commits"),
        ("replay a --dot b --list", "--dot is about a state"),
        ("replay a --list --svg b", "--svg is about a state"),
        ("replay a --from 3", "--from says which commits to print: it goes with --list"),
        ("replay a --at 3 --to 3", "--to says which commits"),
        ("replay a --list --from 7 --to 5", "--from 7 comes after --to 5"),
        ("replay a --json - --dot -", "only one of"),
        ("replay a --save -", "name a file"),
    ] {
        let error = format!("{:#}", parsed(line).unwrap_err());
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn every_flag_is_understood() {
    for (_, command) in COMMANDS {
        for flag in flags(*command) {
            let mut parser = lexopt::Parser::from_args(["1"]);
            let mut options = Options::default();
            let result = match command {
                Command::Replay => options.replay.set(flag, &mut parser),
                _ => set(&mut options, flag, &mut parser),
            };
            if let Err(error) = result {
                assert_ne!(error.to_string(), "unknown flag", "{flag}");
            }
        }
    }
}
