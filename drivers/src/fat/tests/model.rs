//! Random operations on a volume and on a plain map of what should be there, with a device that
//! fails at random and operations that are dropped half-way.
//!
//! What an operation did that failed or was dropped, nobody knows but the volume, and only of the
//! paths it was about; everything else must be as the map says at all times.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PATHS: [&str; 10] = [
    "a.txt",
    "Long name, number two.text",
    "d",
    "d/x",
    "d/Noch ein längerer Name",
    "d/e",
    "d/e/z.bin",
    "f",
    "f/y",
    "f/another long name",
];

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    MakeDirectory(usize),
    Remove(usize),
    Write { path: usize, offset: usize, bytes: usize, seed: u32 },
    Truncate { path: usize, bytes: usize },
    Rename(usize, usize),
    Read { path: usize, offset: usize, bytes: usize },
    Sync,
}

/// What befalls an operation.
#[derive(Clone, Debug)]
enum Fate {
    Nothing,
    /// The device fails its operation of this number.
    Fails(usize, StorageError),
    /// The future is dropped after so many polls.
    Dropped(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || 0..PATHS.len();
    prop_oneof![
        1 => path().prop_map(Step::Create),
        2 => path().prop_map(Step::MakeDirectory),
        2 => path().prop_map(Step::Remove),
        6 => (path(), 0usize..40_000, prop_oneof![0usize..3000, 30_000usize..50_000], any::<u32>())
            .prop_map(|(path, offset, bytes, seed)| Step::Write { path, offset, bytes, seed }),
        1 => (path(), 0usize..60_000).prop_map(|(path, bytes)| Step::Truncate { path, bytes }),
        1 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        3 => (path(), 0usize..90_000, 0usize..70_000)
            .prop_map(|(path, offset, bytes)| Step::Read { path, offset, bytes }),
        1 => Just(Step::Sync),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    let error = prop_oneof![
        Just(StorageError::Media),
        Just(StorageError::TimedOut),
        Just(StorageError::OutOfMemory),
    ];
    prop_oneof![
        6 => Just(Fate::Nothing),
        1 => (0usize..8, error).prop_map(|(at, error)| Fate::Fails(at, error)),
        1 => (1usize..30).prop_map(Fate::Dropped),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Directory,
    File(Vec<u8>),
}

type Map = BTreeMap<String, Item>;

/// What the operation should do to the map; `None` where it should be refused.
fn applied(map: &Map, step: &Step) -> Option<Map> {
    let mut after = map.clone();
    let has_parent = |path: &str| match path.rsplit_once('/') {
        Some((parent, _)) => map.get(parent) == Some(&Item::Directory),
        None => true,
    };
    let new = |path: usize| {
        let path = PATHS[path];
        (has_parent(path) && !map.contains_key(path)).then(|| String::from(path))
    };
    match step {
        Step::Create(path) => drop(after.insert(new(*path)?, Item::File(vec![]))),
        Step::MakeDirectory(path) => drop(after.insert(new(*path)?, Item::Directory)),
        Step::Remove(path) => {
            let inside = format!("{}/", PATHS[*path]);
            if map.keys().any(|path| path.starts_with(&inside)) {
                return None;
            }
            after.remove(PATHS[*path])?;
        }
        Step::Write { path, offset, bytes, seed } => {
            let path = PATHS[*path];
            if !has_parent(path) {
                return None;
            }
            let file = after.entry(path.to_string()).or_insert(Item::File(vec![]));
            let Item::File(contents) = file else { return None };
            if *bytes > 0 {
                contents.resize(contents.len().max(offset + bytes), 0);
                contents[*offset..offset + bytes].copy_from_slice(&pattern(*seed, *bytes));
            }
        }
        Step::Truncate { path, bytes } => {
            let Item::File(contents) = after.get_mut(PATHS[*path])? else { return None };
            contents.resize(*bytes, 0);
        }
        Step::Rename(from, to) => {
            let (from, to) = (PATHS[*from], PATHS[*to]);
            let inside = format!("{from}/");
            if from == to && map.contains_key(from) {
                return Some(after);
            }
            if map.contains_key(to) || !has_parent(to) || to.starts_with(&inside) {
                return None;
            }
            after.insert(to.to_string(), after.get(from)?.clone());
            after.remove(from);
            for (path, item) in map.iter().filter(|(path, _)| path.starts_with(&inside)) {
                after.remove(path);
                after.insert(format!("{to}/{}", &path[inside.len()..]), item.clone());
            }
        }
        Step::Read { path, .. } => {
            let Some(Item::File(_)) = map.get(PATHS[*path]) else { return None };
        }
        Step::Sync => {}
    }
    Some(after)
}

async fn carried_out(
    volume: &Volume<Rc<RamDisk>>,
    step: &Step,
) -> Result<Option<Vec<u8>>, FatError> {
    match step {
        Step::Create(path) => volume.create(PATHS[*path]).await?,
        Step::MakeDirectory(path) => volume.make_directory(PATHS[*path]).await?,
        Step::Remove(path) => volume.remove(PATHS[*path]).await?,
        Step::Write { path, offset, bytes, seed } => {
            let bytes = pattern(*seed, *bytes);
            let path = PATHS[*path];
            let count = volume.write(path, *offset as u64, &bytes, Missing::Create).await?;
            assert_eq!(count, bytes.len());
        }
        Step::Truncate { path, bytes } => volume.truncate(PATHS[*path], *bytes as u64).await?,
        Step::Rename(from, to) => volume.rename(PATHS[*from], PATHS[*to]).await?,
        Step::Read { path, offset, bytes } => {
            let mut buf = vec![0; *bytes];
            let count = volume.read(PATHS[*path], *offset as u64, &mut buf).await?;
            buf.truncate(count);
            return Ok(Some(buf));
        }
        Step::Sync => volume.sync().await?,
    }
    Ok(None)
}

/// The paths an operation that failed may have changed.
fn is_touched(step: &Step, path: &str) -> bool {
    let under = |root: usize| {
        let root = PATHS[root];
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match step {
        Step::Create(at) | Step::MakeDirectory(at) | Step::Remove(at) => under(*at),
        Step::Write { path, .. } | Step::Truncate { path, .. } => under(*path),
        Step::Rename(from, to) => under(*from) || under(*to),
        Step::Read { .. } | Step::Sync => false,
    }
}

/// All that is on the volume.
fn found(volume: &Volume<Rc<RamDisk>>) -> Map {
    let mut map = Map::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for entry in run(volume.list(&directory)).expect("it can be listed") {
            let path = format!("{directory}{}", entry.name);
            let item = if entry.metadata.is_directory() {
                directories.push(format!("{path}/"));
                Item::Directory
            } else {
                let contents = read_all(volume, &path, 40_000).expect("it can be read");
                assert_eq!(contents.len() as u64, entry.metadata.bytes);
                Item::File(contents)
            };
            map.insert(path, item);
        }
    }
    map
}

/// The same as the other implementation sees it.
fn found_by_others(image: Vec<u8>) -> Map {
    let fs = foreign(image);
    let mut map = Map::new();
    let mut directories = vec![(String::new(), fs.root_dir())];
    while let Some((above, directory)) = directories.pop() {
        for entry in directory.iter().map(|entry| entry.expect("an entry")) {
            let name = entry.file_name();
            let path = format!("{above}{name}");
            if name == "." || name == ".." {
            } else if entry.is_dir() {
                directories.push((format!("{path}/"), entry.to_dir()));
                map.insert(path, Item::Directory);
            } else {
                let mut contents = Vec::new();
                entry.to_file().read_to_end(&mut contents).expect("read");
                map.insert(path, Item::File(contents));
            }
        }
    }
    map
}

fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
    }
    None
}

fn played(shape: Shape, block: u32, steps: &[(Step, Fate)]) {
    let bench = mounted(formatted(shape), block).expect("it mounts");
    let (disk, volume) = (&bench.disk, &bench.volume);
    disk.pace.set(Pace::SecondPoll);
    let mut map = Map::new();
    for (step, fate) in steps {
        let polls = match fate {
            Fate::Dropped(polls) => *polls,
            Fate::Fails(at, error) => {
                let mut errors = vec![None; *at];
                errors.insert(0, Some(*error));
                disk.errors.replace(errors);
                usize::MAX
            }
            Fate::Nothing => usize::MAX,
        };
        let outcome = polled(carried_out(volume, step), polls);
        let went_wrong = matches!(outcome, None | Some(Err(FatError::Device(_))));
        disk.errors.borrow_mut().clear();
        let should = applied(&map, step);
        match outcome {
            Some(Ok(read)) => {
                let after = should.unwrap_or_else(|| panic!("{step:?} should be refused"));
                if let (Some(read), Step::Read { path, offset, bytes }) = (read, step) {
                    let Some(Item::File(contents)) = map.get(PATHS[*path]) else {
                        panic!("a file")
                    };
                    let start = (*offset).min(contents.len());
                    let end = (offset + bytes).min(contents.len()).max(start);
                    assert!(read == contents[start..end], "{step:?}");
                }
                map = after;
            }
            Some(Err(error)) if !went_wrong => {
                assert!(should.is_none(), "{step:?}: {error}");
            }
            _ => {
                let found = found(volume);
                let mut seen: Vec<_> = map.keys().chain(found.keys()).collect();
                seen.dedup();
                for path in seen.into_iter().filter(|path| !is_touched(step, path)) {
                    assert!(found.get(path) == map.get(path), "{step:?} {fate:?} changed {path}");
                }
                map = found;
            }
        }
    }
    assert!(found(volume) == map);
    run(volume.sync()).expect("the device is well again");
    let image = disk.bytes.borrow().clone();
    tools::check(&image);
    assert!(found_by_others(image) == map);
    assert_eq!(bench.machine.memory().lent, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_volume_is_as_the_model_says(
        steps in proptest::collection::vec((step(), fate()), 1..60),
        shape in prop_oneof![Just((FAT12, 512)), Just((FAT16, 512)), Just((FAT12_4K, 4096)), Just((FAT12_4K, 512))],
    ) {
        played(shape.0, shape.1, &steps);
    }
}
