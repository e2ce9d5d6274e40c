//! What is said where something is wrong: flawed headers, damage behind another log, files that are
//! no log, closed pipes; and logs that are saved.

use super::*;
use crate::replay::output;
use protocols::commit_log::{PARTITION_TYPE, Partition};
use std::io::{self, Write};

/// A disk with a history on it: its bytes, and where its partition for commits is.
fn on_disk(folder: &Folder, history: &History) -> (PathBuf, Vec<u8>, usize, Partition) {
    let path = folder.path("disk.img");
    let partition = disk(&path);
    let mut file = std::fs::File::open(&path).unwrap();
    let start = crate::partitions::find(&mut file, PARTITION_TYPE).unwrap()[0].start;
    write(&path, start, &partition, history);
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes, start as usize, partition)
}

/// The same with a bit of record 9 changed.
fn tampered(folder: &Folder, history: &History, bytes: &[u8]) -> PathBuf {
    let record = &history.records[9];
    let at = bytes.windows(record.len()).rposition(|part| part == record).unwrap();
    let mut changed = bytes.to_vec();
    changed[at + 2] ^= 1;
    folder.file("tampered.img", changed)
}

#[test]
fn a_flawed_header_is_named_beside_a_whole_chain() {
    let (folder, history) = (Folder::new(), History::new());
    let (_, bytes, start, _) = on_disk(&folder, &history);
    let (text, _) = said(&of(&folder.file("sound.img", &bytes)));
    assert!(!text.contains("warning"), "{text}");
    for (slot, block) in [(0, 0), (4096, 8)] {
        for (change, flaw) in [
            (100, "has a wrong checksum: the other one is used"),
            (0, "holds no header: the other one is used"),
        ] {
            let mut changed = bytes.clone();
            changed[start + slot + change] ^= 4;
            let file = folder.file("flawed.img", &changed);
            let (text, agrees) = said(&of(&file));
            let warning = format!("the header in block {block} {flaw}");
            assert!(agrees && text.contains("the chain is whole; after record 11:"), "{text}");
            assert!(text.contains(&format!("\nwarning: {warning}\n")), "{text}");
            let (output, _) =
                replay(&ReplayOptions { json: Some("-".into()), ..of(&file) }).unwrap();
            let value: Value = serde_json::from_str(&output.out).unwrap();
            assert_eq!(value["verdict"]["warnings"][0], warning);
            assert!(text.contains("after the last one here may be missing\n"), "{text}");
            assert_eq!(value["verdict"]["whole"], true);
            let against = Some(file);
            let (text, agrees) = said(&ReplayOptions { against, ..of(&folder.path("sound.img")) });
            assert!(agrees && text.contains(&format!("flawed.img: {warning}")), "{text}");
        }
        let mut erased = bytes.clone();
        erased[start + slot..][..512].fill(0);
        let (text, agrees) = said(&of(&folder.file("erased.img", erased)));
        assert!(agrees && text.contains(&format!("block {block} is blank: ")), "{text}");
        assert!(text.contains("unless it was erased"), "{text}");
    }
    // Beside damage: what the newer header said to be durable may then be a torn tail, but not both.
    let file = tampered(&folder, &history, &bytes);
    for (slot, is_newer) in [(0, true), (4096, false)] {
        let mut changed = std::fs::read(&file).unwrap();
        changed[start + slot + 100] ^= 4;
        let (text, agrees) = said(&of(&folder.file("both.img", changed)));
        assert!(
            text.contains(&format!("warning: the header in block {} has", slot / 512)),
            "{text}"
        );
        assert_eq!(agrees, is_newer, "{text}");
        let both = "warning: one power cut does not leave both: ";
        let refused = "first divergence at record 9: tampered with or damaged: ";
        assert!(text.contains(if is_newer { both } else { refused }), "{text}");
    }
}

#[test]
fn damage_is_named_whichever_log_has_it() {
    let (folder, history) = (Folder::new(), History::new());
    let (path, bytes, ..) = on_disk(&folder, &history);
    let changed = tampered(&folder, &history, &bytes);
    let options = ReplayOptions { against: Some(changed.clone()), ..of(&path) };
    let (text, agrees) = said(&options);
    assert!(!agrees && text.contains("the chain is whole; after record 11:"), "{text}");
    assert!(text.contains("the same up to record 8, where "), "{text}");
    assert!(text.contains("tampered.img is damaged\n"), "{text}");
    let damage = "tampered.img: the log is damaged at record 9: tampered with or damaged: block";
    assert!(text.contains(damage), "{text}");
    let (output, _) = replay(&ReplayOptions { list: true, ..options }).unwrap();
    assert!(output.err.contains(damage), "{}", output.err);
    for at in [9, 11, 12, 9000] {
        let (text, agrees) = said(&ReplayOptions { at: Some(at), ..of(&changed) });
        let why =
            format!("record {at} cannot be reached: the log is damaged at record 9: tampered");
        assert!(!agrees && text.contains(&why), "{text}");
    }
    let (text, agrees) = said(&ReplayOptions { list: true, from: Some(10), ..of(&changed) });
    assert!(!agrees && text.contains("the log is damaged at record 9"), "{text}");
    let (text, agrees) = said(&ReplayOptions { list: true, from: Some(12), ..of(&path) });
    assert!(!agrees && text.ends_with("there is no record 12: the last is 11"), "{text}");
    let (text, agrees) = said(&ReplayOptions { save: Some(folder.path("s")), ..of(&changed) });
    assert!(!agrees && text.contains("s: not written: "), "{text}");
    assert!(!folder.path("s").exists());
}

#[test]
fn logs_without_a_record_in_common_are_not_the_same() {
    let (folder, history) = (Folder::new(), History::new());
    let (before, _) = history.checkpoint.as_ref().unwrap();
    let late = raw::write(before, &history.records[before.next() as usize..]).unwrap();
    let late = folder.file("late", late);
    let early = file_of(&folder, "early", &history.records[..4]);
    let (text, agrees) = said(&ReplayOptions { against: Some(late.clone()), ..of(&early) });
    assert!(!agrees && text.contains("begins here, the other ends earlier"), "{text}");
    let early = file_of(&folder, "early", &history.records[..8]);
    let (text, agrees) = said(&ReplayOptions { against: Some(late), ..of(&early) });
    assert!(agrees && text.contains("the same before record 8, where"), "{text}");
}

#[test]
fn what_is_saved_is_the_same_log() {
    let (folder, history) = (Folder::new(), History::new());
    let (path, ..) = on_disk(&folder, &history);
    let (before, _) = history.checkpoint.as_ref().unwrap();
    let trimmed = raw::write(before, &history.records[before.next() as usize..]).unwrap();
    let trimmed = folder.file("trimmed", trimmed);
    let saved = folder.path("saved");
    for (from, records) in [(&path, "records written"), (&trimmed, "saved: 4 records written")] {
        let (text, agrees) = said(&ReplayOptions { save: Some(saved.clone()), ..of(from) });
        assert!(agrees && text.contains(records) && !text.contains("capability"), "{text}");
        let (text, agrees) = said(&ReplayOptions { against: Some(saved.clone()), ..of(from) });
        assert!(agrees && text.contains("are the same log"), "{text}");
        let state = Some(history.replay.state().hash());
        let (text, agrees) = said(&ReplayOptions { expect: state, ..of(&saved) });
        assert!(agrees && text.contains("saved: a file of records"), "{text}");
    }
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(&trimmed).unwrap());
    // What is read stays as it is, by whatever name.
    let link = folder.path("link");
    std::os::unix::fs::symlink(&trimmed, &link).unwrap();
    for name in [&trimmed, &link] {
        for options in [
            ReplayOptions { save: Some(name.clone()), ..of(&trimmed) },
            ReplayOptions { json: Some(name.clone()), ..of(&trimmed) },
            ReplayOptions { dot: Some(name.clone()), against: Some(trimmed.clone()), ..of(&path) },
        ] {
            let (text, agrees) = said(&options);
            assert!(!agrees && text.contains("is read: it cannot be written to as well"), "{text}");
        }
    }
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(&trimmed).unwrap());
}

#[test]
fn what_cannot_be_read_is_listed_as_bytes() {
    let (folder, history) = (Folder::new(), History::new());
    let mut broken = history.records.clone();
    broken[5] = vec![0xff; 3];
    let file = file_of(&folder, "broken", &broken);
    let options = ReplayOptions { list: true, json: Some("-".into()), ..of(&file) };
    let (output, agrees) = replay(&options).unwrap();
    let lines: Vec<Value> =
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!agrees && lines.len() == 12);
    assert_eq!((&lines[5]["sequence"], &lines[5]["bytes"]), (&5.into(), &"ffffff".into()));
    assert!(output.err.contains("first divergence at record 5"), "{}", output.err);
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    let folder = Folder::new();
    let forms = "nor such a partition by itself, nor a file of records";
    let mut mbr = [0; 512];
    mbr[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    for (contents, why) in [
        (&b""[..], "Seen: no bytes; no GUID partition table"),
        (&[0; 4096], "Seen: 4096 bytes that begin with zeros; no GUID"),
        (b"a\x1b\xff", "Seen: 3 bytes that begin with 61 1b ff (`a\\x1b\\xff`); no GUID"),
        (&mbr, "Seen: 512 bytes that begin with a master boot record with partitions"),
    ] {
        let (text, agrees) = said(&of(&folder.file("none", contents)));
        assert!(!agrees && text.contains(why) && text.contains(forms), "{text}");
    }
    for (contents, why) in [
        (&b"PLXRECS1"[..], "ends too soon"),
        (&[&b"PLXRECS1"[..], &[1; 44]].concat(), "ends too soon"),
        (&[&b"PLXRECS1"[..], &[1], &[0; 43]].concat(), "no state before that"),
        (&[&b"PLXRECS1"[..], &[0; 44]].concat(), "the file of records holds none"),
    ] {
        let (text, agrees) = said(&of(&folder.file("none", contents)));
        assert!(!agrees && text.contains(why), "{text}");
    }
    let (text, _) = said(&of(Path::new("/dev/null")));
    assert!(text.contains(forms), "{text}");
    let (text, agrees) = said(&of(&folder.path("nowhere")));
    assert!(!agrees && text.contains("nowhere: cannot open it"), "{text}");
    let (text, agrees) = said(&of(&std::env::temp_dir()));
    assert!(!agrees && text.contains("it is a folder"), "{text}");
}

#[test]
fn partitions_without_a_usable_header_are_recognized() {
    let (folder, history) = (Folder::new(), History::new());
    let (_, bytes, start, partition) = on_disk(&folder, &history);
    let mut alone = bytes[start..][..(partition.blocks * 512) as usize].to_vec();
    alone[100] ^= 1;
    alone[4096 + 100] ^= 1;
    let (text, agrees) = said(&of(&folder.file("alone.img", &alone)));
    assert!(!agrees && text.contains("; at byte 0 a log's header that has a wrong checksum"));
    assert!(text.contains("; at byte 4096 a log's header that has"), "{text}");
    let mut whole = bytes;
    whole[start..][..alone.len()].copy_from_slice(&alone);
    let (text, _) = said(&of(&folder.file("whole.img", &whole)));
    assert!(text.contains("partition 2: no sound header: block 0 has a wrong checksum"), "{text}");

    // A table, but no such partition in it.
    let other = folder.path("other.img");
    std::fs::write(&other, &whole).unwrap();
    let mut config = gpt::GptConfig::new().writable(true).open(&other).unwrap();
    config.remove_partition(2);
    config.write().unwrap();
    let (text, agrees) = said(&of(&other));
    let none =
        "other.img: its GUID partition table has no partition of type pollux-commits (a3c1f0d2-";
    assert!(!agrees && text.contains(none), "{text}");
}

/// A pipe that is closed, or a disk that is full.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    output::print(&mut Failing(io::ErrorKind::BrokenPipe), "x\n").unwrap();
    output::print(&mut Failing(io::ErrorKind::StorageFull), "x\n").unwrap_err();
}
