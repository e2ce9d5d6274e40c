//! Loss of power at any moment: whatever the device had not been told to keep may be gone, in any
//! combination.

use proptest::prelude::*;

use super::*;
use crate::ram_disk::Event;

/// The disk as it may be when the power goes after `events` of its history: what was flushed is
/// there, of what came after, what `fate` says.
fn remains(
    before: &[u8],
    history: &[Event],
    events: usize,
    mut is_kept: impl FnMut() -> bool,
) -> Vec<u8> {
    let mut image = before.to_vec();
    let history = &history[..events];
    let flushed = history.iter().rposition(|event| matches!(event, Event::Flushed));
    for (at, event) in history.iter().enumerate() {
        if let Event::Written(start, bytes) = event
            && (Some(at) < flushed || is_kept())
        {
            image[*start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
    image
}

/// Whether both tables of a FAT16 volume say alike whether it is clean. In between, when the first
/// has been marked clean and the second not yet, all else is on the disk.
fn is_mark_whole(image: &[u8]) -> bool {
    let word = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
    let (sector, reserved, sectors) = (word(11), word(14), word(22));
    let mark = reserved * sector + 2;
    word(mark) == word(mark + sectors * sector)
}

/// Changes this and that, but never what lies in `/safe`.
fn changed(volume: &Volume<Rc<RamDisk>>, round: u32) {
    let ours = format!("/work/File of round number {round}");
    let bytes = 1 + (round * 7919) as usize % 60_000;
    run(volume.write(&ours, 0, &pattern(round, bytes), Missing::Create)).expect("written");
    // Those of every third round have been renamed.
    if round > 2 && round % 3 != 2 {
        run(volume.remove(&format!("/work/File of round number {}", round - 2))).expect("gone");
    }
    let kept = "/work/one that stays";
    run(volume.write(kept, u64::from(round) * 900, &pattern(round, 1500), Missing::Create))
        .expect("written");
    if round.is_multiple_of(3) {
        run(volume.rename(&ours, &format!("/File of round number {round}"))).expect("renamed");
    }
    if round % 4 == 3 {
        run(volume.sync()).expect("synced");
    }
}

fn lost(shape: Shape, moments: &[(usize, u64)]) {
    let bench = mounted(formatted(shape), u32::from(shape.sector)).expect("it mounts");
    let volume = &bench.volume;
    let safe: Vec<_> = (0..6).map(|at| (format!("/safe/Safe file {at}"), 3000 * at + 1)).collect();
    run(volume.make_directory("/safe")).expect("made");
    run(volume.make_directory("/work")).expect("made");
    for (at, (path, bytes)) in safe.iter().enumerate() {
        let bytes = pattern(at as u32, *bytes);
        run(volume.write(path, 0, &bytes, Missing::Create)).expect("written");
    }
    run(volume.sync()).expect("synced");
    let before = bench.disk.bytes.borrow().clone();
    bench.disk.history.replace(Some(Vec::new()));
    for round in 0..14 {
        // The last rounds are never synced.
        changed(volume, round);
    }
    let history = bench.disk.history.take().expect("kept");
    for (moment, fates) in moments {
        let mut fates = *fates;
        let is_kept = || {
            fates = fates.rotate_left(1);
            fates & 1 == 1
        };
        let image = remains(&before, &history, moment % (history.len() + 1), is_kept);
        let after = mounted(image.clone(), u32::from(shape.sector)).expect("it mounts");
        for (at, (path, bytes)) in safe.iter().enumerate() {
            let read = read_all(&after.volume, path, 20_000);
            assert!(read == Ok(pattern(at as u32, *bytes)), "{path} after {moment}");
        }
        let was_dirty = run(after.volume.kind()).expect("known").was_dirty;
        if shape.kind == FatType::Fat16 && !was_dirty && is_mark_whole(&image) {
            tools::check(&image);
        }
        // It can be used again.
        run(after.volume.write("/safe/More", 0, b"more", Missing::Create)).expect("written");
        run(after.volume.sync()).expect("synced");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_was_synced_stays(
        moments in proptest::collection::vec((any::<usize>(), any::<u64>()), 24),
        shape in prop_oneof![Just(FAT12), Just(FAT16), Just(FAT12_4K)],
    ) {
        lost(shape, &moments);
    }
}

#[test]
fn a_clean_volume_is_marked_dirty_before_it_is_changed() {
    let bench = mounted(filled(FAT16), 512).expect("it mounts");
    bench.disk.history.replace(Some(Vec::new()));
    run(bench.volume.create("/new")).expect("created");
    {
        let history = bench.disk.history.borrow();
        let events = history.as_deref().expect("kept");
        assert!(matches!(events, [Event::Written(..), .., Event::Flushed]));
    }
    let remounted =
        |bench: &Bench| mounted(bench.disk.bytes.borrow().clone(), 512).expect("mounts");
    let was_dirty = |bench: &Bench| run(remounted(bench).volume.kind()).expect("known").was_dirty;
    assert!(was_dirty(&bench));
    run(bench.volume.sync()).expect("synced");
    assert!(!was_dirty(&bench));
}
