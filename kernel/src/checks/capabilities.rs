//! What processes hold: handles go stale, slots don't wear out, a revoke takes what was derived, and
//! the log says the same as the state.

use super::Finding;
use crate::authority::{self, Capability, log};
use crate::ipc::Notification;
use crate::process::object::{ConsoleObject, LogObject, Object};
use crate::process::reclaim;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use protocols::abi::{Error, Handle, ObjectKind, Rights};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{Cause, State};

checks! { "capabilities", 60:
    stale_handles_are_refused,
    handles_carry_rights,
    tables_fill_up,
    slots_do_not_wear_out,
    a_revoke_takes_what_was_derived,
    the_log_replays_to_the_state,
}

fn notification() -> Result<Capability, String> {
    let object = Object::Notification(Arc::new(Notification::new()));
    Capability::create(object, 0).map_err(|error| alloc::format!("{error}"))
}

async fn stale_handles_are_refused() -> Finding {
    let first = notification()?;
    let stale = first.handle();
    ensure!(authority::kernel_table().get::<Notification>(stale, Rights::SEND).is_ok(), "fresh");
    drop(first);
    let mut handles = alloc::vec![stale];
    for round in 0..1_000 {
        let next = notification()?;
        ensure!(!handles.contains(&next.handle()), "round {round}: {next:?} came before");
        for old in handles.iter().rev().take(8) {
            let found = authority::kernel_table().get::<Notification>(*old, Rights::empty()).err();
            ensure!(found == Some(Error::BadHandle), "dead {old:?} gives {found:?}");
            let found = authority::remove(KERNEL, *old, Cause::Kernel).err();
            ensure!(found == Some(Error::BadHandle), "dead {old:?} was removed: {found:?}");
        }
        handles.push(next.handle());
    }
    for forged in [0, u32::MAX, 0x8000_0000, stale.0 ^ 1 << 31] {
        ensure!(
            authority::kernel_table().inspect(Handle(forged)).is_err(),
            "forged handle {forged:#x} names something"
        );
    }
    Ok(())
}

async fn handles_carry_rights() -> Finding {
    let console = Capability::create(Object::Console(Arc::new(ConsoleObject)), 0);
    let console = console.map_err(|error| alloc::format!("{error}"))?;
    let less = console.derive(Rights::SEND | Rights::DUPLICATE);
    let less = less.map_err(|error| alloc::format!("{error}"))?;
    let (table, handle) = (authority::kernel_table(), less.handle());
    let found = table.inspect(handle);
    let expected = Ok((ObjectKind::Console, Rights::SEND | Rights::DUPLICATE));
    ensure!(found == expected, "inspected: {found:?}");
    let wrong_kind = table.get::<LogObject>(handle, Rights::SEND).err();
    ensure!(wrong_kind == Some(Error::WrongKind), "a console is a log: {wrong_kind:?}");
    let too_much = table.get::<ConsoleObject>(handle, Rights::CONTROL).err();
    ensure!(too_much == Some(Error::NotPermitted), "a right that is not there: {too_much:?}");
    let more = less.derive(Rights::all()).err();
    ensure!(more == Some(Error::NotPermitted), "derived with more rights: {more:?}");
    let least = less.derive(Rights::SEND).map_err(|error| alloc::format!("{error}"))?;
    let again = least.derive(Rights::SEND).err();
    ensure!(again == Some(Error::NotPermitted), "derived without the right to: {again:?}");
    Ok(())
}

async fn tables_fill_up() -> Finding {
    let mut held = Vec::new();
    let refused = loop {
        let object = Object::Console(Arc::new(ConsoleObject));
        match Capability::create(object, 0) {
            Ok(capability) => held.push(capability),
            Err(error) => break error,
        }
        if held.len() % 64 == 0 {
            executor::yield_now().await;
        }
    };
    ensure!(refused == Error::LimitReached, "a full table says {refused}");
    held.clear();
    notification().map(drop)
}

async fn slots_do_not_wear_out() -> Finding {
    const TIMES: u32 = 200_000;
    for number in 0..TIMES {
        drop(notification().map_err(|error| alloc::format!("time {number}: {error}"))?);
        if number % 256 == 0 {
            reclaim::keep_up().await;
            log::keep_up().await;
            executor::yield_now().await;
        }
    }
    Ok(())
}

async fn a_revoke_takes_what_was_derived() -> Finding {
    let root = notification()?;
    let rights = Rights::SEND | Rights::DUPLICATE;
    let text = |error: Error| alloc::format!("{error}");
    let mut derived = alloc::vec![root.derive(rights).map_err(text)?];
    for at in 0..100 {
        derived.push(derived[at / 2].derive(rights).map_err(text)?);
    }
    let beside = notification()?;
    let live = derived.iter().filter(|one| one.is_live()).count();
    ensure!(live == 101, "{live} of 101 are live before");
    root.revoke().map_err(text)?.settle().await;
    let live = derived.iter().filter(|one| one.is_live()).count();
    ensure!(live == 0, "{live} are live after the revoke");
    ensure!(root.is_live() && beside.is_live(), "the revoke took too much");
    let dead = derived[0].derive(Rights::SEND).err();
    ensure!(dead == Some(Error::BadHandle), "derived from what was revoked: {dead:?}");
    Ok(())
}

async fn the_log_replays_to_the_state() -> Finding {
    let report = log::verify().await.map_err(|error| alloc::format!("{error}"))?;
    ensure!(report.replayed > 0 && report.epoch > 0, "nothing was replayed: {report:?}");
    authority::look(State::verify).map_err(|error| alloc::format!("{error}"))
}
