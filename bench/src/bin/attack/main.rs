//! Does one wrong thing, or many of one kind: `attack NAME`. `bench::attacks` lists the names and
//! how each has to end; `attack_suite` runs them all.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod arguments;
mod bombs;
mod capabilities;
mod checks;
mod deputy;
mod device;
mod disk;
mod disk_flight;
mod disk_ring;
mod endless;
mod fpu;
mod handles;
mod instructions;
mod limits;
mod memory;
mod messages;
mod net;
mod net_flight;
mod net_opens;
mod net_peer;
mod net_ring;
mod objects;
mod race_processes;
mod races;
mod random;
mod ranges;
mod raw;
mod registers;
mod revoke;
mod revoke_memory;
mod revoke_waits;
mod revoked_sessions;
mod senders;
mod storm;
mod trees;

use bench::runtime::{Env, ExitCode};

bench::main!(main);

async fn main(mut env: Env) -> ExitCode {
    let name = env.args().get(1).copied().unwrap_or("");
    let Some((group, attack)) = name.split_once('.') else {
        return random::run(name, &mut env);
    };
    let outcome = match group {
        "memory" => memory::run(attack, &mut env),
        "instruction" => instructions::run(attack),
        "register" => registers::run(attack),
        "pointer" => arguments::run(attack, &mut env),
        "handle" => handles::run(attack, &mut env),
        "capability" => capabilities::run(attack, &mut env),
        "revoke" => revoke::run(attack, &mut env),
        "race" => races::run(attack, &mut env),
        "sender" => senders::run(attack, &mut env),
        "deputy" => deputy::run(attack, &mut env),
        "limit" => limits::run(attack, &mut env),
        "message" => messages::run(attack, &mut env),
        "bomb" => bombs::run(attack, &mut env),
        "device" => device::run(attack, &mut env),
        "disk" => disk::run(attack, &mut env),
        "net" => net::run(attack, &mut env),
        "endless" => endless::run(attack, &env),
        "fpu" => fpu::run(attack, &mut env),
        _ => None,
    };
    match outcome {
        None => {
            bench::println!("no attack is called {name:?}");
            ExitCode(2)
        }
        Some(checks) => checks.verdict(),
    }
}
