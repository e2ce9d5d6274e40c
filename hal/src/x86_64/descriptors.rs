//! Segments, task state and the interrupt table of each core.
//!
//! The GDT order serves `syscall`/`sysret`: kernel code, kernel data, user data, user code, then
//! the TSS. The IDT is one for all cores (every gate points to a stub in [`stubs`](super::stubs)).
//!
//! Four vectors have stacks of their own (IST), because they may strike where neither the stack
//! nor GS can be trusted: NMI, double fault, machine check and debug. Such a stack ends like this:
//!
//! ```text
//!   end       ┌────────────────┐
//!   end - 8   │ (padding)      │
//!   end - 16  │ *const PerCpu  │ ← what the TSS names as the stack's top; the CPU pushes below
//!             │ SS, RSP, …     │
//! ```
//!
//! so that the stub finds the per-core block at a fixed distance from its frame.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use super::percpu::{self, PerCpu};
use super::{MAX_CORES, stubs};

/// Selector of the 64-bit kernel code segment.
pub const KERNEL_CODE: u16 = 0x08;
/// Selector of the kernel data segment.
pub const KERNEL_DATA: u16 = 0x10;
/// Selector of the user data segment, with ring 3 as requested privilege.
pub const USER_DATA: u16 = 0x18 | 3;
/// Selector of the 64-bit user code segment, with ring 3 as requested privilege.
pub const USER_CODE: u16 = 0x20 | 3;
/// Selector of the task state segment.
const TASK_STATE: u16 = 0x28;

/// What goes to the upper half of `IA32_STAR`: `syscall` takes the kernel's selectors from bits
/// 32..48, `sysret` the user's from bits 48..64 plus 8 and 16 (Intel SDM vol. 3A, 5.8.8).
pub const STAR: u64 = (KERNEL_CODE as u64) << 32 | ((USER_DATA as u64 - 8) << 48);

/// Bytes of each stack in [`FaultStacks`]: the panic path formats and backtraces on them.
pub const FAULT_STACK_BYTES: usize = 16 * 1024;

/// The upper ends of a core's fault stacks, each 16-byte aligned, each for one vector alone.
#[derive(Debug, Clone, Copy)]
pub struct FaultStacks {
    /// For NMI (vector 2).
    pub nmi: u64,
    /// For double faults (vector 8).
    pub double_fault: u64,
    /// For machine checks (vector 18).
    pub machine_check: u64,
    /// For debug exceptions (vector 1), which `syscall` may meet before it has changed stacks.
    pub debug: u64,
}

/// IST numbers as gates name them (1 to 7).
mod ist {
    pub const NMI: u8 = 1;
    pub const DOUBLE_FAULT: u8 = 2;
    pub const MACHINE_CHECK: u8 = 3;
    pub const DEBUG: u8 = 4;
}

/// The 64-bit TSS (Intel SDM vol. 3A, figure 8-11), moved up by four bytes so that its 64-bit
/// fields are aligned; the CPU does not mind and Rust's atomics do. 128-byte alignment keeps it
/// inside one page, as the SDM asks.
#[repr(C, align(128))]
struct TaskState {
    _shift: u32,
    _reserved0: u32,
    rsp0: AtomicU64,
    rsp1: u64,
    rsp2: u64,
    _reserved1: u64,
    ist: [u64; 7],
    _reserved2: u64,
    _reserved3: u16,
    io_map_base: u16,
}

/// Bytes of the TSS proper.
const TASK_STATE_BYTES: u16 = 104;

#[repr(C)]
struct CoreTables {
    task_state: TaskState,
    gdt: [u64; 7],
}

struct Tables([UnsafeCell<CoreTables>; MAX_CORES]);

// SAFETY: element `n` is written only by core `n`, in `install`; afterwards only the CPU reads it,
// and `rsp0` changes through an atomic.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(
    [const {
        UnsafeCell::new(CoreTables {
            task_state: TaskState {
                _shift: 0,
                _reserved0: 0,
                rsp0: AtomicU64::new(0),
                rsp1: 0,
                rsp2: 0,
                _reserved1: 0,
                ist: [0; 7],
                _reserved2: 0,
                _reserved3: 0,
                io_map_base: 0,
            },
            gdt: [0; 7],
        })
    }; MAX_CORES],
);

/// The flat segments: in 64-bit mode only type, privilege, `L` and presence count.
const SEGMENTS: [u64; 5] = [
    0,
    0x00af_9b00_0000_ffff, // kernel code: present, ring 0, execute/read, accessed, L
    0x00cf_9300_0000_ffff, // kernel data: present, ring 0, read/write, accessed
    0x00cf_f300_0000_ffff, // user data:   present, ring 3, read/write, accessed
    0x00af_fb00_0000_ffff, // user code:   present, ring 3, execute/read, accessed, L
];

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// A gate of the IDT (Intel SDM vol. 3A, figure 7-8).
#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    low: u64,
    high: u64,
}

#[repr(C, align(4096))]
struct Idt(UnsafeCell<[Gate; 256]>);

// SAFETY: written once by the boot core before any other core runs, then only read by CPUs.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([Gate { low: 0, high: 0 }; 256]));

/// Fault stacks of the boot core, which needs them before there is any allocator.
#[repr(C, align(4096))]
struct BootStacks(UnsafeCell<[[u8; FAULT_STACK_BYTES]; 4]>);

// SAFETY: only the boot core's exceptions run on them.
unsafe impl Sync for BootStacks {}

static BOOT_STACKS: BootStacks = BootStacks(UnsafeCell::new([[0; FAULT_STACK_BYTES]; 4]));

impl FaultStacks {
    /// The statically reserved stacks of the boot core.
    pub fn boot() -> Self {
        let base = BOOT_STACKS.0.get() as u64;
        let top = |n: u64| base + n * FAULT_STACK_BYTES as u64;
        Self { nmi: top(1), double_fault: top(2), machine_check: top(3), debug: top(4) }
    }

    /// Stacks from `allocate`, which yields the upper end of that many fresh bytes. `None` once
    /// it does.
    pub fn allocate(mut allocate: impl FnMut(usize) -> Option<u64>) -> Option<Self> {
        let mut one = || allocate(FAULT_STACK_BYTES);
        Some(Self { nmi: one()?, double_fault: one()?, machine_check: one()?, debug: one()? })
    }
}

impl Gate {
    /// An interrupt gate (interrupts go off) into kernel code. `ring` may raise it by `int`.
    fn interrupt(handler: u64, ist: u8, ring: u8) -> Self {
        let attributes = 0x8e00 | u64::from(ring) << 13 | u64::from(ist);
        Self {
            low: handler & 0xffff
                | u64::from(KERNEL_CODE) << 16
                | attributes << 32
                | (handler >> 16 & 0xffff) << 48,
            high: handler >> 32,
        }
    }
}

fn fill_idt() {
    let mut gates = [Gate { low: 0, high: 0 }; 256];
    for (vector, gate) in (0u8..=255).zip(&mut gates) {
        let ist = match vector {
            1 => ist::DEBUG,
            2 => ist::NMI,
            8 => ist::DOUBLE_FAULT,
            18 => ist::MACHINE_CHECK,
            _ => 0,
        };
        // Ring 3 may use `int3` and `into`'s vector; any other `int n` there is a #GP.
        let ring = if matches!(vector, 3 | 4) { 3 } else { 0 };
        *gate = Gate::interrupt(stubs::address(vector), ist, ring);
    }
    // SAFETY: see `Idt`: only the boot core gets here, before it starts the others.
    unsafe { IDT.0.get().write(gates) };
}

/// Writes the per-core block's address where the entry stubs look for it and yields what the TSS
/// is to name as the stack's top.
///
/// # Safety
/// `end` is the upper end of a mapped, unused stack.
unsafe fn label_stack(end: u64, block: *const PerCpu) -> u64 {
    let top = end - 16;
    // SAFETY: the caller vouches for the stack.
    unsafe { (top as *mut *const PerCpu).write(block) };
    top
}

/// Gives this core its segments, task state, interrupt table and per-core block, in this order:
/// after it exceptions are caught and [`percpu::this`] works.
///
/// # Safety
/// Called once per core (and again after the core was reset), on that core, with interrupts off;
/// `core` is nobody else's number; `stacks` are mapped, and this core's alone from now on. The
/// boot core, which is number 0, comes first.
///
/// # Panics
/// If `core` is not below [`MAX_CORES`].
pub unsafe fn install(core: u16, lapic_id: u32, stacks: FaultStacks) -> &'static PerCpu {
    if core == 0 {
        fill_idt();
    }
    let block = percpu::of(core).expect("core number below MAX_CORES");
    let tables = TABLES.0[usize::from(core)].get();
    // SAFETY: the tables are this core's own, and no CPU uses them while they are rewritten: a
    // core that was reset lost its task register.
    unsafe {
        let state = &raw mut (*tables).task_state;
        (*state).io_map_base = TASK_STATE_BYTES; // beyond the limit: no I/O ports for ring 3
        (*state).ist[usize::from(ist::NMI) - 1] = label_stack(stacks.nmi, block);
        (*state).ist[usize::from(ist::DOUBLE_FAULT) - 1] = label_stack(stacks.double_fault, block);
        (*state).ist[usize::from(ist::MACHINE_CHECK) - 1] =
            label_stack(stacks.machine_check, block);
        (*state).ist[usize::from(ist::DEBUG) - 1] = label_stack(stacks.debug, block);
        block.tss_rsp0.store((&raw const (*state).rsp0).cast_mut(), Ordering::Relaxed);

        let base = state as u64 + 4;
        let task_state = u64::from(TASK_STATE_BYTES - 1)
            | (base & 0x00ff_ffff) << 16
            | 0x89 << 40 // present, available 64-bit TSS
            | (base >> 24 & 0xff) << 56;
        let [null, kernel_code, kernel_data, user_data, user_code] = SEGMENTS;
        (*tables).gdt =
            [null, kernel_code, kernel_data, user_data, user_code, task_state, base >> 32];

        load(&TablePointer { limit: 7 * 8 - 1, base: &raw const (*tables).gdt as u64 });
        // Loading GS cleared its base, so the block comes after the segments.
        percpu::install(core, lapic_id)
    }
}

/// Loads GDT, segment registers, task register and IDT.
///
/// # Safety
/// `gdt` names a table laid out as [`install`] does.
unsafe fn load(gdt: &TablePointer) {
    let idt = TablePointer { limit: 256 * 16 - 1, base: IDT.0.get() as u64 };
    // SAFETY: the selectors match the table; code goes on in the same flat address space.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "mov fs, {null:e}",
            "mov gs, {null:e}",
            "ltr {task:x}",
            "lidt [{idt}]",
            gdt = in(reg) gdt,
            idt = in(reg) &raw const idt,
            code = const KERNEL_CODE as u64,
            data = in(reg) u32::from(KERNEL_DATA),
            null = in(reg) 0u32,
            task = in(reg) TASK_STATE,
            scratch = out(reg) _,
            options(preserves_flags)
        );
    }
}
