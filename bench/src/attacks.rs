//! What the attack suite tries on the kernel, and how each attempt has to end.
//!
//! Each attack is a process of its own: `attack NAME`. An attack that ought to be stopped by the
//! CPU names the exceptions that may end it; one that ought to be answered with errors checks them
//! itself and ends with zero; one that would go on for ever is killed.

use crate::runtime::ExitCode;

/// How an attack has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It exits with zero: every call was refused, or answered, as the ABI says.
    Refused,
    /// The CPU stops it with one of these exceptions.
    Fault(&'static [u8]),
    /// As [`Expected::Fault`], unless the CPU is an emulated one that lets it pass without effect.
    FaultOrNothing(&'static [u8]),
    /// It does not end; the suite kills it.
    Killed,
}

/// What the names of attacks begin with that need a disk.
pub const NEED_DISK: &str = "disk.";

/// What the names of attacks begin with that need a device.
pub const NEED_DEVICE: &str = "device.";
/// What the names of attacks begin with that need the network.
pub const NEED_NETWORK: &str = "net.";
/// What the names of attacks begin with that need the network and a peer.
pub const NEED_PEER: &str = "net.peer_";

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name, as `attack` takes it.
    pub name: &'static str,
    /// How it has to end.
    pub expected: Expected,
}

/// Exit code of an attack that the CPU ought to have stopped and did not.
pub const PASSED: ExitCode = ExitCode(3);
/// Tag of the image of `attack` itself, for attacks that need accomplices.
pub const ATTACK_IMAGE: u32 = 0x30;
/// Tag of the notification on which the random caller counts its calls.
pub const PROGRESS: u32 = 0x31;
/// Tag of an endpoint between an attack and its accomplice.
pub const ACCOMPLICE: u32 = 0x32;
/// System calls between two signals of progress of the random caller.
pub const PROGRESS_STEP: u64 = 32;

/// The attack that makes random system calls, as many as it survives: `attack random seed=N`.
pub const RANDOM: &str = "random";

const DIVIDE: u8 = 0;
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const INVALID: u8 = 6;
const NOT_PRESENT: u8 = 11;
const STACK: u8 = 12;
const PROTECTION: u8 = 13;
const PAGE: u8 = 14;
const X87: u8 = 16;
const SIMD: u8 = 19;

const fn refused(name: &'static str) -> Attack {
    Attack { name, expected: Expected::Refused }
}

const fn faults(name: &'static str, vectors: &'static [u8]) -> Attack {
    Attack { name, expected: Expected::Fault(vectors) }
}

const fn protected(name: &'static str) -> Attack {
    faults(name, &[PROTECTION])
}

const fn killed(name: &'static str) -> Attack {
    Attack { name, expected: Expected::Killed }
}

/// All attacks but [`RANDOM`].
pub const ATTACKS: &[Attack] = &[
    // Memory that is not the attacker's, and its own used in ways it must not be.
    faults("memory.read_kernel_image", &[PAGE]),
    faults("memory.write_kernel_image", &[PAGE]),
    faults("memory.read_direct_map", &[PAGE]),
    faults("memory.write_direct_map", &[PAGE]),
    faults("memory.read_null", &[PAGE]),
    protected("memory.read_non_canonical"),
    faults("memory.stack_non_canonical", &[STACK, PROTECTION]),
    faults("memory.jump_to_kernel", &[PAGE]),
    faults("memory.jump_non_canonical", &[PROTECTION, PAGE]),
    faults("memory.execute_stack", &[PAGE]),
    faults("memory.execute_data", &[PAGE]),
    faults("memory.write_text", &[PAGE]),
    faults("memory.write_constant", &[PAGE]),
    faults("memory.touch_unmapped", &[PAGE]),
    faults("memory.write_read_only", &[PAGE]),
    faults("memory.main_stack_overflow", &[PAGE]),
    faults("memory.thread_stack_overflow", &[PAGE]),
    faults("memory.thread_stack_in_kernel", &[PAGE]),
    faults("memory.thread_stack_non_canonical", &[STACK, PROTECTION]),
    refused("memory.writable_and_executable"),
    refused("memory.ranges"),
    refused("memory.other_process"),
    refused("memory.fresh_is_zero"),
    refused("memory.object_sizes"),
    refused("memory.object_protections"),
    faults("memory.object_write_read_only", &[PAGE]),
    refused("memory.object_pieces"),
    refused("memory.object_shared"),
    // A device that was lent, used otherwise than it was.
    refused("device.config"),
    refused("device.rights"),
    refused("device.maps"),
    refused("device.memory"),
    refused("device.memory_bomb"),
    refused("device.interrupts"),
    faults("device.execute", &[PAGE]),
    faults("device.revoked", &[PAGE]),
    faults("device.unmapped", &[PAGE]),
    // Instructions of ring 0, and those that raise exceptions of every kind.
    protected("instruction.hlt"),
    protected("instruction.cli"),
    protected("instruction.sti"),
    protected("instruction.in"),
    protected("instruction.out"),
    protected("instruction.rdmsr"),
    protected("instruction.wrmsr"),
    protected("instruction.read_cr0"),
    protected("instruction.write_cr0"),
    protected("instruction.write_cr3"),
    protected("instruction.write_cr4"),
    protected("instruction.write_cr8"),
    protected("instruction.write_dr7"),
    protected("instruction.lgdt"),
    protected("instruction.lidt"),
    protected("instruction.lldt"),
    protected("instruction.ltr"),
    protected("instruction.clts"),
    protected("instruction.lmsw"),
    protected("instruction.invlpg"),
    protected("instruction.invd"),
    protected("instruction.wbinvd"),
    protected("instruction.swapgs"),
    protected("instruction.sysret"),
    faults("instruction.xsetbv", &[INVALID, PROTECTION]),
    faults("instruction.sysenter", &[INVALID, PROTECTION]),
    faults("instruction.sysexit", &[INVALID, PROTECTION]),
    faults("instruction.stac", &[INVALID, PROTECTION]),
    faults("instruction.ud2", &[INVALID]),
    faults("instruction.divide_by_zero", &[DIVIDE]),
    faults("instruction.int3", &[BREAKPOINT, PROTECTION]),
    faults("instruction.icebp", &[DEBUG, INVALID]),
    faults("instruction.int_2", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_8", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_14", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_18", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_32", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_128", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.int_255", &[PROTECTION, NOT_PRESENT]),
    faults("instruction.iret_to_ring_0", &[PROTECTION, PAGE]),
    faults("instruction.far_return_to_ring_0", &[PROTECTION, PAGE]),
    protected("instruction.load_kernel_segment"),
    faults("instruction.x87_unmasked", &[X87]),
    // QEMU's TCG raises neither of these two.
    Attack { name: "instruction.simd_unmasked", expected: Expected::FaultOrNothing(&[SIMD]) },
    Attack { name: "instruction.bad_mxcsr", expected: Expected::FaultOrNothing(&[PROTECTION]) },
    // Registers and flags at the system call.
    refused("register.none_leak"),
    refused("register.survive_preemption"),
    refused("register.flag_direction"),
    refused("register.flag_nested_task"),
    refused("register.flag_alignment"),
    faults("register.flag_trap", &[DEBUG]),
    faults("register.flag_trap_after_mov_ss", &[DEBUG]),
    refused("register.wild_stack_pointer"),
    refused("register.forged_bases"),
    refused("register.forged_selectors"),
    faults("register.syscall_at_the_edge", &[PAGE]),
    refused("register.unknown_calls"),
    // Arguments.
    refused("pointer.every_call"),
    refused("pointer.crossing_pages"),
    refused("pointer.huge_lengths"),
    refused("pointer.spawn_args"),
    refused("pointer.thread_spawn"),
    refused("handle.forged"),
    refused("handle.stale"),
    refused("handle.wrong_kind"),
    refused("handle.missing_rights"),
    refused("handle.foreign_process"),
    // Messages.
    refused("message.reply_without_caller"),
    refused("message.reply_to_dead_caller"),
    refused("message.receiver_dies"),
    refused("message.receiver_is_killed"),
    refused("message.receiver_moves_on"),
    refused("message.waiting_caller_is_killed"),
    refused("message.bad_info"),
    refused("message.bad_capabilities"),
    refused("message.full_receiver"),
    refused("message.forged_sender"),
    refused("message.kill_storm"),
    refused("message.words_only"),
    // Capabilities: guessed, widened, taken; and those that others hold.
    refused("capability.guess_every_slot"),
    refused("capability.guess_every_generation"),
    refused("capability.guess_at_random"),
    refused("capability.list"),
    refused("capability.escalate"),
    refused("capability.without_transfer"),
    refused("capability.foreign"),
    // Used after a revoke,
    refused("revoke.every_call"),
    refused("revoke.subtree"),
    refused("revoke.random_trees"),
    refused("revoke.waiting_receiver"),
    refused("revoke.waiting_sender"),
    refused("revoke.waiting_caller"),
    refused("revoke.waiting_notification"),
    refused("revoke.waiting_for_ends"),
    refused("revoke.other_processes"),
    refused("revoke.sent_on"),
    faults("revoke.memory_read", &[PAGE]),
    faults("revoke.memory_write", &[PAGE]),
    faults("revoke.memory_of_heir", &[PAGE]),
    refused("revoke.memory_by_the_kernel"),
    refused("revoke.memory_otherwise"),
    refused("revoke.memory_addresses"),
    refused("revoke.memory_elsewhere"),
    // and while it is revoked.
    refused("race.derive"),
    refused("race.drop"),
    refused("race.revoke_both"),
    refused("race.signal"),
    refused("race.call"),
    refused("race.callers"),
    refused("race.receive"),
    refused("race.grant"),
    refused("race.map"),
    refused("race.exit"),
    // Who one is, and whose authority one acts with.
    refused("sender.every_field"),
    refused("sender.capabilities"),
    refused("sender.reply"),
    refused("sender.notification"),
    refused("sender.lent_capability"),
    refused("sender.numbers_used_again"),
    refused("deputy.confused"),
    refused("deputy.accounts"),
    // What a parent gives its children.
    refused("limit.handles"),
    refused("limit.threads"),
    refused("limit.frames"),
    refused("limit.objects"),
    refused("limit.messages"),
    refused("limit.flooded"),
    refused("limit.chain"),
    refused("limit.children"),
    // Exhaustion.
    refused("bomb.threads"),
    refused("bomb.processes"),
    refused("bomb.bombs"),
    refused("bomb.memory"),
    refused("bomb.objects"),
    refused("bomb.handles"),
    refused("bomb.endpoints"),
    refused("bomb.notifications"),
    // Things that do not end.
    killed("endless.loop"),
    killed("endless.loops_everywhere"),
    killed("endless.sleep"),
    killed("endless.receive"),
    killed("endless.call_to_itself"),
    killed("endless.system_calls"),
    // The block service. These need a disk.
    refused("disk.bad_calls"),
    refused("disk.bad_opens"),
    refused("disk.sessions"),
    refused("disk.read_only"),
    refused("disk.forged_requests"),
    refused("disk.forged_rings"),
    refused("disk.opened_twice"),
    refused("disk.unmapped_in_flight"),
    refused("disk.left_in_flight"),
    refused("disk.killed_in_flight"),
    refused("disk.revoked"),
    // The network service. These need the network,
    refused("net.bad_calls"),
    refused("net.bad_opens"),
    refused("net.sockets"),
    refused("net.listeners"),
    refused("net.forged_rings"),
    refused("net.forged_datagrams"),
    refused("net.opened_twice"),
    refused("net.used_after_close"),
    refused("net.left_waiting"),
    refused("net.killed"),
    refused("net.revoked"),
    // and these a peer.
    refused("net.peer_corrupt"),
    refused("net.peer_forged_rings"),
    refused("net.peer_closed_midway"),
    refused("net.peer_slow_reader"),
    refused("net.peer_killed"),
    refused("net.peer_revoked"),
    // Floating point and vector state.
    refused("fpu.fresh_process"),
    refused("fpu.fresh_thread"),
    refused("fpu.threads_apart"),
    refused("fpu.processes_apart"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_has_a_group_and_a_name_of_its_own() {
        for (place, attack) in ATTACKS.iter().enumerate() {
            let (group, name) = attack.name.split_once('.').unwrap();
            assert!(!group.is_empty() && !name.is_empty(), "{}", attack.name);
            assert!(
                ATTACKS[..place].iter().all(|other| other.name != attack.name),
                "{}",
                attack.name
            );
        }
    }
}
