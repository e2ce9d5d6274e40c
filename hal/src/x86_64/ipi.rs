//! Interrupts from core to core.

use core::sync::atomic::Ordering;

use super::exceptions::TrapFrame;
use super::percpu::{self, PerCpu};
use super::time::clock;
use super::{apic, interrupts, vectors};

/// How long [`stop_others`] waits for the others to stop.
const STOP_LIMIT_US: u64 = 200_000;

/// Interrupts `core`, so that it looks at its inbox. A core that is not up is left alone.
///
/// Sending to oneself is allowed. Good in interrupt handlers.
#[inline]
pub fn kick(core: u16) {
    send(core, vectors::KICK);
}

/// Makes `core` run [`Hooks::tlb_shootdown`](super::exceptions::Hooks::tlb_shootdown) in an
/// interrupt handler. The caller awaits whatever acknowledgement that hook gives.
#[inline]
pub fn tlb_shootdown(core: u16) {
    send(core, vectors::TLB);
}

#[inline]
pub(super) fn send(core: u16, vector: u8) {
    let Some(block) = percpu::of(core).filter(|block| block.online.load(Ordering::Acquire)) else {
        return;
    };
    // An IPI that does not leave shows in `unsent`; there is nobody to tell in a wake.
    if apic::send(block.lapic_id(), vector).is_err() {
        UNSENT.fetch_add(1, Ordering::Relaxed);
    }
}

static UNSENT: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// How many interrupts between cores the hardware failed to send. Anything but 0 is a hardware
/// fault, and wake-ups may have been late.
pub fn unsent() -> u64 {
    UNSENT.load(Ordering::Relaxed)
}

/// For panics: stops every other core by NMI, wherever it is, and says how many did not stop
/// within 200 ms. Takes no lock. The first core to call wins; the others stop in here.
pub fn stop_others() -> usize {
    interrupts::disable();
    // Before this core has its block no other core runs.
    let Some(me) = percpu::try_this() else { return 0 };
    if FIRST.swap(true, Ordering::AcqRel) {
        me.stopped.store(true, Ordering::Release);
        interrupts::halt_forever();
    }
    let others = || percpu::online().filter(|block| block.core() != me.core());
    for block in others() {
        block.stop_requested.store(true, Ordering::Release);
        let _ = apic::send_nmi(block.lapic_id());
    }
    let running = || others().filter(|b| !b.stopped.load(Ordering::Acquire)).count();
    let deadline = clock::now().saturating_add(clock::us_to_ticks(STOP_LIMIT_US));
    while running() > 0 && clock::now() < deadline {
        core::hint::spin_loop();
    }
    running()
}

static FIRST: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// The NMI handler of a core that is to stop: keeps where it was for the epitaph.
pub(super) fn stop_here(frame: &TrapFrame) -> ! {
    let block: &PerCpu = percpu::this();
    block.stopped_rip.store(frame.rip, Ordering::Relaxed);
    block.stopped.store(true, Ordering::Release);
    interrupts::halt_forever()
}
