//! The numbers of the system calls and what each of them does.

/// What messages to an endpoint may bring, as [`Syscall::EndpointCreate`] takes it in `rdi`. Replies
/// are not meant: a caller is told of each capability in one and can drop it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Takes {
    /// Words, and capabilities, which fill the receiver's table.
    #[default]
    Capabilities = 0,
    /// Words only: a message with capabilities is refused with [`super::Error::NotPermitted`] as
    /// soon as it comes to the endpoint, received or not.
    Words = 1,
}

impl Takes {
    /// From register form; `None` for a value that this version doesn't know.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::Capabilities),
            1 => Some(Self::Words),
            _ => None,
        }
    }
}

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
    /// `(memory, ptr to [`super::start::SpawnArgs`]) -> process handle`. The handles named there
    /// move to the child, and what it may use is taken from what this process has left
    /// ([`super::start::Limits`]) until the child has ended.
    ProcessSpawn = 14,
    /// `(process, deadline) -> kind`; `rdx`: detail ([`super::ExitStatus`]). Waits for a process's
    /// end.
    ProcessWait = 15,
    /// `(process) -> 0`. Kills it; returns once none of its threads can run again.
    ProcessKill = 16,
    /// `(takes: [`Takes`]) -> endpoint handle` with all rights. Its home is the core it is created
    /// on.
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
    /// rights, derived from the first: [`Syscall::CapabilityRevoke`] of that takes it away, wherever
    /// it has gone. Needs [`super::Rights::DUPLICATE`].
    CapabilityDuplicate = 26,
    /// `(handle) -> 0`. Gives the capability up. What was derived from it stays, and is now derived
    /// from what this one was derived from.
    CapabilityDrop = 27,
    /// `(handle) -> kind << 32 | rights`. What this process's own handle is.
    CapabilityInspect = 28,
    /// `(process, handle) -> handle in that process`. Moves a capability into a process this one
    /// may control.
    CapabilityTransfer = 29,
    /// `(log, ptr, len) -> 0`. Hands over one encoded [`super::metric::Metric`].
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
    /// `(handle) -> 0`. Takes away everything that was derived from this capability, and what was
    /// derived from that, in every process: the handles become stale, memory mapped through them, or
    /// through this capability itself, faults when touched, and whoever waits through one of them
    /// gets [`super::Error::BadHandle`]. The capability itself stays. On return no core can use any
    /// of it. The addresses of such memory stay taken until [`Syscall::MemoryUnmap`], so that nothing
    /// else comes to lie there unawares. No right is needed but to hold it.
    CapabilityRevoke = 35,
    /// `(log, core, from, ptr, count) -> records copied`; `rdx`: sequence number of the first.
    /// Copies up to `count` records ([`super::syslog::Record`], 64 bytes each, following one
    /// another) of a core's SysLog, from number `from` on, or from the oldest there is if that is
    /// overwritten: then `rdx` is greater than `from`, and the difference is what was lost. None is
    /// copied if `from` is not there yet; `rdx` then tells what the next number will be. Needs
    /// [`super::Rights::RECEIVE`].
    SysLogRead = 36,
    /// `(ptr, count, from) -> entries written`. What this process holds, in the order of the slots
    /// from index `from` on: up to `count` entries ([`super::Held`], 16 bytes each). Go on after the
    /// last one's index until there are none.
    CapabilityList = 37,
    /// `(log, deadline) -> sequence`. Returns once the CommitLog is durable up to all that was
    /// committed before this call; the number of the last such commit. `NotSupported` if nothing
    /// keeps it. Needs [`super::Rights::SEND`].
    CommitSync = 38,
    /// `(device, offset) -> double word`. Reads the header of a PCI function's configuration space:
    /// `offset` is a multiple of four below 64. Needs [`super::Rights::RECEIVE`].
    DeviceConfig = 39,
    /// `(device, bits) -> 0`. Lets the function reach memory, or cuts it off, as
    /// [`super::device::Command`] says; what else its command register has is the kernel's. Without
    /// an IOMMU a function that reaches memory reaches all of it: the capability is trust. This call
    /// and all those below need [`super::Rights::SEND`].
    DeviceCommand = 40,
    /// `(device, index) -> bytes` behind a base address register; `rdx`: [`super::device::Range`].
    DeviceRange = 41,
    /// `(device, index, offset, len, address or 0) -> address`. Maps registers, uncached, never
    /// executable, until [`Syscall::MemoryUnmap`] or the device's end; all multiples of
    /// [`super::PAGE`]. The function answers there from then on. Pages with its table of interrupt
    /// messages are read-only. Needs [`super::Rights::RECEIVE`] as well. `NotSupported`: there are no
    /// whole pages.
    DeviceMap = 42,
    /// `(device, count) -> how many` interrupts it has, at most `count`; `rdx`:
    /// [`super::device::InterruptKind`]. Each begins masked. Asked for again, the same.
    DeviceInterrupts = 43,
    /// `(device, index, notification, bits) -> 0`. From now on interrupt `index` sets these bits. The
    /// capability, which allows signalling and may be transferred, moves to the kernel.
    DeviceInterruptWire = 44,
    /// `(device, index, action) -> 0`. See [`super::device::InterruptAction`].
    DeviceInterrupt = 45,
    /// `(device, len, address bits, ptr or 0) -> address`; `rdx`: where the device finds it. Maps
    /// zeroed memory that stays where it is, with no address of the device's beyond so many bits.
    /// `len` is a multiple of [`super::PAGE`], at most [`super::MEMORY_MAX`]. 0: the pages lie one
    /// behind the other. `ptr`: they lie anywhere, and each one's address is written there as 64
    /// bits. Counts among the process's pages until [`Syscall::DeviceRelease`], or until the
    /// capability's end when the device cannot reach it any more.
    DeviceMemory = 46,
    /// `(device, where the device finds it) -> 0`. The device does not use that memory any more.
    /// What the process has mapped stays until [`Syscall::MemoryUnmap`].
    DeviceRelease = 47,
    /// `(device) -> 0`. Resets the function, and it alone; its interrupts stay wired. It no longer
    /// reaches memory. `NotSupported`: it offers no reset by itself.
    DeviceReset = 48,
    /// `(ports, offset, width 1, 2 or 4) -> value` of a port, the range's first being 0. All of the
    /// access lies within the range. Needs [`super::Rights::RECEIVE`].
    PortRead = 49,
    /// `(ports, offset, width, value) -> 0`. Needs [`super::Rights::SEND`].
    PortWrite = 50,
}

impl Syscall {
    /// One more than the largest number.
    pub const COUNT: usize = 51;

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
        Self::CapabilityRevoke,
        Self::SysLogRead,
        Self::CapabilityList,
        Self::CommitSync,
        Self::DeviceConfig,
        Self::DeviceCommand,
        Self::DeviceRange,
        Self::DeviceMap,
        Self::DeviceInterrupts,
        Self::DeviceInterruptWire,
        Self::DeviceInterrupt,
        Self::DeviceMemory,
        Self::DeviceRelease,
        Self::DeviceReset,
        Self::PortRead,
        Self::PortWrite,
    ];

    /// Whether it is one on a device that was lent ([`super::device`]).
    pub const fn is_on_device(self) -> bool {
        self as u8 >= Self::DeviceConfig as u8 && self as u8 <= Self::DeviceReset as u8
    }

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
