//! The two logs: SysLog (every system call, per core, discardable) and, with the authority work,
//! the CommitLog. Beside them, lines of the text log: the last ones, and those on their way to a
//! syslog server.

pub mod outgoing;
pub mod recent;
pub mod syslog;
