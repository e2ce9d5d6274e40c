//! Requests whose client goes away, with its memory or without.

use bench::abi::start::tag;
use bench::abi::{Error, PAGE, Protection, Rights};
use bench::attacks::ATTACK_IMAGE;
use bench::block_ring::{Operation, Words};
use bench::runtime::capability::{Endpoint, Image, Memory};
use bench::runtime::memory::{Mapping, SharedMapping, attach};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::disk::{ENTRIES, PAGES, Session};
use crate::random::Chance;

const MARK: u8 = 0xa5;
/// Nanoseconds in which a session that was left comes to its end.
const END_NS: u64 = 2_000_000;

/// A session, as soon as those before have ended.
fn open(disk: &Endpoint) -> Result<Session, Error> {
    for _ in 0..10_000 {
        match Session::open(disk) {
            Err(Error::LimitReached) => calls::yield_now()?,
            other => return other,
        }
    }
    Err(Error::LimitReached)
}

/// Fills the ring with reads of all the data pages.
fn load(session: &mut Session) {
    for number in 0..ENTRIES {
        let read = Operation::Read { lba: u64::from(number) * 8, first_page: 1 + number, pages: 1 };
        session.submit(read, u64::from(number));
    }
    session.publish();
}

/// Reads under way into memory that is unmapped, and other memory put in its place: what is read
/// does not come there.
pub fn unmapped(checks: &mut Checks, disk: &Endpoint) {
    for round in 0..50 {
        let Some(mut session) = checks.works("open", open(disk)) else { return };
        load(&mut session);
        let (base, len) = (session.memory.base() as u64, PAGES as usize * PAGE);
        let Session { memory, doorbell, .. } = session;
        drop(memory);
        let mapped = bench::runtime::memory::map(base, len, Protection::WRITE);
        let Some(mapped) = checks.works("map there", mapped) else { return };
        // SAFETY: mapped just now, read-write, and known to nobody else.
        let bytes = unsafe { core::slice::from_raw_parts_mut(mapped, len) };
        bytes.fill(MARK);
        if round % 2 == 0 {
            drop(doorbell);
        }
        let later = calls::clock().and_then(|(now, _)| calls::sleep_until(now + END_NS));
        checks.works("sleep", later);
        let intact = bytes.iter().all(|byte| *byte == MARK);
        checks.holds(("nothing came there", round), intact);
        // SAFETY: the slice's last use was above.
        checks.works("unmap", unsafe { bench::runtime::memory::unmap(mapped, len) });
    }
}

/// Sessions left with everything under way: the pages go to nobody before the device is done.
pub fn left(checks: &mut Checks, disk: &Endpoint) {
    let mut chance = Chance::seeded(9);
    for round in 0..100 {
        let Some(mut session) = checks.works("open", open(disk)) else { return };
        load(&mut session);
        for _ in 0..chance.below(4) {
            let _ = calls::yield_now();
        }
        drop(session);
        // Memory of both kinds takes the place of what was let go.
        let Some(object) = checks.works("create", Memory::create(PAGES as usize * PAGE)) else {
            return;
        };
        let len = PAGES as usize * PAGE;
        let shared = SharedMapping::new(&object, 0, len, Protection::WRITE);
        let own = Mapping::new(len);
        let (Some(shared), Some(mut own)) = (checks.works("map", shared), checks.works("map", own))
        else {
            return;
        };
        let zero = |shared: &SharedMapping, own: &mut Mapping| {
            (0..len / 8).all(|word| shared.load(word) == 0)
                && own.bytes().iter().all(|byte| *byte == 0)
        };
        checks.holds(("fresh", round), zero(&shared, &mut own));
        let soon = calls::clock().and_then(|(now, _)| calls::sleep_until(now + END_NS / 4));
        checks.works("sleep", soon);
        checks.holds(("still fresh", round), zero(&shared, &mut own));
    }
}

/// Clients killed at any moment of their work.
pub fn killed(checks: &mut Checks, disk: &Endpoint, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let mut chance = Chance::seeded(11);
    for round in 0..30 {
        let rights = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
        let Some(given) = checks.works("duplicate", disk.duplicate(rights)) else { return };
        let client = Command::new(&image, "attack")
            .arg("disk.read_for_ever")
            .arg("disk=given:0")
            .give(tag::DISK, given)
            .spawn();
        let Some(client) = checks.works("spawn", client) else { return };
        let later = chance.below(4_000_000);
        let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(now + later));
        checks.works(("kill", round), client.kill());
        checks.holds("it ended", client.wait_until(0).is_ok());
    }
}

/// The accomplice of [`killed`].
pub fn read_for_ever(disk: &Endpoint) {
    let Ok(mut session) = Session::open(disk) else { return };
    // Mapped twice, so that there is more to take away.
    let object = Memory::create(PAGE);
    let _again = object.and_then(|object| attach(&object, 0, 0, PAGE, Protection::READ));
    loop {
        load(&mut session);
        for _ in 0..ENTRIES {
            if session.completion().is_err() {
                return;
            }
        }
    }
}
