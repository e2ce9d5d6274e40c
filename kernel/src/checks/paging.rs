//! The kernel's page tables as the CPU sees them: W^X, guard pages, SMAP, device mappings that come
//! and go, and stale translations that go with them.

use super::memory::settled_free;
use super::{Finding, cores};
use crate::clock;
use crate::platform::{self, Pollux};
use alloc::vec::Vec;
use executor::{Instant, Priority, spawn_on};
use hal::device;
use hal::memory::frames::Frame;
use hal::memory::stack::KernelStack;
use hal::memory::{FRAME_SIZE, PhysAddr, VirtAddr};
use hal::x86_64::paging::Access;
use hal::x86_64::paging::windows::Mapping;
use hal::x86_64::probe::{self, Touched};
use hal::x86_64::time::clock::now;

checks! { "paging", 30:
    nothing_is_writable_and_executable,
    text_and_constants_cannot_be_written,
    null_and_user_memory_cannot_be_touched,
    stacks_are_guarded,
    device_regions_come_and_go,
    unmapped_pages_are_gone_on_every_core,
    address_spaces_give_everything_back,
}

const PAGE: u64 = FRAME_SIZE as u64;

async fn nothing_is_writable_and_executable() -> Finding {
    let (writable_code, user) = probe::open_pages();
    ensure!(writable_code == 0, "{writable_code} kernel pages are writable and executable");
    ensure!(user == 0, "{user} pages of the kernel's half are open to ring 3");
    Ok(())
}

async fn text_and_constants_cannot_be_written() -> Finding {
    static CONSTANT: [u64; 4] = [1, 2, 3, 4];
    static VARIABLE: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
    let text = VirtAddr::of(platform::core_count as *const u8);
    let constant = VirtAddr::of(&raw const CONSTANT);
    let variable = VirtAddr::of(&raw const VARIABLE);
    for (what, at, access) in [
        ("text", text, Access::ReadExecute),
        ("a constant", constant, Access::Read),
        ("a variable", variable, Access::ReadWrite),
    ] {
        let found = probe::access(at);
        ensure!(found == Some(access), "{what} is mapped as {found:?}");
        ensure!(probe::read(at) == Touched::Fine, "{what} cannot be read");
        let expected = if access == Access::ReadWrite { Touched::Fine } else { Touched::Fault };
        let written = probe::write(at);
        ensure!(written == expected, "writing {what}: {written:?}");
    }
    Ok(())
}

async fn null_and_user_memory_cannot_be_touched() -> Finding {
    for at in [0, 8, 0x1000, 0x40_0000, 0x7fff_ffff_e000] {
        let at = VirtAddr(at);
        ensure!(probe::read(at) == Touched::Fault, "{at:?} can be read by the kernel");
        ensure!(probe::write(at) == Touched::Fault, "{at:?} can be written by the kernel");
    }
    // Not canonical: a general protection fault, not a page fault.
    ensure!(probe::read(VirtAddr(1 << 47)) == Touched::Fault, "a non-canonical read went through");
    Ok(())
}

async fn stacks_are_guarded() -> Finding {
    let stack = KernelStack::new(4).map_err(|error| alloc::format!("{error}"))?;
    let (bottom, top) = (stack.bottom(), stack.top());
    ensure!(top.0 - bottom.0 == 4 * PAGE, "a stack of 4 pages has {} bytes", top.0 - bottom.0);
    for inside in [bottom.0, top.0 - 1] {
        ensure!(
            probe::write(VirtAddr(inside)) == Touched::Fine,
            "the stack itself is not writable"
        );
    }
    for guard in [bottom.0 - 1, bottom.0 - PAGE, top.0] {
        ensure!(probe::write(VirtAddr(guard)) == Touched::Fault, "{guard:#x} is no guard");
    }
    ensure!(
        hal::memory::stack::is_guard_page(VirtAddr(bottom.0 - 8)),
        "overflow is not recognised"
    );
    // The stacks the cores run on.
    for core in cores() {
        let guarded = spawn_on::<Pollux, _, _>(core, "stack", Priority::Normal, || async {
            let local = 0_u8;
            let here = hal::memory::stack::containing(VirtAddr::of(&raw const local));
            here.map(|stack| probe::write(VirtAddr(stack.start - 8)))
        });
        let found = guarded.await.map_err(|error| alloc::format!("{error}"))?;
        ensure!(found == Some(Touched::Fault), "{core}: the guard below its stack: {found:?}");
    }
    Ok(())
}

async fn device_regions_come_and_go() -> Finding {
    // Nothing is ever read there: any address that is no memory will do.
    let somewhere = PhysAddr(0xfd00_0000);
    let before = settled_free().await;
    for round in 0..200 {
        let region = device::map(somewhere, 3 * FRAME_SIZE)
            .map_err(|error| alloc::format!("round {round}: {error}"))?;
        ensure!(region.bytes() == 3 * FRAME_SIZE, "a region of {} bytes", region.bytes());
        let second = device::map(PhysAddr(somewhere.0 + PAGE), 16);
        ensure!(second.is_err(), "one device's registers were given out twice");
        drop(region);
    }
    let frame = Frame::allocate().map_err(|error| alloc::format!("{error}"))?;
    ensure!(device::map(frame.physical(), 16).is_err(), "memory was mapped as a device");
    drop(frame);
    ensure!(device::map(PhysAddr(u64::MAX - 8), 64).is_err(), "a region beyond the end was mapped");
    ensure!(device::map(somewhere, 0).is_err(), "an empty region was mapped");
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn unmapped_pages_are_gone_on_every_core() -> Finding {
    for round in 0..20 {
        let mapping = Mapping::allocate(3).map_err(|error| alloc::format!("{error}"))?;
        let start = mapping.start();
        // Every core has the translations now.
        for (core, touched) in touched_everywhere(start).await {
            ensure!(
                touched == [Touched::Fine; 3],
                "{core} cannot write a fresh mapping: {touched:?}"
            );
        }
        let flush = mapping.unmap();
        let deadline = Instant(now() + clock::frequency() * 5);
        let flushed = executor::timeout::<Pollux, _>(deadline, flush).await;
        ensure!(flushed.is_ok(), "round {round}: a core did not flush within 5 s");
        for (core, touched) in touched_everywhere(start).await {
            ensure!(touched == [Touched::Fault; 3], "{core} reaches unmapped pages: {touched:?}");
        }
    }
    Ok(())
}

/// What writing three pages from `start` comes to, on each core.
async fn touched_everywhere(start: VirtAddr) -> Vec<(executor::CoreId, [Touched; 3])> {
    let mut all = Vec::new();
    for core in cores() {
        let touch = move || async move {
            [0, 1, 2].map(|page| probe::write(VirtAddr(start.0 + page * PAGE + 64)))
        };
        let task = spawn_on::<Pollux, _, _>(core, "touch", Priority::Normal, touch);
        all.push((core, task.await.unwrap_or([Touched::Device; 3])));
    }
    all
}

async fn address_spaces_give_everything_back() -> Finding {
    use alloc::sync::Arc;
    use hal::x86_64::paging::AddressSpace;
    let before = settled_free().await;
    for _ in 0..20 {
        let space = Arc::new(AddressSpace::new().map_err(|error| alloc::format!("{error}"))?);
        for (start, pages, access) in [
            (0x40_0000, 5, Access::ReadExecute),
            (0x7fff_0000_0000, 20, Access::ReadWrite),
            (0x1000_0000, 600, Access::Read),
        ] {
            let mapped = space.map_zeroed(VirtAddr(start), pages, access);
            ensure!(mapped.is_ok(), "mapping {pages} pages at {start:#x}: {mapped:?}");
        }
        ensure!(space.map_zeroed(VirtAddr(0x40_1000), 1, Access::Read).is_err(), "mapped twice");
        let top = 0xffff_8000_0000_0000;
        ensure!(space.map_zeroed(VirtAddr(top), 1, Access::Read).is_err(), "kernel half mapped");
        ensure!(space.usage().pages == 625, "{} of 625 pages", space.usage().pages);
        ensure!(!space.allows(VirtAddr(0x40_0000), 8, Access::ReadWrite), "text is writable");
        if let Some(flush) = space.destroy() {
            flush.await;
        }
    }
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}
