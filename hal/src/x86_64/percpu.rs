//! The per-core block, reached through `gs:[0]`.
//!
//! One [`PerCpu`] for every core that could exist sits in static memory. In ring 0 the GS base
//! points to this core's block; in ring 3 it belongs to the program, and `swapgs` trades the two.
//! Entries that may hit the window in between (NMI, machine check, double fault, debug) never
//! trust GS: they find the block in the word above their interrupt stack (see
//! [`descriptors`](super::descriptors)).
//!
//! Every field is an atomic that only its own core writes unless said otherwise, with relaxed
//! order: on x86_64 such an access is one plain `mov`, and assembly may use the same word.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::MAX_CORES;
use super::user::UserSlots;

/// `IA32_GS_BASE`: the base of GS in use (Intel SDM vol. 4, table 2-2).
const IA32_GS_BASE: u32 = 0xc000_0101;
/// `IA32_KERNEL_GS_BASE`: what the next `swapgs` will bring (Intel SDM vol. 4, table 2-2).
const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;

/// What one core keeps for itself. The offsets of the public fields may be used from assembly
/// through `core::mem::offset_of!`.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct PerCpu {
    /// This block's own address: `mov reg, gs:[0]` yields it. Must stay first.
    pub this: AtomicPtr<PerCpu>,
    /// Scratch for the ring-3 stack pointer while the entry path changes stacks.
    pub user_rsp: AtomicU64,
    /// The kernel stack to take on `syscall`: what was left behind when ring 3 was entered.
    pub kernel_rsp: AtomicU64,
    /// The record of the ring-3 thread this core runs, owned by [`user`](super::user). Null: none.
    pub current: AtomicPtr<u8>,
    /// Points to `rsp0` inside this core's TSS: the stack that an interrupt from ring 3 takes.
    pub tss_rsp0: AtomicPtr<AtomicU64>,
    /// How many interrupt or exception handlers are on this core's stacks. Nonzero: in a handler.
    pub interrupt_depth: AtomicU32,
    /// The local APIC's id, as interrupts address this core.
    pub lapic_id: AtomicU32,
    /// This core's number: its index among the blocks.
    pub core: AtomicU16,
    /// Set once the core runs kernel code with its own descriptors. Other cores read it.
    pub online: AtomicBool,
    /// An NMI that nobody asked for came; the deferred handler reports it and clears this.
    pub nmi_pending: AtomicBool,
    /// A machine check was survived; the deferred handler reports it and clears this.
    pub machine_check_pending: AtomicBool,
    /// Set by another core: stop for good at the next NMI.
    pub stop_requested: AtomicBool,
    /// Set by this core once it has stopped.
    pub stopped: AtomicBool,
    /// Where the core was when it stopped; 0: not in a place that matters.
    pub stopped_rip: AtomicU64,
    /// What [`user`](super::user) keeps per core.
    pub user: UserSlots,
}

static BLOCKS: [PerCpu; MAX_CORES] = [const { PerCpu::new() }; MAX_CORES];

impl PerCpu {
    const fn new() -> Self {
        Self {
            this: AtomicPtr::new(core::ptr::null_mut()),
            user_rsp: AtomicU64::new(0),
            kernel_rsp: AtomicU64::new(0),
            current: AtomicPtr::new(core::ptr::null_mut()),
            tss_rsp0: AtomicPtr::new(core::ptr::null_mut()),
            interrupt_depth: AtomicU32::new(0),
            lapic_id: AtomicU32::new(0),
            core: AtomicU16::new(0),
            online: AtomicBool::new(false),
            nmi_pending: AtomicBool::new(false),
            machine_check_pending: AtomicBool::new(false),
            stop_requested: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            stopped_rip: AtomicU64::new(0),
            user: UserSlots::new(),
        }
    }

    /// This core's number.
    #[inline]
    pub fn core(&self) -> u16 {
        self.core.load(Ordering::Relaxed)
    }

    /// Whether the core is inside an interrupt or exception handler.
    #[inline]
    pub fn in_interrupt(&self) -> bool {
        self.interrupt_depth.load(Ordering::Relaxed) != 0
    }

    /// The local APIC id other cores and devices address this core by.
    #[inline]
    pub fn lapic_id(&self) -> u32 {
        self.lapic_id.load(Ordering::Relaxed)
    }

    /// Names the stack that the next interrupt from ring 3 takes (one store).
    ///
    /// # Safety
    /// `self` is the calling core's own block, its descriptors are loaded, and `top` is the
    /// 16-byte aligned upper end of a mapped stack which nothing else uses while ring 3 runs.
    #[inline]
    pub unsafe fn set_rsp0(&self, top: u64) {
        let rsp0 = self.tss_rsp0.load(Ordering::Relaxed);
        debug_assert!(!rsp0.is_null());
        // SAFETY: `descriptors::install` pointed this into a TSS that lives as long as the kernel.
        unsafe { (*rsp0).store(top, Ordering::Relaxed) };
    }
}

/// This core's block.
///
/// Valid once [`install`] ran on this core, in ring 0 with the kernel's GS.
#[inline(always)]
pub fn this() -> &'static PerCpu {
    let block: *const PerCpu;
    // SAFETY: GS points to a block in `BLOCKS` from `install` on (the entry stubs swap it back on
    // the way in from ring 3), and `this` is the block's first word. A task never changes cores
    // in the middle of a function, so the value may be reused: the asm is `pure`.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) block, options(pure, readonly, nostack, preserves_flags));
        &*block
    }
}

/// This core's block, or `None` before [`install`] has run on this core: for panics, which may come
/// at any time. Slower than [`this`].
pub fn try_this() -> Option<&'static PerCpu> {
    // SAFETY: the register exists on every x86_64; reading has no effect.
    let base = unsafe { super::cpu::read_msr(IA32_GS_BASE) };
    BLOCKS.iter().find(|block| core::ptr::from_ref(*block) as u64 == base)
}

/// The block of core number `core`, present or not. `None` beyond [`MAX_CORES`].
pub fn of(core: u16) -> Option<&'static PerCpu> {
    BLOCKS.get(usize::from(core))
}

/// All blocks of cores that have come up so far.
pub fn online() -> impl Iterator<Item = &'static PerCpu> {
    BLOCKS.iter().filter(|block| block.online.load(Ordering::Acquire))
}

/// Makes block `core` this core's own: fills it and points GS at it.
///
/// # Safety
/// Called once per core (and again only after the core was reset), on that core, with interrupts
/// off and before anything calls [`this`]. No other core uses the same number.
///
/// # Panics
/// If `core` is not below [`MAX_CORES`].
pub unsafe fn install(core: u16, lapic_id: u32) -> &'static PerCpu {
    let block = &BLOCKS[usize::from(core)];
    let address = core::ptr::from_ref(block);
    block.this.store(address.cast_mut(), Ordering::Relaxed);
    block.core.store(core, Ordering::Relaxed);
    block.lapic_id.store(lapic_id, Ordering::Relaxed);
    block.interrupt_depth.store(0, Ordering::Relaxed);
    // SAFETY: both MSRs exist on every x86_64; the address is canonical and lives forever. The
    // second is what ring 3 finds as its GS base first: zero, so that nothing leaks.
    unsafe {
        super::cpu::write_msr(IA32_GS_BASE, address as u64);
        super::cpu::write_msr(IA32_KERNEL_GS_BASE, 0);
    }
    block
}
