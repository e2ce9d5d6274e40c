//! Memory that was mapped through a capability that is revoked: nobody reaches it any more, nothing
//! else comes to lie at its addresses unasked, and what was mapped otherwise stays.

use core::ptr::{read_volatile, write_volatile};

use bench::abi::{Error, ExitStatus, PAGE, Protection, Rights, Syscall};
use bench::block_ring::Words;
use bench::runtime::capability::{Endpoint, Memory};
use bench::runtime::memory::{SharedMapping, attach, map};
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::messages::{EMPTY, accomplice, carrying, start};
use crate::raw::call;

const WRITE: Protection = Protection::WRITE;
const READ: Protection = Protection::READ;
const PAGES: usize = 4;

/// Makes one of them. Those that have to fault come back only if they do not.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "memory_read" => touch(|at| {
            // SAFETY: deliberately none: the load must fault, which ends the process.
            let _ = unsafe { read_volatile(at) };
        })?,
        "memory_write" => touch(|at| {
            // SAFETY: deliberately none: the store must fault, which ends the process.
            unsafe { write_volatile(at, 1) };
        })?,
        "memory_of_heir" => of_heir()?,
        "memory_by_the_kernel" => by_the_kernel(&mut checks),
        "memory_otherwise" => otherwise(&mut checks),
        "memory_addresses" => addresses(&mut checks),
        "memory_elsewhere" => elsewhere(&mut checks, env),
        // Accomplices.
        "toucher" => accomplice(&mut checks, env, toucher),
        _ => return None,
    }
    Some(checks)
}

/// Maps what comes of a capability that is revoked, then touches it.
fn touch(touch: impl FnOnce(*mut u8)) -> Option<()> {
    let root = Memory::create(PAGES * PAGE).ok()?;
    let derived = root.duplicate(Rights::all()).ok()?;
    let at = attach(&derived, 0, 0, PAGES * PAGE, WRITE).ok()?;
    // SAFETY: mapped, and reached by nothing else.
    unsafe { write_volatile(at, 7) };
    root.revoke().ok()?;
    touch(at.wrapping_add(PAGE));
    Some(())
}

/// Mapped through a capability that was given up before what it came from was revoked: a load
/// faults.
fn of_heir() -> Option<()> {
    let root = Memory::create(PAGES * PAGE).ok()?;
    let middle = root.duplicate(Rights::all()).ok()?;
    let leaf = middle.duplicate(Rights::all()).ok()?;
    let at = attach(&leaf, 0, 0, PAGE, READ).ok()?;
    drop(middle);
    drop(leaf);
    // It is the root's now, and goes with what the root gave.
    // SAFETY: mapped.
    let _ = unsafe { read_volatile(at) };
    root.revoke().ok()?;
    // SAFETY: deliberately none: the load must fault, which ends the process.
    let _ = unsafe { read_volatile(at) };
    Some(())
}

/// The kernel does not write there for a program either.
fn by_the_kernel(checks: &mut Checks) {
    let Some(root) = checks.works("create", Memory::create(PAGES * PAGE)) else { return };
    let Some(derived) = checks.works("derive", root.duplicate(Rights::all())) else { return };
    let at = checks.works("map", attach(&derived, 0, 0, PAGES * PAGE, WRITE));
    let Some(at) = at else { return };
    let fill = |at: *mut u8| call(Syscall::Random as u64, &[at as u64, 64]);
    checks.works("before", fill(at));
    checks.works("revoke", root.revoke());
    for page in 0..PAGES {
        checks.refused("after", fill(at.wrapping_add(page * PAGE)), &[Error::BadAddress]);
    }
    let listed = call(Syscall::CapabilityList as u64, &[at as u64, 4, 0]);
    checks.refused("a list", listed, &[Error::BadAddress]);
    let protect = [at as u64, PAGE as u64, READ.bits().into()];
    let changed = call(Syscall::MemoryProtect as u64, &protect);
    let again = fill(at);
    // Whatever that says, nothing comes back by it.
    checks.refused(("protect", changed), again, &[Error::BadAddress]);
}

/// Two mappings of the same pages by two ways: one goes, the other stays.
fn otherwise(checks: &mut Checks) {
    let Some(root) = checks.works("create", Memory::create(PAGES * PAGE)) else { return };
    let Some(one) = checks.works("derive", root.duplicate(Rights::all())) else { return };
    let Some(other) = checks.works("derive", root.duplicate(Rights::all())) else { return };
    let own = checks.works("map", SharedMapping::new(&root, 0, PAGES * PAGE, WRITE));
    let through = checks.works("map", SharedMapping::new(&other, 0, PAGES * PAGE, WRITE));
    let (Some(own), Some(through)) = (own, through) else { return };
    let below = one.duplicate(Rights::all());
    let Some(below) = checks.works("derive", below) else { return };
    let lost = checks.works("map", SharedMapping::new(&below, 0, PAGES * PAGE, WRITE));
    own.store(0, 5);
    checks.works("revoke", one.revoke());
    checks.holds("beside", through.load(0) == 5);
    through.store(1, 6);
    checks.holds("above", own.load(1) == 6);
    checks.refused("map", attach(&below, 0, 0, PAGE, READ), &[Error::BadHandle]);
    checks.works("map", attach(&one, 0, 0, PAGE, READ));
    drop(lost);
    checks.holds("still", own.load(0) == 5);
}

/// The addresses are not given to anybody else before they are unmapped: else what comes to lie
/// there would be written to by who still thinks of what was.
fn addresses(checks: &mut Checks) {
    let Some(root) = checks.works("create", Memory::create(PAGES * PAGE)) else { return };
    let Some(derived) = checks.works("derive", root.duplicate(Rights::all())) else { return };
    let len = PAGES * PAGE;
    let Some(at) = checks.works("map", attach(&derived, 0, 0, len, WRITE)) else { return };
    checks.works("revoke", root.revoke());
    let taken = &[Error::RangeConflict];
    for page in 0..PAGES {
        let here = at as u64 + (page * PAGE) as u64;
        checks.refused(("map over", page), map(here, PAGE, WRITE), taken);
        checks.refused(("map over", page), attach(&root, here, 0, PAGE, READ), taken);
    }
    let range = at as u64..at as u64 + len as u64;
    for _ in 0..64 {
        let Some(other) = checks.works("map", map(0, PAGE, WRITE)) else { return };
        checks.holds(("elsewhere", other), !range.contains(&(other as u64)));
    }
    let unmap = |at: u64, len: usize| call(Syscall::MemoryUnmap as u64, &[at, len as u64]);
    checks.works("unmap a page", unmap(at as u64 + PAGE as u64, PAGE));
    checks.works("map there", map(at as u64 + PAGE as u64, PAGE, WRITE));
    checks.works("unmap all", unmap(at as u64, len));
    checks.refused("unmap twice", unmap(at as u64, len), taken);
    checks.works("map there", attach(&root, at as u64, 0, len, WRITE));
}

/// Others that map it and touch it all the time, on other cores: they fault, once it is revoked, and
/// no store of theirs comes after.
fn elsewhere(checks: &mut Checks, env: &Env) {
    let Some(all) = checks.works("create", Memory::create(PAGE)) else { return };
    // What is mapped through the one that is revoked would go with the rest.
    let mine = checks.works("map", SharedMapping::new(&all, 0, PAGE, WRITE));
    let Some(root) = checks.works("derive", all.duplicate(Rights::all())) else { return };
    let (Some(mine), Some(meeting)) = (mine, checks.works("meeting", Endpoint::create())) else {
        return;
    };
    for round in 0..8 {
        let child = start(env, "revoke.toucher", &meeting);
        let Some(child) = checks.works("start", child) else { return };
        let Some(_) = checks.works("hello", meeting.receive()) else { return };
        let gift = root.duplicate(Rights::SEND | Rights::RECEIVE | Rights::TRANSFER);
        let Some(gift) = checks.works("derive", gift) else { return };
        checks.works("give", calls::reply(&carrying(&[gift.into_handle()])));
        // Until it is at it.
        let before = mine.load(0);
        let mut looks = 0;
        while mine.load(0) == before && looks < 2_000 {
            let later = calls::clock().and_then(|(now, _)| calls::sleep_until(now + 1_000_000));
            checks.works("sleep", later);
            looks += 1;
        }
        checks.works("revoke", root.revoke());
        let last = mine.load(0);
        checks.holds((round, "it wrote"), last != before);
        let ended = child.wait();
        checks.holds((round, ended), ended == Ok(ExitStatus::Faulted(14)));
        let now = mine.load(0);
        checks.holds((round, last, now), last == now);
    }
}

/// The accomplice of [`elsewhere`]: asks for memory and counts up in it.
fn toucher(meeting: &Endpoint) -> Result<(), Error> {
    let given = meeting.call(&EMPTY)?;
    let memory = Memory::from_handle(given.capabilities[0]);
    let mapping = SharedMapping::new(&memory, 0, PAGE, WRITE)?;
    loop {
        mapping.store(0, mapping.load(0) + 1);
    }
}
