//! Memory objects mapped in ways they must not be, shared, and taken away.

use core::ptr::{read_volatile, write_volatile};

use alloc::vec::Vec;

use bench::abi::{Error, MEMORY_MAX, PAGE, Protection, Rights, Syscall};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::block_ring::Words;
use bench::runtime::Env;
use bench::runtime::capability::{Image, Memory};
use bench::runtime::memory::{Mapping, SharedMapping, attach, protect, unmap};
use bench::runtime::process::Command;

use crate::checks::Checks;
use crate::raw::call;

const READ: Protection = Protection::READ;
const WRITE: Protection = Protection::WRITE;
const NO_MORE: &[Error] = &[Error::LimitReached, Error::OutOfMemory];
const SECRET: u64 = 0x0b1e_c7ed_0b1e_c7ed;

/// Lengths that no object has, and what is beyond one.
pub fn wrong_sizes() -> Checks {
    let mut checks = Checks::new();
    let bad = &[Error::InvalidArgument];
    for len in [0, 1, PAGE - 1, PAGE + 1, MEMORY_MAX + PAGE, 1 << 40, usize::MAX & !(PAGE - 1)] {
        checks.refused(("create", len), Memory::create(len), bad);
    }
    let Some(object) = checks.works("create", Memory::create(4 * PAGE)) else { return checks };
    checks.holds("size", object.size() == Ok(4 * PAGE as u64));
    let top = usize::MAX & !(PAGE - 1);
    for (offset, len) in [
        (0, 0),
        (0, 5 * PAGE),
        (4 * PAGE, PAGE),
        (3 * PAGE, 2 * PAGE),
        (1, PAGE),
        (0, 1),
        (PAGE, PAGE / 2),
        (top, PAGE),
        (PAGE, top),
        (top, top),
    ] {
        let mapped = attach(&object, 0, offset, len, WRITE);
        checks.refused(("attach", offset, len), mapped, bad);
    }
    let wrong = &[Error::InvalidArgument, Error::BadAddress];
    for address in [1, 0x1000, 0x7fff_ffff_f000, 0x8000_0000_0000, 0xffff_8000_0000_0000] {
        checks.refused(("at", address), attach(&object, address, 0, PAGE, WRITE), wrong);
    }
    checks
}

/// What a capability does not allow, or nothing ever does.
pub fn wrong_protections() -> Checks {
    let mut checks = Checks::new();
    let refusal = &[Error::NotPermitted, Error::InvalidArgument];
    let Some(object) = checks.works("create", Memory::create(2 * PAGE)) else { return checks };
    let execute = Protection::EXECUTE;
    for protection in [execute, execute | READ, execute | WRITE, Protection::empty()] {
        let mapped = attach(&object, 0, 0, PAGE, protection);
        checks.refused(("attach", protection), mapped, refusal);
    }
    let number = Syscall::MemoryProtect as u64;
    let mut refuse_protect = |base: u64, protection: Protection| {
        let changed = call(number, &[base, PAGE as u64, u64::from(protection.bits())]);
        checks.refused(("protect", protection), changed, refusal);
    };
    if let Ok(mapping) = SharedMapping::new(&object, 0, PAGE, WRITE) {
        refuse_protect(mapping.base() as u64, execute);
        refuse_protect(mapping.base() as u64, execute | WRITE);
    }
    let reader = object.duplicate(Rights::RECEIVE);
    let Some(reader) = checks.works("read only", reader) else { return checks };
    checks.refused("write", attach(&reader, 0, 0, PAGE, WRITE), refusal);
    if let Some(mapping) = checks.works("read", SharedMapping::new(&reader, 0, PAGE, READ)) {
        let base = mapping.base() as u64;
        let raised = call(number, &[base, PAGE as u64, u64::from(WRITE.bits())]);
        checks.refused("raise", raised, refusal);
        checks.holds("it reads", mapping.load(0) == 0);
    }
    let blind = object.duplicate(Rights::SEND);
    if let Some(blind) = checks.works("write only", blind) {
        checks.refused("read", attach(&blind, 0, 0, PAGE, READ), refusal);
        checks.refused("size", blind.size(), refusal);
    }
    checks
}

/// A page that may only be read, written to: faults.
pub fn write_read_only() -> Option<()> {
    let object = Memory::create(PAGE).ok()?;
    let mapping = SharedMapping::new(&object, 0, PAGE, READ).ok()?;
    // SAFETY: deliberately none: the store must fault, which ends the process.
    unsafe { write_volatile(mapping.base(), 1) };
    Some(())
}

/// Two mappings are the same pages; cut up, taken away and replaced, each page stays what it is.
pub fn pieces() -> Checks {
    let mut checks = Checks::new();
    let object = checks.works("create", Memory::create(16 * PAGE));
    let Some(object) = object else { return checks };
    let all = checks.works("map", SharedMapping::new(&object, 0, 16 * PAGE, WRITE));
    let Some(all) = all else { return checks };
    let word = |page: usize| page * PAGE / 8;
    for page in 0..16 {
        all.store(word(page), page as u64 + 1);
    }
    let again = checks.works("map again", attach(&object, 0, 0, 16 * PAGE, WRITE));
    let Some(again) = again else { return checks };
    let at = |page: usize| again.wrapping_add(page * PAGE);
    for page in [3, 4, 9, 15, 0] {
        // SAFETY: nothing refers to the second mapping but the volatile reads below.
        checks.works(("unmap", page), unsafe { unmap(at(page), PAGE) });
    }
    // Something else comes into the holes: fresh memory, and another page of the object.
    let fresh = call(Syscall::MemoryMap as u64, &[at(3) as u64, PAGE as u64, 2]);
    checks.works("fresh memory in a hole", fresh);
    checks.works("a page in a hole", attach(&object, at(9) as u64, 7 * PAGE, PAGE, READ));
    let taken = attach(&object, at(5) as u64, 0, PAGE, READ);
    checks.refused("over another", taken, &[Error::RangeConflict]);
    for (page, holds) in [(1, 2), (2, 3), (3, 0), (5, 6), (8, 9), (9, 8), (14, 15)] {
        // SAFETY: mapped, and nobody changes the mapping.
        let found = unsafe { read_volatile(at(page).cast::<u64>()) };
        checks.holds((page, found), found == holds);
    }
    // The handle is only needed to map.
    drop(object);
    // SAFETY: as above.
    checks.works("protect", unsafe { protect(at(1), 2 * PAGE, READ) });
    all.store(word(1), 77);
    // SAFETY: mapped for reading.
    checks.holds("still shared", unsafe { read_volatile(at(1).cast::<u64>()) } == 77);
    checks
}

/// Pages outlive their maker for whoever maps them, and come fresh to the next.
pub fn shared(env: &mut Env) -> Checks {
    let mut checks = Checks::new();
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return checks };
    let object = checks.works("create", Memory::create(8 * PAGE));
    let Some(object) = object else { return checks };
    let mapping = checks.works("map", SharedMapping::new(&object, 0, 8 * PAGE, WRITE));
    let Some(mapping) = mapping else { return checks };
    let Some(other) = checks.works("duplicate", object.duplicate(Rights::all())) else {
        return checks;
    };
    drop(object);
    let child = Command::new(&image, "attack").arg("memory.object_writer").give(ACCOMPLICE, other);
    let ended = child.spawn().and_then(|child| child.wait());
    checks.holds(ended, ended == Ok(bench::abi::ExitStatus::Exited(0)));
    checks.holds("the other wrote", mapping.load(0) == SECRET);
    drop(mapping);
    for _ in 0..16 {
        if let Some(fresh) = checks.works("create", Memory::create(8 * PAGE)) {
            let mapping = checks.works("map", SharedMapping::new(&fresh, 0, 8 * PAGE, WRITE));
            let Some(mapping) = mapping else { break };
            let zero = (0..8 * PAGE / 8).all(|word| mapping.load(word) == 0);
            checks.holds("fresh memory is zero", zero);
            (0..8 * PAGE / 8).for_each(|word| mapping.store(word, SECRET));
        }
    }
    checks
}

/// The accomplice of [`shared`].
pub fn writer(env: &mut Env) -> Checks {
    let mut checks = Checks::new();
    let object = env.take(ACCOMPLICE).map(Memory::from_handle);
    if let Some(object) = object
        && let Some(mapping) = checks.works("map", SharedMapping::new(&object, 0, PAGE, WRITE))
    {
        mapping.store(0, SECRET);
    }
    checks
}

/// As many objects as there are, then as many mappings of one as there are.
pub fn bomb() -> Checks {
    let mut checks = Checks::new();
    for pages in [MEMORY_MAX / PAGE, 64, 1] {
        let mut all = Vec::new();
        let refusal = loop {
            match Memory::create(pages * PAGE) {
                Ok(object) => all.push(object),
                Err(error) => break Err::<(), _>(error),
            }
        };
        bench::println!("refused after {} (objects of {pages} pages)", all.len());
        checks.refused((pages, all.len()), refusal, NO_MORE);
        // Unless all of the process's share is in the objects.
        let other = Mapping::new(PAGE).map(drop);
        checks.holds(("other memory", other), matches!(other, Ok(()) | Err(Error::OutOfMemory)));
    }
    let Some(object) = checks.works("create", Memory::create(2 * PAGE)) else { return checks };
    let mut all = Vec::new();
    let refusal = loop {
        match SharedMapping::new(&object, 0, PAGE, WRITE) {
            Ok(mapping) => all.push(mapping),
            Err(error) => break Err::<(), _>(error),
        }
    };
    bench::println!("refused after {} (mappings of one page)", all.len());
    checks.refused(("mapping", all.len()), refusal, NO_MORE);
    if let (Some(first), Some(last)) = (all.first(), all.last()) {
        first.store(0, 5);
        checks.holds("all are the same page", last.load(0) == 5);
    }
    drop(all);
    checks.works("map again", SharedMapping::new(&object, 0, 2 * PAGE, WRITE));
    checks
}
