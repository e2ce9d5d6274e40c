//! The two logs: SysLog (every system call, per core, discardable) and, with the authority work,
//! the CommitLog.

pub mod syslog;
