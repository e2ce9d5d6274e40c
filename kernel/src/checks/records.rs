//! What is kept in rings and tables: SysLog records, capability handles, lines of the log.

use super::Finding;
use crate::logs::recent;
use crate::logs::syslog::{Event, PENDING, RECORDS, SysLog};
use crate::process::handles::HandleTable;
use crate::process::object::{Capability, ConsoleObject, LogObject, Object};
use alloc::sync::Arc;
use alloc::vec::Vec;
use protocols::abi::message::Sender;
use protocols::abi::{Error, Handle, ObjectKind, Rights};

checks! { "records", 20:
    syslog_keeps_the_newest,
    handles_die_with_their_capability,
    handles_carry_rights,
    handle_tables_fill_up_and_drain,
    log_lines_are_kept,
}

async fn syslog_keeps_the_newest() -> Finding {
    // Its ring is for good: this check costs 256 KiB each time.
    let log = SysLog::new();
    ensure!(log.read(0).is_none(), "a ring without memory has a record");
    log.install();
    ensure!(log.head() == 0 && log.read(0).is_none(), "an empty ring has a record");
    let written = RECORDS as u64 + 10;
    for number in 0..written {
        let record = log.request(Sender(number << 32), 7, [number, 1, 2, 3]);
        log.commit(record, if number == written - 2 { PENDING } else { number * 2 });
    }
    log.response(Sender(5 << 32), 7, [9; 4], 11);
    let head = log.head();
    ensure!(head == written + 1, "{head} records after {}", written + 1);
    ensure!(log.read(head).is_none(), "a record from the future");
    ensure!(log.read(10).is_none(), "an overwritten record was read");
    for sequence in head - RECORDS as u64 + 1..written - 2 {
        let Some(entry) = log.read(sequence) else {
            return Err(alloc::format!("record {sequence} of {head} is gone too early"));
        };
        let good = entry.sequence == sequence
            && entry.values == [sequence, 1, 2, 3]
            && entry.result == sequence * 2
            && entry.stamp == Sender(sequence << 32)
            && entry.number == 7
            && entry.event == Event::Request;
        ensure!(good, "record {sequence} reads {entry:?}");
    }
    let pending = log.read(written - 2).map(|entry| entry.result);
    ensure!(pending == Some(PENDING), "a call that waits has the result {pending:?}");
    let last = log.read(head - 1).map(|entry| (entry.event, entry.values, entry.result));
    ensure!(last == Some((Event::Response, [9; 4], 11)), "the response reads {last:?}");
    Ok(())
}

fn console() -> Capability {
    Capability::new(Object::Console(Arc::new(ConsoleObject)), Rights::SEND | Rights::DUPLICATE)
}

fn insert(table: &HandleTable) -> Result<Handle, alloc::string::String> {
    table.insert(console()).map_err(|_| "a table with room refused".into())
}

async fn handles_die_with_their_capability() -> Finding {
    let table = HandleTable::new();
    let first = insert(&table)?;
    ensure!(table.get::<ConsoleObject>(first, Rights::SEND).is_ok(), "a fresh handle is refused");
    drop(table.remove(first, Rights::empty()).map_err(|error| alloc::format!("{error}"))?);
    let mut handles = alloc::vec![first];
    for round in 0..1_000 {
        let next = insert(&table)?;
        ensure!(!handles.contains(&next), "round {round}: {next:?} was given out before");
        for old in handles.iter().rev().take(8) {
            let found = table.get::<ConsoleObject>(*old, Rights::empty()).err();
            ensure!(found == Some(Error::BadHandle), "dead {old:?} gives {found:?}");
            let found = table.remove(*old, Rights::empty()).err();
            ensure!(found == Some(Error::BadHandle), "dead {old:?} was removed: {found:?}");
        }
        drop(table.remove(next, Rights::empty()).map_err(|error| alloc::format!("{error}"))?);
        handles.push(next);
    }
    for forged in [0, 1, u32::MAX, 0x8000_0000, first.0 ^ 1, first.0 ^ 1 << 31] {
        ensure!(
            table.inspect(Handle(forged)).is_err(),
            "forged handle {forged:#x} names something"
        );
    }
    Ok(())
}

async fn handles_carry_rights() -> Finding {
    let table = HandleTable::new();
    let handle = insert(&table)?;
    let found = table.inspect(handle);
    let expected = Ok((ObjectKind::Console, Rights::SEND | Rights::DUPLICATE));
    ensure!(found == expected, "inspected: {found:?}");
    let wrong_kind = table.get::<LogObject>(handle, Rights::SEND).err();
    ensure!(wrong_kind == Some(Error::WrongKind), "a console is a log: {wrong_kind:?}");
    let too_much = table.get::<ConsoleObject>(handle, Rights::CONTROL).err();
    ensure!(too_much == Some(Error::NotPermitted), "a right that is not there: {too_much:?}");
    let kept = table.remove(handle, Rights::TRANSFER).err();
    ensure!(kept == Some(Error::NotPermitted), "moved without the right to: {kept:?}");
    let more = table.duplicate(handle, Rights::all()).err();
    ensure!(more == Some(Error::NotPermitted), "a duplicate with more rights: {more:?}");
    let less = table.duplicate(handle, Rights::SEND).map_err(|error| alloc::format!("{error}"))?;
    ensure!(less.rights() == Rights::SEND, "a duplicate has {:?}", less.rights());
    let less = table.insert(less).map_err(|_| "a table with room refused")?;
    let again = table.duplicate(less, Rights::SEND).err();
    ensure!(again == Some(Error::NotPermitted), "duplicated without the right to: {again:?}");
    Ok(())
}

async fn handle_tables_fill_up_and_drain() -> Finding {
    let table = HandleTable::new();
    let room = table.room();
    let handles: Vec<_> = (0..room).map_while(|_| insert(&table).ok()).collect();
    ensure!(handles.len() == room, "{} handles fit where there was room for {room}", handles.len());
    ensure!(table.room() == 0, "a full table has room for {}", table.room());
    ensure!(table.insert(console()).is_err(), "a full table took one more");
    ensure!(table.drain().len() == room, "drained fewer than {room}");
    let alive = handles.iter().filter(|handle| table.inspect(**handle).is_ok()).count();
    ensure!(alive == 0, "{alive} handles outlived the drain");
    Ok(())
}

async fn log_lines_are_kept() -> Finding {
    let before = log::max_level();
    hal::console::set_level(log::LevelFilter::Info);
    let mark = hal::x86_64::random::next_u64();
    log::info!("a line to be kept: {mark:x}");
    log::debug!("a line too quiet to be kept: {mark:x}");
    hal::console::set_level(before);
    let kept = recent::last(recent::LINES);
    let lines: Vec<_> =
        kept.iter().filter(|line| line.contains(&alloc::format!("{mark:x}"))).collect();
    ensure!(lines.len() == 1, "{} lines kept instead of one", lines.len());
    ensure!(lines[0].contains("checks::records"), "the line does not say who speaks: {}", lines[0]);
    Ok(())
}
