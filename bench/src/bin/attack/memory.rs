//! Memory that is not the attacker's, and its own used in ways it must not be.

use core::hint::black_box;
use core::ptr::{read_volatile, write_volatile};

use bench::abi::{ExitStatus, PAGE, Protection, Syscall};
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::Image;
use bench::runtime::memory::{Mapping, map, protect};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::objects;
use crate::ranges;
use crate::raw::call;

/// Where the kernel is linked.
const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;
/// Start of the higher half, where direct maps live.
const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// First address that is not canonical.
const NON_CANONICAL: u64 = 0x8000_0000_0000;
/// Where an attack and its accomplice both look: free in a program linked at 4 MiB.
const RENDEZVOUS: u64 = 0x5000_0000;
/// `ret`.
const RET: u8 = 0xc3;
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    match attack {
        "read_kernel_image" => load(KERNEL_IMAGE),
        "write_kernel_image" => store(KERNEL_IMAGE + 0x1000),
        "read_direct_map" => load(DIRECT_MAP),
        "write_direct_map" => store(DIRECT_MAP + 0x1000),
        "read_null" => load(0),
        "read_non_canonical" => load(NON_CANONICAL),
        "stack_non_canonical" => push_at(NON_CANONICAL + 0x1000),
        "jump_to_kernel" => jump(KERNEL_IMAGE + 0x1000),
        "jump_non_canonical" => jump(NON_CANONICAL),
        "execute_stack" => {
            let code = black_box([RET; 16]);
            jump(code.as_ptr() as u64);
        }
        "execute_data" => {
            let mut page = Mapping::new(PAGE).ok()?;
            page.bytes()[0] = RET;
            jump(page.base() as u64);
        }
        "write_text" => store(run as fn(&str, &mut Env) -> Option<Checks> as usize as u64),
        "write_constant" => store(c"constant".as_ptr() as u64),
        "touch_unmapped" => {
            let page = Mapping::new(PAGE).ok()?;
            let address = page.base() as u64;
            page.unmap().ok()?;
            load(address);
        }
        "write_read_only" => {
            let page = Mapping::new(PAGE).ok()?;
            // SAFETY: nobody has a reference into the page.
            unsafe { protect(page.base(), PAGE, Protection::READ) }.ok()?;
            store(page.base() as u64);
        }
        "main_stack_overflow" => {
            black_box(deeper(0));
        }
        "thread_stack_overflow" => {
            let thread = thread::spawn(0, || black_box(deeper(0))).ok()?;
            let _ = thread.join();
        }
        "thread_stack_in_kernel" => start_on_stack(KERNEL_IMAGE + 0x2000),
        "thread_stack_non_canonical" => start_on_stack(NON_CANONICAL + 0x2000),
        "writable_and_executable" => return Some(ranges::writable_and_executable()),
        "ranges" => return Some(ranges::bad_ranges()),
        "other_process" => return Some(other_process(env)),
        "other_process_peek" => load(RENDEZVOUS),
        "other_process_poke" => return Some(poke()),
        "object_sizes" => return Some(objects::wrong_sizes()),
        "object_protections" => return Some(objects::wrong_protections()),
        "object_write_read_only" => objects::write_read_only()?,
        "object_pieces" => return Some(objects::pieces()),
        "object_shared" => return Some(objects::shared(env)),
        "object_writer" => return Some(objects::writer(env)),
        "fresh_is_zero" => return Some(fresh_is_zero()),
        _ => return None,
    }
    Some(Checks::not_stopped("memory"))
}

fn load(address: u64) {
    // SAFETY: deliberately none: the load must fault, which ends the process.
    black_box(unsafe { read_volatile(address as *const u8) });
}

fn store(address: u64) {
    // SAFETY: deliberately none: the store must fault, which ends the process.
    unsafe { write_volatile(address as *mut u8, 0) };
}

fn jump(address: u64) {
    // SAFETY: deliberately none: the fetch must fault. If it does not, the bytes there return.
    unsafe { core::arch::asm!("call {}", in(reg) address, clobber_abi("C")) };
}

fn push_at(address: u64) {
    // SAFETY: deliberately none: the push must fault; if not, the stack pointer is restored.
    unsafe {
        core::arch::asm!(
            "mov r12, rsp", "mov rsp, {}", "push 0", "mov rsp, r12",
            in(reg) address, out("r12") _,
        );
    }
}

/// Starts a thread whose first push must fault.
fn start_on_stack(top: u64) {
    let entry = push_for_ever as extern "C" fn() as usize as u64;
    let any = u64::from(bench::abi::ANY_CORE);
    let _ = call(Syscall::ThreadSpawn as u64, &[entry, top, 0, any, 0]);
    let soon = calls::clock().map_or(0, |(now, _)| now + 1_000_000_000);
    let _ = calls::sleep_until(soon);
}

extern "C" fn push_for_ever() {
    black_box(deeper(0));
}

/// Never returns, and is no tail call.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if depth == u64::MAX { 0 } else { deeper(depth + 1).wrapping_add(frame[7]) }
}

/// Maps a secret where the accomplices look for it. One may only fault there, the other has
/// memory of its own at the same address.
fn other_process(env: &mut Env) -> Checks {
    let mut checks = Checks::new();
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return checks };
    let Some(base) = checks.works("map", map(RENDEZVOUS, PAGE, Protection::WRITE)) else {
        return checks;
    };
    let word = base.cast::<u64>();
    // SAFETY: mapped just now, read-write, and known to nobody else.
    unsafe { write_volatile(word, SECRET) };
    for (accomplice, end) in [
        ("memory.other_process_peek", ExitStatus::Faulted(14)),
        ("memory.other_process_poke", ExitStatus::Exited(0)),
    ] {
        let ended = Command::new(&image, "attack").arg(accomplice).spawn().and_then(|p| p.wait());
        checks.holds((accomplice, ended), ended == Ok(end));
        // SAFETY: as above.
        checks.holds("the secret is intact", unsafe { read_volatile(word) } == SECRET);
    }
    checks
}

fn poke() -> Checks {
    let mut checks = Checks::new();
    if let Some(base) = checks.works("map", map(RENDEZVOUS, PAGE, Protection::WRITE)) {
        let word = base.cast::<u64>();
        // SAFETY: mapped just now, read-write, and known to nobody else.
        checks.holds("fresh memory is zero", unsafe { read_volatile(word) } == 0);
        // SAFETY: as above.
        unsafe { write_volatile(word, !SECRET) };
    }
    checks
}

/// Fills memory, gives it back, and looks for the old content in what it gets next.
fn fresh_is_zero() -> Checks {
    const LEN: usize = 64 * PAGE;
    let mut checks = Checks::new();
    for _ in 0..8 {
        let Some(mut mapping) = checks.works("map", Mapping::new(LEN)) else { break };
        checks.holds("fresh memory is zero", mapping.bytes().iter().all(|byte| *byte == 0));
        mapping.bytes().fill(0xa5);
        checks.works("unmap", mapping.unmap());
    }
    checks
}
