//! What a program finds when it starts, and what its parent says to start it.

use super::{Handle, ObjectKind};

/// Most arguments of a program.
pub const ARGS_MAX: usize = 32;
/// Most handles a program starts with.
pub const HANDLES_MAX: usize = 32;
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
    pub const REPORT: u32 = 8;
    /// Program images: `IMAGE + n` is the n-th boot module that is a program, in boot order.
    /// Only the first program (`init`-like ones started by the kernel with `images`) gets them.
    pub const IMAGE: u32 = 0x100;
    /// Disks: an argument `disk=NAME:n` says that `DISK + n` is an endpoint of the block service
    /// for it ([`crate::block_ring`]). Only who was given one has it.
    pub const DISK: u32 = 0x200;
    /// The network: an endpoint of the network service ([`crate::socket_ring`]). Only who was given
    /// it has it.
    pub const NET: u32 = 0x300;
    /// Devices: an argument `device=NAME:n` says that `DEVICE + n` is a PCI function. Only who was
    /// lent one has it.
    pub const DEVICE: u32 = 0x400;
    /// Port ranges: an argument `ports=FIRST+COUNT:n` (hexadecimal) says that `PORTS + n` is one. Only
    /// who was given one has it.
    pub const PORTS: u32 = 0x500;
}

/// Laid by the kernel at the top of the main thread's stack, read-write; `rdi` points to it at
/// entry. At entry `rsp` is 16-byte aligned minus 8 (as after a `call`) and lies below this
/// structure.
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

/// What a child may use at once, taken from what its parent has left, and given back when it has
/// ended. Zero: an eighth of what the parent has left. More than that is refused with
/// [`super::Error::LimitReached`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limits {
    /// Pages: mapped, or of memory objects it made, or given to its own children.
    pub frames: u64,
    /// Threads.
    pub threads: u32,
    /// Capabilities it holds.
    pub handles: u32,
    /// Messages of its threads that wait to be received.
    pub messages: u32,
    /// Zero.
    pub reserved: u32,
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
    /// What it may use.
    pub limits: Limits,
    /// Arguments, in the parent's memory.
    pub args: [Slice; ARGS_MAX],
    /// Capabilities that move to the child.
    pub handles: [StartHandle; HANDLES_MAX],
}

impl SpawnArgs {
    /// Reads the structure as it lies in memory. Counts are not checked here.
    pub fn from_bytes(bytes: &[u8; size_of::<Self>()]) -> Self {
        let mut reader = Reader { bytes, at: 0 };
        Self {
            core: reader.half(),
            arg_count: reader.half(),
            handle_count: reader.half(),
            reserved: reader.half(),
            limits: Limits {
                frames: reader.word(),
                threads: reader.half(),
                handles: reader.half(),
                messages: reader.half(),
                reserved: reader.half(),
            },
            args: core::array::from_fn(|_| Slice { ptr: reader.word(), len: reader.word() }),
            handles: core::array::from_fn(|_| StartHandle {
                handle: reader.half(),
                tag: reader.half(),
            }),
        }
    }
}

impl StartInfo {
    /// The structure as it lies in memory.
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&self.abi.to_le_bytes());
        put(&self.cores.to_le_bytes());
        put(&self.tsc_hz.to_le_bytes());
        put(&self.arg_count.to_le_bytes());
        put(&self.handle_count.to_le_bytes());
        for arg in &self.args {
            put(&arg.ptr.to_le_bytes());
            put(&arg.len.to_le_bytes());
        }
        for handle in &self.handles {
            put(&handle.handle.to_le_bytes());
            put(&handle.tag.to_le_bytes());
        }
        bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn half(&mut self) -> u32 {
        let mut le = [0; 4];
        le.copy_from_slice(&self.bytes[self.at..self.at + 4]);
        self.at += 4;
        u32::from_le_bytes(le)
    }

    fn word(&mut self) -> u64 {
        u64::from(self.half()) | u64::from(self.half()) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn bytes_lie_as_the_structure_does() {
        let mut info = StartInfo {
            abi: 1,
            cores: 4,
            tsc_hz: 0x1122_3344_5566_7788,
            arg_count: 2,
            handle_count: 3,
            args: [Slice::default(); ARGS_MAX],
            handles: [StartHandle::default(); HANDLES_MAX],
        };
        info.args[1] = Slice { ptr: 7, len: 9 };
        info.handles[15] = StartHandle { handle: 0xabcd, tag: 5 };
        let bytes = info.to_bytes();
        assert_eq!(bytes[offset_of!(StartInfo, tsc_hz)], 0x88);
        assert_eq!(bytes[offset_of!(StartInfo, args) + 16], 7);
        assert_eq!(bytes[offset_of!(StartInfo, handles) + 15 * 8], 0xcd);
    }

    #[test]
    fn spawn_args_read_where_they_lie() {
        let mut bytes = [0; size_of::<SpawnArgs>()];
        bytes[offset_of!(SpawnArgs, handle_count)] = 3;
        let limits = offset_of!(SpawnArgs, limits);
        bytes[limits + offset_of!(Limits, frames) + 7] = 1;
        bytes[limits + offset_of!(Limits, threads)] = 2;
        bytes[limits + offset_of!(Limits, handles)] = 3;
        bytes[limits + offset_of!(Limits, messages)] = 4;
        bytes[limits + offset_of!(Limits, reserved)] = 5;
        bytes[offset_of!(SpawnArgs, args) + 3 * 16 + 8] = 77;
        bytes[offset_of!(SpawnArgs, handles) + 2 * 8 + 4] = 5;
        let args = SpawnArgs::from_bytes(&bytes);
        assert_eq!((args.handle_count, args.args[3].len, args.handles[2].tag), (3, 77, 5));
        let limits = Limits { frames: 1 << 56, threads: 2, handles: 3, messages: 4, reserved: 5 };
        assert_eq!(args.limits, limits);
    }

    #[test]
    fn structures_have_the_sizes_that_programs_were_built_with() {
        assert_eq!(size_of::<StartInfo>(), 24 + ARGS_MAX * 16 + HANDLES_MAX * 8);
        assert_eq!(size_of::<Limits>(), 24);
        assert_eq!(size_of::<SpawnArgs>(), 16 + 24 + ARGS_MAX * 16 + HANDLES_MAX * 8);
        assert_eq!(offset_of!(SpawnArgs, limits), 16);
    }
}
