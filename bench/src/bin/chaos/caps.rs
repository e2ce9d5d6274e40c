//! `chaos caps seed=N ops=M`: nothing but changes of authority, on all cores at full speed.
//!
//! ```text
//!   conductor ── two actors a core, each with the right to push capabilities into the others ──▶
//!   actor ── two threads: list, then create, derive, drop, push, revoke, map, start a child … ──▶ ends
//! ```
//!
//! What an actor knows of its capabilities it reads from the kernel, since others push into its
//! table and take out of it all the time. The kernel's log of all that can be replayed afterwards
//! (`commits verify`), and has to lead to the state the kernel is in.

use crate::chance::Chance;
use crate::{IMAGE, MS, THING};
use alloc::format;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use bench::abi::start::Limits;
use bench::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle, Held, ObjectKind, PAGE};
use bench::abi::{Protection, Rights, Takes};
use bench::println;
use bench::runtime::capability::{Image, Memory, Notification, Process, held};
use bench::runtime::memory::{attach, unmap};
use bench::runtime::process::Command;
use bench::runtime::{Env, ExitCode, calls, thread};

/// Operations, if `ops=` does not say.
pub const OPERATIONS: u64 = 20_000;
/// Actors on each core.
const ACTORS: u64 = 2;
/// Threads of an actor.
const THREADS: u64 = 2;
/// Milliseconds they may take altogether.
const PATIENCE_MS: u64 = 300_000;
/// Operations between two looks at what is held.
const LOOK: u64 = 12;
/// More capabilities than this are given up rather than added to.
const PLENTY: usize = 40;
/// What an actor may use: its table is full now and then.
const LIMITS: Limits = Limits { frames: 600, threads: 8, handles: 64, messages: 8, reserved: 0 };
/// What a child of an actor may use.
const CHILD: Limits = Limits { frames: 200, threads: 2, handles: 12, messages: 1, reserved: 0 };

/// Starts the actors and waits for their end: whether all ended well and nothing was left.
pub fn conduct(env: &mut Env, seed: u64, operations: u64) -> Result<bool, Error> {
    let image = env.take_image("chaos").ok_or(Error::BadHandle)?;
    let cores = u64::from(env.cores);
    let root = Notification::create()?;
    let before = held()?.len();
    let each = operations.div_ceil(cores * ACTORS * THREADS);
    let mut cast: Vec<Process> = Vec::new();
    for number in 0..cores * ACTORS {
        let (seed, each) = (format!("seed={}", seed ^ (number + 1) << 20), format!("ops={each}"));
        let actor = Command::new(&image, "chaos")
            .arg("caps")
            .arg("actor")
            .arg(&seed)
            .arg(&each)
            .core((number % cores) as u32)
            .limits(LIMITS)
            .give(IMAGE, image.duplicate(Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER)?)
            .give(THING, root.duplicate(Rights::all())?);
        cast.push(actor.spawn()?);
    }
    for (one, other) in (0..cast.len()).flat_map(|one| (0..cast.len()).map(move |o| (one, o))) {
        let push = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
        let other = cast[other].duplicate(push)?.into_handle();
        // It may be full, or gone, already.
        if calls::transfer(cast[one].handle(), other).is_err() {
            calls::drop_capability(other)?;
        }
    }
    let end = calls::clock()?.0 + PATIENCE_MS * MS;
    let mut well = true;
    let mut revokes = 0_u64;
    for (number, actor) in cast.iter().enumerate() {
        // From above, while they are at it.
        while actor.wait_until(calls::clock()?.0 + 20 * MS) == Err(Error::TimedOut) {
            root.revoke()?;
            revokes += 1;
            if calls::clock()?.0 > end {
                println!("chaos caps seed {seed}: actor {number} does not end");
                return Ok(false);
            }
        }
        let ended = actor.wait()?;
        if ended != ExitStatus::Exited(0) {
            println!("chaos caps seed {seed}: actor {number}: {ended:?}");
            well = false;
        }
    }
    for actor in &cast {
        actor.revoke()?;
    }
    drop(cast);
    root.revoke()?;
    let after = held()?.len();
    if after != before {
        println!("chaos caps seed {seed}: {before} capabilities before, {after} after");
        well = false;
    }
    let done = each * cores * ACTORS * THREADS;
    println!("chaos caps seed {seed}: {done} operations on {cores} cores, {revokes} from above");
    Ok(well)
}

/// An actor: its threads do `ops=` operations each.
pub fn act(env: &Env, seed: u64, operations: u64) -> ExitCode {
    let image = env.handle(IMAGE).unwrap_or(Handle::NONE);
    let second = thread::spawn(ANY_CORE, move || play(image, Chance::new(!seed), operations));
    play(image, Chance::new(seed), operations);
    match second.and_then(thread::JoinHandle::join) {
        // A thread's own capability may have been given up, like any other: then it ends with the
        // process.
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn play(image: Handle, mut chance: Chance, operations: u64) {
    let mut pool: Vec<Held> = Vec::new();
    for number in 0..operations {
        if number % LOOK == 0 {
            pool = held().unwrap_or_default();
        }
        operation(&pool, image, &mut chance);
    }
}

fn pick(pool: &[Held], chance: &mut Chance) -> Handle {
    chance.place(pool.len()).map_or(Handle::NONE, |place| pool[place].handle)
}

fn pick_of(pool: &[Held], kind: ObjectKind, chance: &mut Chance) -> Handle {
    let count = pool.iter().filter(|held| held.kind == kind).count();
    let place = chance.below(count as u64) as usize;
    let found = pool.iter().filter(|held| held.kind == kind).nth(place);
    found.map_or(Handle::NONE, |held| held.handle)
}

/// One, whatever comes of it: errors are part of the play.
fn operation(pool: &[Held], image: Handle, chance: &mut Chance) {
    let one = pick(pool, chance);
    // The program's own image stays, or it would have no more children.
    let expendable = if one == image { Handle::NONE } else { one };
    let crowded = pool.len() > PLENTY;
    let _ = match chance.below(if crowded { 40 } else { 100 }) {
        0..=17 => calls::drop_capability(expendable),
        18..=27 => calls::revoke(one),
        28..=35 => {
            let to = pick_of(pool, ObjectKind::Process, chance);
            calls::transfer(to, expendable).map(|_| ())
        }
        36..=39 => map(pick_of(pool, ObjectKind::Memory, chance), chance),
        40..=42 => calls::notification_create().map(|_| ()),
        43 => calls::endpoint_create_taking(Takes::Words).map(|_| ()),
        44..=46 => calls::memory_create((1 + chance.below(6)) * PAGE as u64).map(|_| ()),
        47..=50 => child(pool, image, chance),
        _ => {
            let rights = Rights::from_bits_truncate(chance.word() as u32);
            calls::duplicate(one, rights | Rights::DUPLICATE | Rights::TRANSFER).map(|_| ())
        }
    };
}

/// Maps some of a memory object and lets go of it; nobody touches it, since that would fault if it
/// was revoked meanwhile.
fn map(memory: Handle, chance: &mut Chance) -> Result<(), Error> {
    let memory = ManuallyDrop::new(Memory::from_handle(memory));
    let len = (1 + chance.below(3) as usize) * PAGE;
    let at = attach(&memory, 0, 0, len, Protection::READ)?;
    if chance.one_in(8) {
        return Ok(());
    }
    // SAFETY: nothing refers to the mapping.
    unsafe { unmap(at, len) }
}

/// A child with some of what this one has; it does a few things and ends.
fn child(pool: &[Held], image: Handle, chance: &mut Chance) -> Result<(), Error> {
    if !chance.one_in(6) {
        return Ok(());
    }
    let image = ManuallyDrop::new(Image::from_handle(image));
    let seed = format!("seed={}", chance.word());
    let command = Command::new(&image, "chaos").arg("caps").arg("child").arg(&seed).limits(CHILD);
    let gift = calls::duplicate(pick(pool, chance), Rights::all());
    let command = match gift {
        Ok(gift) => command.give(THING, gift),
        Err(_) => command,
    };
    let child = command.spawn()?;
    // Else its capability is one more in the pool.
    if chance.one_in(2) {
        child.wait_until(FOREVER)?;
    } else {
        let _ = child.into_handle();
    }
    Ok(())
}
