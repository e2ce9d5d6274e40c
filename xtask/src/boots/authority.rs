//! Authority as people see it at the shell, and changes of it at full speed on all cores, after which
//! the kernel's own log has to lead to the state the kernel is in.

use super::{Boot, PLAIN};
use crate::script::Step::{self, Ask, Type};

/// What the shell tells of who holds what, and how it came to that.
const SHOWN: &[Step] = &[
    Ask("caps", "capabilities, "),
    Ask("caps 0", "process 0"),
    Ask("caps 999", "no process 999 lives"),
    Ask("run hello", "ended well"),
    Ask("commits 4", "ProcessExited"),
    Ask("commits state", "state "),
    Ask("commits verify", "they lead to the kernel's state"),
    Ask("commits nonsense", "neither a number"),
    Ask("run ports --ports 70+2", "ports: 5 of 5 refused"),
    Ask("run ports", "give me the clock's"),
    Ask("run ports --ports 20+2", "not all of one old device"),
    Ask("run ports --ports seventy", "FIRST+COUNT"),
    Ask("syslog", "overwritten"),
    Ask("run hello", "ended well"),
    Type("poweroff"),
];

/// Nothing but changes of authority.
const CHAOS: &[Step] = &[
    Ask("run chaos caps seed=1 ops=6000", "ended well"),
    Ask("commits verify", "they lead to the kernel's state"),
    Ask("run chaos caps seed=2 ops=12000", "ended well"),
    Ask("commits verify", "they lead to the kernel's state"),
    Ask("caps", "capabilities, "),
    Type("poweroff"),
];

/// What happens at once, on as many cores as two sides need.
const RACES: &str = "attack bench.filter=race exit=qemu";

/// All of them.
pub const BOOTS: &[Boot] = &[
    Boot { name: "authority.shell", script: SHOWN, ..PLAIN },
    Boot { name: "authority.chaos.4-cores", script: CHAOS, limit: 400, ..PLAIN },
    Boot { name: "authority.chaos.1-core", cores: 1, script: CHAOS, limit: 400, ..PLAIN },
    // The whole suite runs on one core and on four.
    Boot { name: "attack.2-cores", cores: 2, words: RACES, limit: 400, ..PLAIN },
];
