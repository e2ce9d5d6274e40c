//! Logs on disks, alone and in files, and what is said of them.

mod history;
mod verdicts;

use super::options::ReplayOptions;
use super::{raw, replay, source};
use history::{Folder, History, disk, write};
use protocols::axiom::replay::Replay;
use protocols::axiom::{Commit, Hash};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Options for a file.
fn of(image: &Path) -> ReplayOptions {
    ReplayOptions { image: Some(image.to_path_buf()), ..ReplayOptions::default() }
}

/// What is said, and whether nothing contradicts.
fn said(options: &ReplayOptions) -> (String, bool) {
    match replay(options) {
        Ok((output, agrees)) => (output.out + &output.err, agrees),
        Err(error) => (format!("{error:#}"), false),
    }
}

/// A file of such records, from the first on.
fn file_of(folder: &Folder, name: &str, records: &[Vec<u8>]) -> PathBuf {
    folder.file(name, raw::write(&Replay::new(), records).unwrap())
}

fn records(folder: &Folder, history: &History) -> PathBuf {
    file_of(folder, "records", &history.records)
}

#[test]
fn a_log_is_followed_to_its_end() {
    let (folder, history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let (text, agrees) = said(&of(&file));
    assert!(agrees, "{text}");
    for line in [
        "records 0 to 11",
        "Checkpoint records whose state hash agrees: 1",
        "the chain is whole; after record 11:",
        &format!("  chain {}", history.replay.hash()),
        &format!("  state {}", history.replay.state().hash()),
        "log 07070707070707070707070707070707, epoch 2",
        "  capability 2: RECEIVE | DUPLICATE, held by 2 shell \\\"<&>\\\" at 0.1",
        "    3 pages mapped by 2 shell \\\"<&>\\\" at 0x400000",
        "process 1 init (of 0 kernel): 20 frames, 2 threads, 16 handles, 2 messages",
        "  of that its children have 10 frames, 1 thread, 8 handles, 1 message",
        "objects that no capability names:",
        "  object 0: process 0 kernel",
        "  object 2: process 2 shell \\\"<&>\\\"",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn it_can_be_looked_at_anywhere() {
    let (folder, history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let (text, agrees) = said(&ReplayOptions { at: Some(3), ..of(&file) });
    assert!(agrees && text.contains("after record 3:"), "{text}");
    assert!(text.contains("process 1 init") && !text.contains("process 2"), "{text}");
    let (text, agrees) = said(&ReplayOptions { at: Some(12), ..of(&file) });
    assert!(!agrees && text.contains("there is no record 12: the last is 11"), "{text}");
    let (before, _) = history.checkpoint.as_ref().unwrap();
    let trimmed = raw::write(before, &history.records[before.next() as usize..]).unwrap();
    let trimmed = folder.file("trimmed", trimmed);
    let (text, agrees) = said(&of(&trimmed));
    assert!(agrees && text.contains("records 8 to 11; it begins with the state"), "{text}");
    assert!(text.contains(&format!("  state {}", history.replay.state().hash())), "{text}");
    let (text, agrees) = said(&ReplayOptions { at: Some(7), ..of(&trimmed) });
    assert!(!agrees && text.contains("before record 8 was trimmed"), "{text}");
    let (text, agrees) = said(&ReplayOptions { against: Some(file), ..of(&trimmed) });
    assert!(agrees && text.contains("are the same log"), "{text}");
}

#[test]
fn commits_are_listed() {
    let (folder, history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let options = ReplayOptions { list: true, from: Some(7), to: Some(8), ..of(&file) };
    let (text, agrees) = said(&options);
    let lines: Vec<&str> = text.lines().collect();
    assert!(agrees && lines[2].ends_with("records: a file of records"), "{text}");
    assert_eq!(
        lines[0],
        "     7     0.007000 (core 1 #70) Derived capability=2 from=0 rights=RECEIVE | DUPLICATE \
         process=2 handle=0.1"
    );
    assert!(lines[1].contains("(kernel) Checkpoint state="), "{text}");
    // What is listed is for other programs: what is said of it goes elsewhere.
    let (output, _) = replay(&options).unwrap();
    assert_eq!(output.out.lines().count(), 2, "{}", output.out);
    assert!(output.err.contains("the chain is whole; after record 11:"), "{}", output.err);
    let (text, _) = said(&ReplayOptions { json: Some("-".into()), ..options });
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&line["sequence"], &line["commit"]), (&7.into(), &"Derived".into()));
    assert_eq!((&line["fields"]["from"], &line["cause"]["sequence"]), (&0.into(), &70.into()));
    assert_eq!(line["fields"]["handle"], "0.1");
}

#[test]
fn json_has_everything() {
    let (folder, history) = (Folder::new(), History::new());
    let json = folder.path("state.json");
    let (text, agrees) =
        said(&ReplayOptions { json: Some(json.clone()), ..of(&records(&folder, &history)) });
    assert!(agrees && !text.contains("capability"), "{text}");
    let value: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(value["state"], history.replay.state().hash().to_string());
    assert_eq!(value["records"], 12);
    assert_eq!(
        (&value["verdict"]["whole"], &value["verdict"]["agrees"]),
        (&true.into(), &true.into())
    );
    assert_eq!(value["processes"][2]["name"], "shell \"<&>\"");
    let capability = &value["capabilities"][2];
    assert_eq!((&capability["from"], &capability["process"]), (&0.into(), &2.into()));
    assert_eq!(capability["rights"], serde_json::json!(["RECEIVE", "DUPLICATE"]));
    assert_eq!(value["mappings"][0]["through"], 2);
}

#[test]
fn graphs_show_who_has_what_of_whom() {
    let (folder, history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let (dot, agrees) = said(&ReplayOptions { dot: Some("-".into()), ..of(&file) });
    assert!(agrees, "{dot}");
    for part in [
        "c0 -> c2;",
        "o3 -> c0 [style=\"dashed\"];",
        "o1 -> o2 [style=\"dashed\"];",
        "c2 -> m0;",
        "label=\"process 2 shell ??&??\\n10 frames, 1 thread\\n8 handles, 1 message\"",
        "label=\"capability 1\\nall rights\\n1 init at 1.1\"",
    ] {
        assert!(dot.contains(part), "no `{part}` in\n{dot}");
    }
    let picture = folder.path("state.svg");
    let (text, agrees) = said(&ReplayOptions { svg: Some(picture.clone()), ..of(&file) });
    assert!(agrees, "{text}");
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(svg.contains("capability 3") && svg.contains("shell ??&amp;??"), "{svg}");
}

#[test]
fn hashes_are_compared_with_what_is_expected() {
    let (folder, mut history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let state = history.replay.state().hash();
    for hash in [state, history.replay.hash()] {
        let (text, agrees) = said(&ReplayOptions { expect: Some(hash), ..of(&file) });
        assert!(agrees && text.contains("is the expected one"), "{text}");
    }
    let options = ReplayOptions { expect: Some(history.replay.hash()), at: Some(5), ..of(&file) };
    let (text, agrees) = said(&options);
    assert!(!agrees && !text.contains("divergence"), "{text}");
    let whole = "the chain is whole, but this is not what was expected; after record 5:\n  chain ";
    assert!(text.contains(whole), "{text}");
    assert!(text.contains("it is the chain's hash after record 11"), "{text}");
    let expect = Some(Hash::of(b"another"));
    let (text, agrees) = said(&ReplayOptions { expect, ..of(&file) });
    assert!(!agrees && text.contains("but its end is not the expected one; after"), "{text}");
    let why = format!(
        "{} was expected: that is neither the chain's hash nor the state's after record 11, nor the \
         chain's anywhere else in this log",
        Hash::of(b"another")
    );
    assert!(text.lines().any(|line| line == why), "{text}");

    // Lines of the kernel: one early, one of the end, one of before.
    let early = history.line();
    let serial = |lines: &[&str]| folder.file("serial.log", lines.join("\r\n"));
    let log = Some(serial(&["Pollux", &early, "bye"]));
    let (text, agrees) = said(&ReplayOptions { log: log.clone(), ..of(&file) });
    assert!(agrees && text.contains("lines of the kernel that agree: 1"), "{text}");
    history.go(Commit::Removed { capability: protocols::axiom::CapabilityId(3) });
    let log = Some(serial(&[&early, &history.line()]));
    let (text, agrees) = said(&ReplayOptions { log, ..of(&file) });
    assert!(!agrees && text.contains("first divergence at record 12"), "{text}");
    assert!(text.contains("the kernel reported 13 records, this one is not there"), "{text}");
    let log = Some(serial(&[&early.replace(&state.to_string(), &Hash::default().to_string())]));
    let (text, agrees) = said(&ReplayOptions { log, ..of(&file) });
    assert!(!agrees && text.contains("first divergence at record 11: the kernel reported state"));
    let log = Some(serial(&["nothing"]));
    let (text, agrees) = said(&ReplayOptions { log, ..of(&file) });
    assert!(!agrees && text.contains("has no line"), "{text}");
}

#[test]
fn two_logs_part_somewhere() {
    let (folder, history) = (Folder::new(), History::new());
    let file = records(&folder, &history);
    let mut longer = history.clone();
    longer.go(Commit::ProcessKilled { process: 2 });
    let longer = file_of(&folder, "longer", &longer.records);
    let (text, agrees) = said(&ReplayOptions { against: Some(longer), ..of(&file) });
    assert!(agrees && text.contains("the same up to record 11, where"), "{text}");
    assert!(text.lines().any(|line| line.ends_with("records ends")), "{text}");
    let mut other = History::new();
    other.go(Commit::ProcessKilled { process: 2 });
    let mut ours = History::new();
    ours.go(Commit::ProcessFaulted { process: 2, vector: 14 });
    ours.go(Commit::ProcessKilled { process: 1 });
    let file = file_of(&folder, "ours", &ours.records);
    let other = file_of(&folder, "other", &other.records);
    let (text, agrees) = said(&ReplayOptions { against: Some(other), ..of(&file) });
    assert!(!agrees && text.contains("other: first divergence at record 12: "), "{text}");
    assert!(text.contains("ours has 12 "), "{text}");
    assert!(text.contains("ProcessFaulted process=2 vector=14, "), "{text}");
    assert!(text.contains("other has 12 "), "{text}");
}

#[test]
fn what_was_changed_is_named() {
    let (folder, history) = (Folder::new(), History::new());
    let mut swapped = history.records.clone();
    swapped.swap(5, 6);
    let file = file_of(&folder, "swapped", &swapped);
    let (text, agrees) = said(&of(&file));
    assert!(!agrees && text.contains("first divergence at record 5: it says that it is number 6"));
    assert!(text.contains("not whole; as far as it goes, after record 4:"), "{text}");
    let mut other = history.records.clone();
    // Another right in record 7: the state is another, as the checkpoint says.
    let at = other[7].iter().position(|byte| *byte == 10).unwrap();
    other[7][at] = 26;
    let file = file_of(&folder, "other", &other);
    let (text, agrees) = said(&of(&file));
    assert!(!agrees && text.contains("record 8: the checkpoint is of another state"), "{text}");
    let (text, agrees) = said(&ReplayOptions { at: Some(9), ..of(&file) });
    assert!(
        !agrees
            && text.contains(
                "record 9 cannot be reached: the log is damaged at record 8: the checkpoint"
            )
    );
    let (text, agrees) = said(&ReplayOptions { at: Some(3), ..of(&file) });
    assert!(!agrees && text.contains("the chain is not whole; after record 3:"), "{text}");
    let bytes = raw::write(&Replay::new(), &history.records).unwrap();
    for length in 0..bytes.len() {
        // Cut off at any byte: an error, or what there is.
        let file = folder.file("cut", &bytes[..length]);
        let (text, agrees) = said(&of(&file));
        let whole = text.contains("the chain is whole");
        assert_eq!(agrees, whole, "{length}: {text}");
    }
}

#[test]
fn logs_are_read_off_disks() {
    let (folder, history) = (Folder::new(), History::new());
    let path = folder.path("disk.img");
    let partition = disk(&path);
    let (text, _) = said(&of(&path));
    assert!(text.contains("no log was ever begun there"), "{text}");
    let mut file = std::fs::File::open(&path).unwrap();
    let found = crate::partitions::find(&mut file, protocols::commit_log::PARTITION_TYPE).unwrap();
    let start = found[0].start;
    write(&path, start, &partition, &history);
    let line = folder.file("serial.log", history.line());
    let (text, agrees) = said(&ReplayOptions { log: Some(line), ..of(&path) });
    assert!(agrees && text.contains("disk.img: partition 2"), "{text}");
    assert!(text.contains(&format!("  state {}", history.replay.state().hash())), "{text}");
    assert!(text.contains("lines of the kernel that agree: 1"), "{text}");

    // The partition by itself.
    let bytes = std::fs::read(&path).unwrap();
    let alone = &bytes[start as usize..][..(partition.blocks * 512) as usize];
    let alone = folder.file("partition.img", alone);
    let (text, agrees) = said(&ReplayOptions { against: Some(path.clone()), ..of(&alone) });
    assert!(agrees && text.contains("a partition by itself"), "{text}");
    assert!(text.contains("are the same log"), "{text}");

    // Changed after it was durable.
    let log = source::Log::open(&path).unwrap();
    let record = &log.records[log.records.len() - 1];
    let at = bytes.windows(record.len()).rposition(|part| part == record).unwrap();
    let mut changed = bytes.clone();
    changed[at + 2] ^= 1;
    let changed = folder.file("changed.img", changed);
    let (text, agrees) = said(&of(&changed));
    assert!(!agrees && text.contains("refused: tampered with or damaged: block"), "{text}");
    assert!(text.contains("first divergence at record 9"), "{text}");
    let (text, agrees) = said(&ReplayOptions { against: Some(path), ..of(&changed) });
    assert!(!agrees && text.contains("changed.img is damaged"), "{text}");
}
