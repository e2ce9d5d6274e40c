//! Wrong ranges and protections for the memory calls.

use bench::abi::Error::{InvalidArgument, NotPermitted, OutOfMemory, RangeConflict};
use bench::abi::{Error, PAGE, Protection, Syscall, USER_END, USER_START};
use bench::runtime::memory::Mapping;

use crate::checks::Checks;
use crate::raw::call;

const BAD_RANGE: &[Error] =
    &[Error::BadAddress, InvalidArgument, OutOfMemory, RangeConflict, Error::LimitReached];

const WRITE: u64 = Protection::WRITE.bits() as u64;
const EXECUTE: u64 = Protection::EXECUTE.bits() as u64;

/// Memory that could be written and executed at once is refused, whichever way it is asked for.
pub fn writable_and_executable() -> Checks {
    let mut checks = Checks::new();
    let refusal = &[InvalidArgument, NotPermitted];
    let (map, protect) = (Syscall::MemoryMap as u64, Syscall::MemoryProtect as u64);
    for protection in [WRITE | EXECUTE, WRITE | EXECUTE | 1] {
        checks.refused("map W+X", call(map, &[0, PAGE as u64, protection]), refusal);
        if let Some(page) = checks.works("map", Mapping::new(PAGE)) {
            let arguments = [page.base() as u64, PAGE as u64, protection];
            checks.refused("protect W+X", call(protect, &arguments), refusal);
        }
    }
    // One after the other is how a program loads code.
    if let Some(page) = checks.works("map", Mapping::new(PAGE)) {
        let base = page.base() as u64;
        checks.works("write, then execute", call(protect, &[base, PAGE as u64, EXECUTE]));
    }
    checks
}

/// Ranges that are misaligned, empty, too long, wrapped, outside user space, or not mapped.
pub fn bad_ranges() -> Checks {
    let mut checks = Checks::new();
    let page = PAGE as u64;
    let half_of_all = 1 << 46;
    let ranges: &[(u64, u64)] = &[
        (0, 0),
        (0, 1),
        (0, page - 1),
        (0, page + 1),
        (0, u64::MAX),
        (0, u64::MAX - page + 1),
        (0, 1 << 63),
        (0, half_of_all),
        (1, page),
        (0x5000_0001, page),
        (0x5000_0800, page),
        (USER_START - page, page),
        (USER_START - page, 2 * page),
        (USER_END, page),
        (USER_END - page, 2 * page),
        (USER_END + page, page),
        (0x7fff_ffff_f000, page),
        (0x8000_0000_0000, page),
        (0xffff_8000_0000_0000, page),
        (0xffff_ffff_8000_0000, page),
        (u64::MAX - page + 1, page),
        (u64::MAX - page + 1, 2 * page),
        (0x5000_0000, u64::MAX - page + 1),
        (0x5000_0000, u64::MAX - 0x5000_0000 + 1),
    ];
    for (address, len) in ranges {
        for (name, number) in [
            ("map", Syscall::MemoryMap),
            ("unmap", Syscall::MemoryUnmap),
            ("protect", Syscall::MemoryProtect),
        ] {
            let result = call(number as u64, &[*address, *len, WRITE]);
            checks.refused((name, *address, *len), result, BAD_RANGE);
        }
    }
    for protection in [8, 16, 1 << 31, 1 << 32 | 1, u64::MAX] {
        let result = call(Syscall::MemoryMap as u64, &[0, page, protection]);
        checks.refused(("protection", protection), result, &[InvalidArgument, NotPermitted]);
    }
    holes(&mut checks);
    checks
}

/// Ranges with a hole in them, and ranges in use.
fn holes(checks: &mut Checks) {
    let page = PAGE as u64;
    let Some(mapping) = checks.works("map", Mapping::new(3 * PAGE)) else { return };
    let base = mapping.base() as u64;
    let taken = call(Syscall::MemoryMap as u64, &[base + page, page, WRITE]);
    checks.refused("map what is mapped", taken, BAD_RANGE);
    checks.works("unmap the middle", call(Syscall::MemoryUnmap as u64, &[base + page, page]));
    let unmapped = call(Syscall::MemoryUnmap as u64, &[base, 3 * page]);
    checks.refused("unmap over a hole", unmapped, BAD_RANGE);
    let protected = call(Syscall::MemoryProtect as u64, &[base, 3 * page, 1]);
    checks.refused("protect over a hole", protected, BAD_RANGE);
    // Refused as a whole: the ends must still be there, and writable.
    // SAFETY: the first page is still mapped read-write.
    unsafe { core::ptr::write_volatile(mapping.base(), 1) };
    checks.works("fill the hole", call(Syscall::MemoryMap as u64, &[base + page, page, WRITE]));
}
