//! Volumes against the tools everybody has: `mkfs.vfat`, `mcopy`, `fsck.vfat`. Where they are not
//! installed, only the log says so.

use std::eprintln;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use hadris_fat::async_::check as check_volume;
use hadris_storage::{BlockSize, MemDevice};

use super::*;

/// A file of one's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(contents: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("pollux-fat-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, contents).expect("a file for the tools");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a tool. `None`: there is none of that name.
fn tool(name: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let folders =
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/opt/homebrew/sbin"];
    let found =
        folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    let Some(path) = found else {
        eprintln!("{name} is not installed: not checked with it");
        return None;
    };
    let output = Command::new(path).args(arguments).output().expect("it runs");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), text))
}

/// Neither the filesystem's own check nor, if there is one, `fsck.vfat` finds anything wrong with
/// the volume.
pub(crate) fn check(image: &[u8]) {
    let block = BlockSize::new(512).expect("not zero");
    let mut wrong = Vec::new();
    let mut scratch = vec![0; 64 << 10];
    let look = |finding: &hadris_fs::Finding<'_>| wrong.push(finding.to_string());
    run(check_volume(&mut MemDevice::new(image, block), &mut scratch, look)).expect("checked");
    assert!(wrong.is_empty(), "{wrong:?}");
    let scratch = Scratch::new(image);
    let path = scratch.0.to_str().expect("a path");
    if let Some((is_sound, said)) = tool("fsck.vfat", &["-n", path]) {
        assert!(is_sound, "fsck.vfat -n: {said}");
    }
}

#[test]
fn volumes_of_mkfs_and_mtools() {
    let shapes = [
        ("12", 512, 2 << 20),
        ("16", 512, 16 << 20),
        ("16", 4096, 24 << 20),
        ("32", 512, 40 << 20),
    ];
    for (bits, block, bytes) in shapes {
        let scratch = Scratch::new(&vec![0; bytes]);
        let path = scratch.0.to_str().expect("a path");
        let cluster = if bits == "12" { "4" } else { "1" };
        let sector = block.to_string();
        let made =
            tool("mkfs.vfat", &["-F", bits, "-S", &sector, "-s", cluster, "-n", "TOOLS", path]);
        let Some((is_made, said)) = made else { return };
        assert!(is_made, "{said}");
        let file = Scratch::new(&pattern(5, 100_000));
        let from = file.0.to_str().expect("a path");
        let Some((is_made, said)) = tool("mmd", &["-i", path, "::/a directory"]) else { return };
        assert!(is_made, "{said}");
        let to = "::/a directory/A long name made by mcopy.data";
        let copied = tool("mcopy", &["-i", path, from, to]).expect("installed like mmd");
        assert!(copied.0, "{}", copied.1);
        let bench = mounted(fs::read(path).expect("read"), block).expect("it mounts");
        let volume = &bench.volume;
        assert_eq!(names_in(volume, "/a directory"), ["A long name made by mcopy.data"]);
        let read = read_all(volume, &to[2..], 65536);
        assert!(read == Ok(pattern(5, 100_000)));
        assert_eq!(run(volume.label()), Ok(Some(String::from("TOOLS"))));
        let ours = "/a directory/Written by us.text";
        let bytes = pattern(6, 70_000);
        assert_eq!(run(volume.write(ours, 0, &bytes, Missing::Create)), Ok(70_000));
        run(volume.sync()).expect("synced");
        check(&bench.disk.bytes.borrow());
        fs::write(path, &*bench.disk.bytes.borrow()).expect("written");
        let shown = tool("mtype", &["-i", path, &format!("::{ours}")]);
        assert!(shown.is_some_and(|(is_shown, _)| is_shown));
    }
}
