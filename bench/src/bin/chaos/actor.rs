//! An actor: a few threads that do random things to one pool of capabilities, until the process
//! ends itself, is killed or faults. Errors are part of the play; what must not happen is a hang of
//! anybody else.

use crate::chance::Chance;
use crate::{IMAGE, LIFE_MS, MS, THING};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::mem::ManuallyDrop;

use bench::abi::message::{Info, Message};
use bench::abi::start::Limits;
use bench::abi::{ANY_CORE, Handle, Held, PAGE, Protection, Rights, Takes};
use bench::block_ring::Words;
use bench::runtime::capability::{Image, Memory};
use bench::runtime::memory::{Mapping, SharedMapping, unmap};
use bench::runtime::process::Command;
use bench::runtime::{Env, ExitCode, calls, thread};
use spin::Mutex;

/// Capabilities an actor holds on to.
const POOL: usize = 64;
/// Things a thread does before it ends by itself.
const ACTS: u64 = 200;

/// What the threads of an actor share.
#[derive(Debug)]
struct Shared {
    image: Option<Image>,
    pool: Mutex<Vec<Handle>>,
}

/// Plays until `life=` milliseconds have passed.
pub fn run(seed: u64, env: &mut Env) -> ExitCode {
    let mut chance = Chance::new(seed);
    let life = env.value("life").and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let Ok((now, _)) = calls::clock() else { return ExitCode::FAILURE };
    let end = now.saturating_add(life * MS);
    let things = env.handles().filter(|entry| entry.tag == THING).map(|entry| entry.handle());
    let pool = Mutex::new(things.collect());
    let image = env.take(IMAGE).map(Image::from_handle);
    let shared = Arc::new(Shared { image, pool });
    // New threads come, since old ones block for ever in what nobody answers.
    while calls::clock().is_ok_and(|(now, _)| now < end) {
        let (shared, seed) = (shared.clone(), chance.word());
        let core =
            if chance.one_in(2) { ANY_CORE } else { chance.below(u64::from(env.cores)) as u32 };
        let _ = thread::spawn(core, move || play(&shared, Chance::new(seed)));
        let pause = chance.below(4 * MS);
        let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(end.min(now + pause)));
    }
    calls::process_exit(0)
}

fn play(shared: &Shared, mut chance: Chance) {
    for _ in 0..ACTS {
        act(shared, &mut chance);
    }
}

fn soon(chance: &mut Chance) -> u64 {
    calls::clock().map_or(0, |(now, _)| now) + chance.below(MS)
}

fn act(shared: &Shared, chance: &mut Chance) {
    let one = pick(shared, chance);
    match chance.below(42) {
        0 => keep(shared, calls::endpoint_create().ok()),
        1 => keep(shared, calls::notification_create().ok()),
        2..=4 => {
            let rights = Rights::from_bits_truncate(chance.word() as u32);
            keep(shared, calls::duplicate(one, rights | Rights::DUPLICATE | Rights::TRANSFER).ok());
        }
        5 => drop_one(shared, chance),
        6..=10 => {
            let message = message(shared, chance);
            if let Ok(reply) = calls::call(one, &message) {
                keep_all(shared, &reply);
            }
        }
        11 | 12 => {
            let message = message(shared, chance);
            let _ = calls::send(one, &message);
        }
        13..=15 => {
            if let Ok((_, message)) = calls::receive(one) {
                keep_all(shared, &message);
            }
        }
        16..=19 => {
            let message = message(shared, chance);
            if let Ok((_, next)) = calls::reply_receive(one, &message) {
                keep_all(shared, &next);
            }
        }
        20 => {
            let message = message(shared, chance);
            let _ = calls::reply(&message);
        }
        21 | 22 => {
            let _ = calls::notification_signal(one, chance.word());
        }
        23 => {
            let until = soon(chance);
            let _ = calls::notification_wait(one, until);
        }
        24 => child(shared, chance),
        25 => {
            let until = soon(chance);
            let _ = if chance.one_in(2) {
                calls::process_wait(one, until).map(|_| ())
            } else {
                calls::process_kill(one)
            };
        }
        26 => {
            let other = pick(shared, chance);
            let _ = calls::transfer(one, other);
        }
        27 => {
            if let Ok(mut memory) = Mapping::new(PAGE * (1 + chance.below(40) as usize)) {
                memory.bytes().iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
            }
        }
        28 => {
            let until = soon(chance);
            let _ = calls::sleep_until(until);
        }
        29 => {
            let _ = calls::yield_now();
        }
        30 => end(chance),
        31 => keep(shared, calls::memory_create(PAGE as u64 * chance.below(20)).ok()),
        32..=34 => attach_one(one, chance),
        35..=37 => {
            let _ = calls::revoke(one);
        }
        38 => {
            let mut some = [[0; Held::BYTES]; 8];
            let from = chance.below(64) as usize;
            let count = calls::list(&mut some, from).unwrap_or(0);
            // What another thread, or another process, has put there.
            if let Some(held) = some[..count].last().and_then(Held::from_bytes) {
                keep(shared, calls::duplicate(held.handle, held.rights).ok());
            }
        }
        39 => keep(shared, calls::endpoint_create_taking(Takes::Words).ok()),
        _ => {
            let until = soon(chance);
            let _ = calls::thread_join(one, until);
        }
    }
}

/// Maps some pages of a memory object, writes to them, and lets go of some or all.
fn attach_one(one: Handle, chance: &mut Chance) {
    let object = ManuallyDrop::new(Memory::from_handle(one));
    let (first, pages) = (chance.below(4) as usize * PAGE, 1 + chance.below(6) as usize);
    let writes = Protection::WRITE;
    let Ok(mapping) = SharedMapping::new(&object, first, pages * PAGE, writes) else { return };
    for page in 0..pages {
        mapping.store(page * PAGE / 8, chance.word());
    }
    if chance.one_in(2) {
        // A hole, which the rest of the mapping's drop then finds.
        let hole = mapping.base().wrapping_add(chance.below(pages as u64) as usize * PAGE);
        // SAFETY: the mapping is not used again but to be dropped, which an error does not hurt.
        let _ = unsafe { unmap(hole, PAGE) };
    }
}

/// Now and then, an end in the middle of everything.
fn end(chance: &mut Chance) {
    match chance.below(60) {
        0 => calls::process_exit(1),
        1 => calls::thread_exit(2),
        // Into the guard below the stack: a fault.
        2 => _ = fall(0),
        _ => {}
    }
}

fn fall(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { fall(depth + 1) + black_box(depth) }
}

fn pick(shared: &Shared, chance: &mut Chance) -> Handle {
    let pool = shared.pool.lock();
    chance.place(pool.len()).map_or(Handle::NONE, |place| pool[place])
}

fn keep(shared: &Shared, handle: Option<Handle>) {
    let Some(handle) = handle.filter(|handle| *handle != Handle::NONE) else { return };
    let mut pool = shared.pool.lock();
    if pool.len() < POOL {
        pool.push(handle);
    } else {
        drop(pool);
        let _ = calls::drop_capability(handle);
    }
}

fn keep_all(shared: &Shared, message: &Message) {
    for handle in &message.capabilities[..message.info.capabilities().min(4)] {
        keep(shared, Some(*handle));
    }
}

fn drop_one(shared: &Shared, chance: &mut Chance) {
    let mut pool = shared.pool.lock();
    if let Some(place) = chance.place(pool.len()) {
        let handle = pool.swap_remove(place);
        drop(pool);
        let _ = calls::drop_capability(handle);
    }
}

/// A message, often with capabilities, some of which are not there any more or named twice.
fn message(shared: &Shared, chance: &mut Chance) -> Message {
    let count = if chance.one_in(2) { chance.below(5) as u8 } else { 0 };
    let mut message = Message::new(0, [chance.word(); 6]);
    message.info = Info::new(chance.word() as u32, count);
    for slot in &mut message.capabilities[..usize::from(count)] {
        *slot = pick(shared, chance);
    }
    message
}

/// A child with some of what this one has, which lives on its own.
fn child(shared: &Shared, chance: &mut Chance) {
    // Else there would soon be nothing but children.
    if !chance.one_in(4) {
        return;
    }
    let Some(image) = &shared.image else { return };
    let seed = format!("seed={}", chance.word());
    let life = format!("life={}", chance.below(LIFE_MS / 4));
    // Zero is a share of what is left; more than that is left may be asked for as well.
    let limits = Limits {
        frames: chance.below(2) * chance.below(600),
        threads: chance.below(12) as u32,
        handles: chance.below(40) as u32,
        messages: chance.below(4) as u32,
        reserved: 0,
    };
    let mut command =
        Command::new(image, "chaos").arg("actor").arg(&seed).arg(&life).limits(limits);
    for _ in 0..chance.below(4) {
        // Moved, whoever else uses it.
        command = command.give(THING, pick(shared, chance));
    }
    keep(shared, command.spawn().ok().map(|process| process.into_handle()));
}
