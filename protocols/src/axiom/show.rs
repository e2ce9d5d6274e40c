//! Authority as text for people: commits, who holds what, and what was derived from what.
//!
//! Everything is a [`Display`] over what is there: nothing is allocated, and nothing recurses, so a
//! chain of derivations of any length is shown on any stack.
//!
//! ```text
//! process 2 shell (of 1): frames 3 of 100 given, threads 0 of 4 given, …
//!   0.1     capability 4: Endpoint 7, SEND | DUPLICATE
//!
//! capability 1: Endpoint 7, all rights, held by 1 init at 0.1
//!   capability 4: SEND | DUPLICATE, held by 2 shell at 0.1
//! ```

use core::fmt::{self, Display};

use super::chain::{Cause, Hash, Record};
use super::commit::{Budget, CapabilityId, Commit, Name, ObjectId};
use super::state::{Capability, Object, State};
use crate::abi::{Handle, ObjectKind, Rights};

/// A value as people read it.
pub(super) trait Shown {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! shown {
    ($($type:ty: |$value:ident, $f:ident| $show:expr;)*) => {$(
        impl Shown for $type {
            fn show(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $value = self;
                $show
            }
        }
    )*};
}

shown! {
    u8: |value, f| value.fmt(f);
    u32: |value, f| value.fmt(f);
    u64: |value, f| value.fmt(f);
    i32: |value, f| value.fmt(f);
    ObjectId: |value, f| value.0.fmt(f);
    CapabilityId: |value, f| value.0.fmt(f);
    Hash: |value, f| value.fmt(f);
    [u8; 16]: |value, f| value.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
    Handle: |value, f| write!(f, "{}.{}", value.index(), value.generation());
    Rights: |value, f| match (value.is_all(), value.is_empty()) {
        (true, _) => f.write_str("all rights"),
        (_, true) => f.write_str("no rights"),
        _ => bitflags::parser::to_writer(value, f),
    };
    ObjectKind: |value, f| write!(f, "{value:?}");
    // A program says what it is called: what it says must not steer a terminal.
    Name: |value, f| value.as_str().escape_debug().fmt(f);
    Budget: |value, f| write!(
        f,
        "{}, {}, {}, {}",
        Count(value.frames, "frame"),
        Count(value.threads.into(), "thread"),
        Count(value.handles.into(), "handle"),
        Count(value.messages.into(), "message")
    );
}

/// Shows a part of a commit or state: its number, handle as `slot.generation`, rights by name.
pub(super) struct Show<'a>(pub &'a dyn Shown);

impl Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// `ProcessKilled process=3`.
impl Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        let mut result = Ok(());
        self.fields(&mut |name, value| result = result.and_then(|()| write!(f, " {name}={value}")));
        result
    }
}

/// What it came of: `kernel`, or `core 1 #77`, its place in that core's SysLog.
impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("kernel"),
            Self::Call { core, sequence } => write!(f, "core {core} #{sequence}"),
        }
    }
}

/// One line: number, seconds since its epoch's boot, cause, commit.
impl Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, time_us, cause, commit } = self;
        let (seconds, micros) = (time_us / 1_000_000, time_us % 1_000_000);
        write!(f, "{sequence:>6} {seconds:>5}.{micros:06} ({cause}) {commit}")
    }
}

/// A process by number and name.
struct Who<'a>(&'a State, u32);

impl Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.process(self.1) {
            Some(process) => write!(f, "{} {}", self.1, Show(&process.name)),
            None => write!(f, "{} (ended)", self.1),
        }
    }
}

/// An object by kind and number, with what its commit says of it.
struct What<'a>(&'a State, ObjectId);

impl Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(object) = self.0.object(self.1) else { return write!(f, "nothing") };
        write!(f, "{:?} {}", object.kind, self.1.0)?;
        if has_detail(object.kind) { write!(f, " ({})", Detail(self.0, object)) } else { Ok(()) }
    }
}

/// Whether a commit says more of such an object than its kind.
const fn has_detail(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Process
            | ObjectKind::Thread
            | ObjectKind::Memory
            | ObjectKind::Device
            | ObjectKind::PortRange
    )
}

/// What a commit says of an object.
struct Detail<'a>(&'a State, &'a Object);

impl Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Object { kind, process, detail, is_alive, .. } = *self.1;
        match kind {
            ObjectKind::Process => write!(f, "process {}", Who(self.0, process)),
            ObjectKind::Thread => {
                let ended = if is_alive { "" } else { ", ended" };
                write!(f, "thread {detail} of {}{ended}", Who(self.0, process))
            }
            ObjectKind::Memory => Count(detail, "page").fmt(f),
            ObjectKind::Device => Function(detail).fmt(f),
            ObjectKind::PortRange => {
                let (first, count) = (detail as u32, detail >> 32);
                write!(f, "{} from {first:#x}", Count(count, "port"))
            }
            _ => Ok(()),
        }
    }
}

/// A PCI function: segment in the upper half, then bus, device and function as PCI writes them.
struct Function(u64);

impl Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [segment, bus, device, function] =
            [self.0 >> 16 & 0xffff, self.0 >> 8 & 0xff, self.0 >> 3 & 0x1f, self.0 & 7];
        write!(f, "{segment:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

/// A process: budget, threads, and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// Of which state.
    pub state: &'a State,
    /// Which; one that does not live is said not to.
    pub process: u32,
}

impl Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, process: id } = *self;
        let Some(process) = state.process(id) else {
            return writeln!(f, "no process {id} lives");
        };
        write!(f, "process {}", Who(state, id))?;
        if process.parent != id {
            write!(f, " (of {})", Who(state, process.parent))?;
        }
        writeln!(f, ": {}", Show(&process.budget))?;
        if process.given != Budget::default() {
            writeln!(f, "  of that its children have {}", Show(&process.given))?;
        }
        if !process.threads.is_empty() {
            f.write_str("  threads:")?;
            process.threads.keys().try_for_each(|thread| write!(f, " {thread}"))?;
            writeln!(f)?;
        }
        for (handle, capability) in state.held(id) {
            let Some(held) = state.capability(capability) else { continue };
            let (what, rights) = (What(state, held.object), Show(&held.rights));
            let slot = handle.index();
            let generation = handle.generation();
            writeln!(f, "  {slot}.{generation:<5} capability {}: {what}, {rights}", capability.0)?;
        }
        for (process, address, mapping) in state.mappings() {
            if process == id {
                let what = What(state, mapping.object);
                writeln!(f, "  {address:#x}: {}", Pages(mapping.pages, &what, mapping.rights))?;
            }
        }
        Ok(())
    }
}

/// `3 pages of …, RECEIVE`.
struct Pages<'a>(u64, &'a What<'a>, Rights);

impl Display for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, {}", Count(self.0, "page"), self.1, Show(&self.2))
    }
}

/// So many of something: `1 page`, `2 pages`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64, pub &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// A capability and all that was derived from it, each below what it came of.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Of which state.
    pub state: &'a State,
    /// From which on.
    pub root: CapabilityId,
}

/// Deeper than this, the depth is a number.
const DEEPEST: usize = 24;

impl<'a> Tree<'a> {
    /// Its capabilities with their depth, each before what was derived from it.
    pub fn walk(self) -> impl Iterator<Item = (usize, CapabilityId, &'a Capability)> {
        let mut depth = 0;
        let first = Some(self.root).filter(|root| self.state.capability(*root).is_some());
        let mut next = first;
        core::iter::from_fn(move || {
            let (id, at) = (next?, depth);
            let held = self.state.capability(id)?;
            next = self.state.children(id).next();
            if next.is_some() {
                depth += 1;
                return Some((at, id, held));
            }
            // Up to the first that has another child after the one this comes from.
            let mut child = id;
            while child != self.root && next.is_none() {
                let Some(parent) = self.state.capability(child).and_then(|held| held.parent) else {
                    break;
                };
                next = self.state.child_after(parent, child);
                if next.is_none() {
                    depth -= 1;
                }
                child = parent;
            }
            Some((at, id, held))
        })
    }
}

impl Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state;
        for (depth, id, held) in self.walk() {
            let indent = 2 * depth.min(DEEPEST);
            write!(f, "{:indent$}", "")?;
            if depth > DEEPEST {
                write!(f, "({depth} deep) ")?;
            }
            write!(f, "capability {}: ", id.0)?;
            if depth == 0 {
                write!(f, "{}, ", What(state, held.object))?;
            }
            let (who, handle) = (Who(state, held.process), Show(&held.handle));
            writeln!(f, "{}, held by {who} at {handle}", Show(&held.rights))?;
            for (process, address) in state.mapped_through(id) {
                let Some(mapping) = state.mapping(process, address) else { continue };
                let (who, pages) = (Who(state, process), Count(mapping.pages, "page"));
                writeln!(f, "{:indent$}  {pages} mapped by {who} at {address:#x}", "")?;
            }
        }
        Ok(())
    }
}

/// Everything: which log, every process, every tree, and objects that nobody holds.
#[derive(Clone, Copy, Debug)]
pub struct Overview<'a>(pub &'a State);

impl Display for Overview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0;
        let Some(log) = state.log() else { return writeln!(f, "no log has begun") };
        writeln!(f, "log {}, epoch {}", Show(&log), state.epoch())?;
        if state.epoch() == 0 {
            return Ok(());
        }
        writeln!(f, "booted {}", state.measured())?;
        for (process, _) in state.processes() {
            write!(f, "\n{}", Holder { state, process })?;
        }
        for (root, _) in state.capabilities().filter(|(_, held)| held.parent.is_none()) {
            write!(f, "\n{}", Tree { state, root })?;
        }
        let mut heading = "\nobjects that no capability names:\n";
        for (id, object) in state.objects().filter(|(_, object)| object.capabilities == 0) {
            write!(f, "{heading}  object {}: ", id.0)?;
            let detail = Detail(state, object);
            match object.kind {
                // Its detail says what it is.
                ObjectKind::Process | ObjectKind::Thread => detail.fmt(f)?,
                kind if has_detail(kind) => write!(f, "{kind:?} ({detail})")?,
                kind => write!(f, "{kind:?}")?,
            }
            writeln!(f, "{}", if object.mappings > 0 { ", mapped" } else { "" })?;
            heading = "";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
