//! Who may write to which disk: nobody, until it is said.

use alloc::collections::BTreeMap;
use alloc::string::String;
use drivers::storage::Writable;

/// What was said at the shell, by name.
static SAID: spin::Mutex<BTreeMap<String, Writable>> = spin::Mutex::new(BTreeMap::new());

/// Says whether the shell and ring 3 may write to the disk or partition `name`, this boot.
pub fn allow(name: &str, access: Writable) {
    SAID.lock().insert(String::from(name), access);
}

/// Forgets what was said of `name`: it is gone, and what gets its name next is another disk.
pub fn forget(name: &str) {
    SAID.lock().remove(name);
}

/// What the kernel itself writes to right now.
static RESERVED: spin::Mutex<Option<String>> = spin::Mutex::new(None);

/// Says on which partition the kernel keeps its log from now on.
pub fn reserve(name: Option<&str>) {
    *RESERVED.lock() = name.map(String::from);
}

/// The partition that the kernel keeps its log on.
pub fn reserved() -> Option<String> {
    RESERVED.lock().clone()
}

/// Whether they may write to `name`, a part of `whole` (or that itself).
pub fn allowed(name: &str, whole: &str) -> Writable {
    let said = SAID.lock();
    if let Some(access) = said.get(name).or_else(|| said.get(whole)) {
        return *access;
    }
    let words = hal::boot::info().command_line.options();
    let named = words.filter(|(key, _)| *key == "disk.write").filter_map(|(_, value)| value);
    let is_meant = |word: &str| word == "all" || word == name || word == whole;
    if named.flat_map(|list| list.split(',')).any(is_meant) { Writable::Yes } else { Writable::No }
}
