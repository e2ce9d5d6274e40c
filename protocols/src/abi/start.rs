//! What a program finds when it starts, and what its parent says to start it.

use super::{Handle, ObjectKind};

/// Most arguments of a program.
pub const ARGS_MAX: usize = 16;
/// Most handles a program starts with.
pub const HANDLES_MAX: usize = 16;
/// Most bytes of all arguments together.
pub const ARG_BYTES_MAX: usize = 1024;

/// A string in the program's own memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Slice {
    /// Address of the first byte.
    pub ptr: u64,
    /// Bytes.
    pub len: u64,
}

/// A capability the program starts with. `tag` is the parent's word for what it is for
/// (see [`tag`]); the kernel only carries it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct StartHandle {
    /// The handle in the new process (in [`SpawnArgs`]: in the parent).
    pub handle: u32,
    /// The parent's word for it.
    pub tag: u32,
}

impl StartHandle {
    /// The handle, typed.
    pub const fn handle(self) -> Handle {
        Handle(self.handle)
    }
}

/// Tags the kernel gives to what it hands out itself. Parents may use any other number.
pub mod tag {
    use super::ObjectKind;

    /// The process itself (no kill right over others comes with it).
    pub const SELF: u32 = ObjectKind::Process as u32;
    /// Its console.
    pub const CONSOLE: u32 = ObjectKind::Console as u32;
    /// The kernel log.
    pub const LOG: u32 = ObjectKind::Log as u32;
    /// Where metrics go.
    pub const REPORT: u32 = ObjectKind::Report as u32;
    /// Program images: `IMAGE + n` is the n-th boot module that is a program, in boot order.
    /// Only the first program (`init`-like ones started by the kernel with `images`) gets them.
    pub const IMAGE: u32 = 0x100;
}

/// Laid by the kernel at the top of the main thread's stack, read-write; `rdi` points to it at entry.
/// At entry `rsp` is 16-byte aligned minus 8 (as after a `call`) and lies below this structure.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// [`super::ABI_VERSION`].
    pub abi: u32,
    /// Cores of the machine.
    pub cores: u32,
    /// Ticks of `rdtsc` in a second.
    pub tsc_hz: u64,
    /// How many of `args` count.
    pub arg_count: u32,
    /// How many of `handles` count.
    pub handle_count: u32,
    /// Arguments; the first is the program's name.
    pub args: [Slice; ARGS_MAX],
    /// Capabilities.
    pub handles: [StartHandle; HANDLES_MAX],
}

/// Argument of [`super::Syscall::ProcessSpawn`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SpawnArgs {
    /// Home core of the main thread, or [`super::ANY_CORE`].
    pub core: u32,
    /// How many of `args` count.
    pub arg_count: u32,
    /// How many of `handles` count.
    pub handle_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Arguments, in the parent's memory.
    pub args: [Slice; ARGS_MAX],
    /// Capabilities that move to the child.
    pub handles: [StartHandle; HANDLES_MAX],
}
