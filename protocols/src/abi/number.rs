//! The numbers of the system calls and what each of them does.

/// Every system call. Arguments are named in register order `rdi rsi rdx r10 r8 r9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Syscall {
    /// `() -> 0`. Does nothing, through the whole gateway: the price of a system call.
    Null = 0,
    /// `(code: i32) -> !`. Ends this thread; the process ends with its last thread.
    ThreadExit = 1,
    /// `(code: i32) -> !`. Ends this process with all its threads.
    ProcessExit = 2,
    /// `() -> 0`. Lets every other task that is ready on this core run first.
    Yield = 3,
    /// `(deadline) -> 0`. Returns once the clock has reached `deadline`.
    SleepUntil = 4,
    /// `() -> nanoseconds since boot`; `rdx`: seconds since 1970-01-01 UTC at boot.
    Clock = 5,
    /// `(console, ptr, len) -> bytes written`. UTF-8; other bytes are shown as `?`.
    ConsoleWrite = 6,
    /// `(log, level 1..=5, ptr, len) -> bytes written`. One record of the kernel log
    /// (1 error, 2 warn, 3 info, 4 debug, 5 trace).
    LogWrite = 7,
    /// `(ptr, len) -> bytes written`. Fills memory with random bytes.
    Random = 8,
    /// `(address or 0, len, protection) -> address`. Maps zeroed memory, all of it present on
    /// return. `address` and `len` are multiples of [`super::PAGE`]; 0 lets the kernel choose.
    MemoryMap = 9,
    /// `(address, len) -> 0`. Unmaps; the whole range must be mapped. On return no core can reach
    /// it.
    MemoryUnmap = 10,
    /// `(address, len, protection) -> 0`. Changes the protection; the whole range must be mapped.
    MemoryProtect = 11,
    /// `(entry, stack top, argument, core, tls base) -> thread handle`. Starts a thread in this
    /// process: `rdi` = argument, FS base = tls base.
    ThreadSpawn = 12,
    /// `(thread, deadline) -> exit code` (as `u32`). Waits for a thread's end.
    ThreadJoin = 13,
    /// `(image, ptr to [`super::start::SpawnArgs`]) -> process handle`. The handles named there
    /// move to the child.
    ProcessSpawn = 14,
    /// `(process, deadline) -> kind`; `rdx`: detail ([`super::ExitStatus`]). Waits for a process's
    /// end.
    ProcessWait = 15,
    /// `(process) -> 0`. Kills it; returns once none of its threads can run again.
    ProcessKill = 16,
    /// `() -> endpoint handle` with all rights. Its home is the core it is created on.
    EndpointCreate = 17,
    /// Message call: sends and waits for the reply.
    Call = 18,
    /// Replies to the caller this thread received last; fails with `NoCaller` if there is none.
    /// Never waits.
    Reply = 19,
    /// Message receive: waits for a message. A thread that holds an unanswered caller drops it (the
    /// caller gets `PeerGone`).
    Receive = 20,
    /// [`Syscall::Reply`] (skipped if there is no caller), then [`Syscall::Receive`] on the
    /// endpoint in `rdi`.
    ReplyReceive = 21,
    /// Message send: waits until it is received, not for a reply.
    Send = 22,
    /// `() -> notification handle` with all rights.
    NotificationCreate = 23,
    /// `(notification, bits) -> 0`. Ors `bits` (not zero) into the word and wakes its waiter. Never
    /// waits.
    NotificationSignal = 24,
    /// `(notification, deadline) -> 0`; `rdx`: the bits. Waits until the word is not zero, takes
    /// and clears it. One waiter at a time, a second gets `LimitReached`. A deadline of 0 only
    /// looks: `WouldBlock`.
    NotificationWait = 25,
    /// `(handle, rights) -> handle`. A second capability to the same object with a subset of the
    /// rights.
    CapabilityDuplicate = 26,
    /// `(handle) -> 0`. Gives the capability up.
    CapabilityDrop = 27,
    /// `(handle) -> kind << 32 | rights`. What this process's own handle is.
    CapabilityInspect = 28,
    /// `(process, handle) -> handle in that process`. Moves a capability into a process this one
    /// may control.
    CapabilityTransfer = 29,
    /// `(report, ptr, len) -> 0`. Hands over one encoded [`super::metric::Metric`].
    Report = 30,
    /// `() -> core this thread lives on`; `rdx`: number of cores.
    Core = 31,
    /// `(len) -> memory handle` with all rights. Makes a memory object: zeroed pages that several
    /// processes may map and that devices read and write in place. `len` is a multiple of
    /// [`super::PAGE`], at most [`super::MEMORY_MAX`]. Until its last capability is gone its pages
    /// count among those of the process that made it, and whoever maps it counts them too. The
    /// pages themselves stay as long as anybody maps them or a device uses them.
    MemoryCreate = 32,
    /// `(memory, address or 0, offset, len, protection) -> address`. Maps `len` bytes of a memory
    /// object from `offset` on, all multiples of [`super::PAGE`], until
    /// [`Syscall::MemoryUnmap`]. Reading needs [`super::Rights::RECEIVE`], writing
    /// [`super::Rights::SEND`] as well; [`Syscall::MemoryProtect`] gives no more than that. Never
    /// executable.
    MemoryAttach = 33,
    /// `(memory) -> bytes` of a memory object.
    MemorySize = 34,
}

impl Syscall {
    /// One more than the largest number.
    pub const COUNT: usize = 35;

    /// All of them, by number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Null,
        Self::ThreadExit,
        Self::ProcessExit,
        Self::Yield,
        Self::SleepUntil,
        Self::Clock,
        Self::ConsoleWrite,
        Self::LogWrite,
        Self::Random,
        Self::MemoryMap,
        Self::MemoryUnmap,
        Self::MemoryProtect,
        Self::ThreadSpawn,
        Self::ThreadJoin,
        Self::ProcessSpawn,
        Self::ProcessWait,
        Self::ProcessKill,
        Self::EndpointCreate,
        Self::Call,
        Self::Reply,
        Self::Receive,
        Self::ReplyReceive,
        Self::Send,
        Self::NotificationCreate,
        Self::NotificationSignal,
        Self::NotificationWait,
        Self::CapabilityDuplicate,
        Self::CapabilityDrop,
        Self::CapabilityInspect,
        Self::CapabilityTransfer,
        Self::Report,
        Self::Core,
        Self::MemoryCreate,
        Self::MemoryAttach,
        Self::MemorySize,
    ];

    /// The call of a number.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw < Self::COUNT as u64 { Some(Self::ALL[raw as usize]) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::Syscall;

    #[test]
    fn every_number_names_its_call() {
        for (number, call) in Syscall::ALL.iter().enumerate() {
            assert_eq!(*call as usize, number);
        }
        assert_eq!(Syscall::from_raw(Syscall::COUNT as u64), None);
        assert_eq!(Syscall::from_raw(u64::MAX), None);
    }
}
