//! The two logs: SysLog (every system call, per core, discardable) and, with the authority work,
//! the CommitLog. Beside them, the last lines of the text log.

pub mod recent;
pub mod syslog;
