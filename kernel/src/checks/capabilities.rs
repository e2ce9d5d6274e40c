//! Tables of capabilities: handles go stale, slots don't wear out, and an ended process's table
//! takes nothing in.

use super::Finding;
use crate::ipc::Notification;
use crate::process::handles::HandleTable;
use crate::process::object::{Capability, Object};
use crate::process::reclaim;
use alloc::sync::Arc;
use protocols::abi::{Error, Rights};

checks! { "capabilities", 60:
    stale_handles_are_refused,
    slots_do_not_wear_out,
    a_closed_table_takes_nothing,
}

fn capability() -> Capability {
    Capability::new(Object::Notification(Arc::new(Notification::new())), Rights::all())
}

async fn stale_handles_are_refused() -> Finding {
    let table = HandleTable::new();
    let first = table.insert(capability()).map_err(|_| "a new table is full")?;
    drop(table.remove(first, Rights::empty()));
    let second = table.insert(capability()).map_err(|_| "full after one")?;
    ensure!(first.index() == second.index(), "another slot was taken: {first:?}, {second:?}");
    ensure!(first != second, "the same handle came again");
    let stale = table.get::<Notification>(first, Rights::SEND).err();
    ensure!(stale == Some(Error::BadHandle), "a stale handle: {stale:?}");
    ensure!(table.get::<Notification>(second, Rights::SEND).is_ok(), "a good handle was refused");
    Ok(())
}

async fn slots_do_not_wear_out() -> Finding {
    const MOVES: u32 = 200_000;
    let table = HandleTable::new();
    let room = table.room();
    let mut handle = table.insert(capability()).map_err(|_| "a new table is full")?;
    for number in 0..MOVES {
        let moved = table.remove(handle, Rights::TRANSFER);
        let moved = moved.map_err(|error| alloc::format!("move {number}: {error}"))?;
        handle = table.insert(moved).map_err(|_| alloc::format!("move {number}: full"))?;
        if number % 4096 == 0 {
            executor::yield_now().await;
        }
    }
    for _ in 0..1000 {
        if table.room() == room - 1 {
            return Ok(());
        }
        reclaim::quiesce().await;
        executor::yield_now().await;
    }
    Err(alloc::format!("{} slots are gone after {MOVES} moves", room - 1 - table.room()))
}

async fn a_closed_table_takes_nothing() -> Finding {
    let table = HandleTable::new();
    table.insert(capability()).map_err(|_| "a new table is full")?;
    let drained = table.drain().len();
    ensure!(drained == 1, "{drained} capabilities came out instead of one");
    ensure!(table.insert(capability()).is_err(), "a closed table took a capability");
    ensure!(table.room() == 0, "a closed table says it has room");
    Ok(())
}
