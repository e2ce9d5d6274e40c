//! What is kept in rings: SysLog records, lines of the log.

use super::Finding;
use crate::logs::recent;
use crate::logs::syslog::{Event, PENDING, RECORDS, SysLog};
use alloc::vec::Vec;
use protocols::abi::message::Sender;
use protocols::abi::syslog::Record;

checks! { "records", 20:
    syslog_keeps_the_newest,
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
    syslog_is_copied_with_its_gaps(&log)
}

/// Asked for what was overwritten, it begins with the oldest there is and says so.
fn syslog_is_copied_with_its_gaps(log: &SysLog) -> Finding {
    let head = log.head();
    let (first, copies) = log.copy(3, 5);
    ensure!(first == head - RECORDS as u64 + 1, "record 3 of {head} was read from {first} on");
    ensure!(copies.len() == 5, "{} copies of 5", copies.len());
    for (sequence, bytes) in (first..).zip(&copies) {
        let copied = Record::from_bytes(bytes).map(|record| record.values[0]);
        ensure!(copied == Some(sequence), "the copy of {sequence} reads {copied:?}");
    }
    let (first, copies) = log.copy(head - 2, usize::MAX);
    ensure!((first, copies.len()) == (head - 2, 2), "{} copies from {first} on", copies.len());
    let (first, copies) = log.copy(u64::MAX, 9);
    ensure!((first, copies.len()) == (head, 0), "the future begins at {first}, not at {head}");
    let (first, copies) = log.copy(0, 0);
    ensure!(first > 0 && copies.is_empty(), "no copies were asked for");
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
