//! A level-triggered interrupt line that several devices share.
//!
//! The line cannot say which of them asks. So when it fires, the handler masks it and raises all
//! owners that want interrupts; each looks at its device and re-arms; when all have, the line is
//! opened again. An owner that does not want interrupts (it polls) is neither raised nor waited for.
//!
//! ```text
//!        ┌────────── all raised owners have re-armed, or went away ──────────┐
//!        ▼                                                                   │
//!   OPEN: somebody wants, nobody is raised ── fires ──► CLOSED: owners are raised
//!                                                │
//!                                                └─ nobody's, all the time ─► STORM: closed; owners
//!        OPEN ◄──────────── tried again after a while ────────────────────────┘  are raised by a clock
//! ```
//!
//! A storm is a device that asks and that no owner silences. It is told from work by this: of
//! [`WINDOW`] times in a row, all but a hundredth came as soon as the line was open, and no owner
//! claimed them.
//!
//! Pure: the controller in front of the line is [`ioapic`](super::ioapic)'s. The handler calls
//! [`fired`](SharedLine::fired); it takes no lock.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Most owners of one line.
pub const OWNERS: usize = 16;
/// How often a line fires before that is judged.
pub const WINDOW: u32 = 100_000;
/// The same while a line that had a storm is tried again.
pub const TRIAL: u32 = 1_000;

/// State: a bit for each owner that wants interrupts, one for each that was raised and has not
/// re-armed, and one for a storm.
const WANTS: u64 = (1 << OWNERS) - 1;
const RAISED_SHIFT: u32 = OWNERS as u32;
const STORM: u64 = 1 << 63;

/// One line.
#[derive(Debug)]
pub struct SharedLine {
    state: AtomicU64,
    /// Each owner's latch as number + 1; 0: no owner.
    latches: [AtomicU16; OWNERS],
    /// Times it fired, and how many of them were somebody's or came late, since last judged.
    fired: AtomicU32,
    sound: AtomicU32,
    window: AtomicU32,
    /// When it was last opened.
    opened: AtomicU64,
}

/// One of the owners of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u8);

/// Whether an owner wants interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Wants {
    Interrupts,
    Nothing,
}

/// What is left of a line when an owner has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Others have it.
    Others,
    /// Nobody.
    Nobody,
}

/// What the handler is to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is somebody's.
    Sound,
    /// It is nobody's, and has become a storm just now.
    Storm,
}

/// Whether the controller has something to do: [`SharedLine::is_open`] may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Change {
    /// It may have.
    Possible,
    /// It has not.
    None,
}

impl Owner {
    fn wants(self) -> u64 {
        1 << self.0
    }

    fn raised(self) -> u64 {
        self.wants() << RAISED_SHIFT
    }
}

impl SharedLine {
    /// A line that nobody has.
    #[allow(clippy::new_without_default, reason = "a const initialiser for statics")]
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            latches: [const { AtomicU16::new(0) }; OWNERS],
            fired: AtomicU32::new(0),
            sound: AtomicU32::new(0),
            window: AtomicU32::new(WINDOW),
            opened: AtomicU64::new(0),
        }
    }

    /// A new owner, who wants nothing yet, and whose latch has that number. `None`: there are too
    /// many. Not to be called by two at a time.
    pub fn join(&self, latch: u16) -> Option<Owner> {
        let free = self.latches.iter().position(|taken| taken.load(Ordering::Relaxed) == 0)?;
        if self.latches.iter().all(|taken| taken.load(Ordering::Relaxed) == 0) {
            self.forget(WINDOW);
        }
        let owner = Owner(free as u8);
        self.state.fetch_and(!(owner.wants() | owner.raised()), Ordering::AcqRel);
        self.latches[free].store(latch + 1, Ordering::Release);
        Some(owner)
    }

    /// The owner goes. Not to be called by two at a time. Whether the line is open may have changed.
    pub fn leave(&self, owner: Owner) -> Left {
        let _ = self.set(owner, Wants::Nothing);
        self.latches[usize::from(owner.0)].store(0, Ordering::Release);
        let left = self.latches.iter().any(|taken| taken.load(Ordering::Relaxed) != 0);
        if left { Left::Others } else { Left::Nobody }
    }

    /// What the owner wants from now on.
    pub fn set(&self, owner: Owner, wants: Wants) -> Change {
        let both = owner.wants() | owner.raised();
        match wants {
            Wants::Nothing => self.state.fetch_and(!both, Ordering::AcqRel),
            Wants::Interrupts => {
                self.state.fetch_and(!owner.raised(), Ordering::AcqRel);
                self.state.fetch_or(owner.wants(), Ordering::AcqRel)
            }
        };
        Change::Possible
    }

    /// The owner has dealt with its device and waits again.
    pub fn rearm(&self, owner: Owner) -> Change {
        // A look before the locked operation: who was not raised has nothing to say.
        if self.state.load(Ordering::Acquire) & owner.raised() == 0 {
            return Change::None;
        }
        let before = self.state.fetch_and(!owner.raised(), Ordering::AcqRel);
        if is_open(before & !owner.raised()) { Change::Possible } else { Change::None }
    }

    /// The owner's device had asked: what the line fired for was somebody's.
    pub fn claim(&self) {
        self.sound.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the line may interrupt.
    pub fn is_open(&self) -> bool {
        is_open(self.state.load(Ordering::Acquire))
    }

    /// The controller has opened it, at that time.
    pub fn opened(&self, now: u64) {
        self.opened.store(now, Ordering::Relaxed);
    }

    /// It fired, and the controller has masked it: has owners raised, by the numbers of their
    /// latches. `at_once` is how soon after the opening is "as soon as it was open".
    pub fn fired(&self, now: u64, at_once: u64, raise: impl FnMut(u16)) -> Verdict {
        // As one: who joins in somebody's place is raised, or not waited for.
        let mut state = self.state.load(Ordering::Acquire);
        while let Err(other) = self.state.compare_exchange_weak(
            state,
            state | (state & WANTS) << RAISED_SHIFT,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            state = other;
        }
        self.raise(state & WANTS, raise);
        if now.saturating_sub(self.opened.load(Ordering::Relaxed)) > at_once {
            self.sound.fetch_add(1, Ordering::Relaxed);
        }
        let fired = self.fired.fetch_add(1, Ordering::Relaxed) + 1;
        let window = self.window.load(Ordering::Relaxed);
        if fired < window {
            return Verdict::Sound;
        }
        let is_storm = self.sound.load(Ordering::Relaxed) < window / 100;
        self.forget(WINDOW);
        if is_storm {
            self.state.fetch_or(STORM, Ordering::AcqRel);
            return Verdict::Storm;
        }
        Verdict::Sound
    }

    /// In a storm: has all owners that want interrupts raised, since nothing else will. Whether
    /// there is a storm.
    pub fn raise_in_storm(&self, raise: impl FnMut(u16)) -> bool {
        let state = self.state.load(Ordering::Acquire);
        if state & STORM != 0 {
            self.raise(state & WANTS, raise);
        }
        state & STORM != 0
    }

    /// The storm may be over: judged anew, and sooner.
    pub fn try_again(&self) -> Change {
        self.forget(TRIAL);
        self.state.fetch_and(!STORM, Ordering::AcqRel);
        Change::Possible
    }

    fn raise(&self, owners: u64, mut raise: impl FnMut(u16)) {
        for (number, latch) in self.latches.iter().enumerate() {
            if owners >> number & 1 != 0
                && let Some(latch) = latch.load(Ordering::Acquire).checked_sub(1)
            {
                raise(latch);
            }
        }
    }

    fn forget(&self, window: u32) {
        self.fired.store(0, Ordering::Relaxed);
        self.sound.store(0, Ordering::Relaxed);
        self.window.store(window, Ordering::Relaxed);
    }
}

fn is_open(state: u64) -> bool {
    let (wants, raised) = (state & WANTS, state >> RAISED_SHIFT & WANTS);
    state & STORM == 0 && wants != 0 && raised & wants == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const AT_ONCE: u64 = 10;

    fn fire(line: &SharedLine) -> Vec<u16> {
        let mut raised = Vec::new();
        let verdict = line.fired(AT_ONCE + 1, AT_ONCE, |latch| raised.push(latch));
        assert_eq!(verdict, Verdict::Sound);
        raised
    }

    #[test]
    fn all_who_want_are_raised_and_waited_for() {
        let line = SharedLine::new();
        assert!(!line.is_open());
        let [a, b, c] = [7, 8, 9].map(|latch| line.join(latch).unwrap());
        assert!(!line.is_open(), "nobody wants");
        let _ = (line.set(a, Wants::Interrupts), line.set(b, Wants::Interrupts));
        assert!(line.is_open());
        assert_eq!(fire(&line), [7, 8], "the third polls");
        assert!(!line.is_open());
        assert_eq!(line.rearm(a), Change::None);
        assert_eq!(line.rearm(a), Change::None);
        assert_eq!(line.rearm(c), Change::None);
        assert_eq!(line.rearm(b), Change::Possible);
        assert!(line.is_open());
    }

    #[test]
    fn who_polls_or_goes_is_not_waited_for() {
        let line = SharedLine::new();
        let [a, b, c] = [1, 2, 3].map(|latch| line.join(latch).unwrap());
        for owner in [a, b, c] {
            let _ = line.set(owner, Wants::Interrupts);
        }
        assert_eq!(fire(&line), [1, 2, 3]);
        let _ = line.rearm(a);
        let _ = line.set(b, Wants::Nothing);
        assert!(!line.is_open());
        assert_eq!(line.leave(c), Left::Others);
        assert!(line.is_open());
        assert_eq!(fire(&line), [1]);
        let _ = line.set(b, Wants::Interrupts);
        assert!(!line.is_open(), "the first has not looked yet");
        let _ = line.rearm(a);
        assert!(line.is_open());
        assert_eq!((line.leave(a), line.leave(b)), (Left::Others, Left::Nobody));
        assert!(!line.is_open());
    }

    #[test]
    fn there_is_an_end_to_owners() {
        let line = SharedLine::new();
        let owners: Vec<_> = (0..OWNERS as u16).map(|latch| line.join(latch).unwrap()).collect();
        assert_eq!(line.join(99), None);
        assert_eq!(line.leave(owners[3]), Left::Others);
        assert_eq!(line.join(99), Some(owners[3]));
    }

    /// Fires until judged; the verdict. Each time it comes as late as `late` says.
    fn judge(line: &SharedLine, owner: Owner, late: impl Fn(u32) -> u64) -> (u32, Verdict) {
        for times in 0.. {
            line.opened(0);
            let verdict = line.fired(late(times), AT_ONCE, |_| {});
            let _ = line.rearm(owner);
            if verdict == Verdict::Storm || line.fired.load(Ordering::Relaxed) == 0 {
                return (times + 1, verdict);
            }
        }
        unreachable!()
    }

    #[test]
    fn a_storm_ends_in_silence_and_is_tried_again() {
        let line = SharedLine::new();
        let owner = line.join(5).unwrap();
        let _ = line.set(owner, Wants::Interrupts);
        assert_eq!(judge(&line, owner, |_| AT_ONCE), (WINDOW, Verdict::Storm));
        assert!(!line.is_open());
        let mut raised = 0;
        assert!(line.raise_in_storm(|latch| raised += u32::from(latch)));
        assert_eq!((raised, line.rearm(owner)), (5, Change::None));
        let _ = line.try_again();
        assert!(line.is_open() && !line.raise_in_storm(|_| unreachable!()));
        assert_eq!(judge(&line, owner, |_| 0), (TRIAL, Verdict::Storm));
        let _ = line.try_again();
        assert_eq!(judge(&line, owner, |_| AT_ONCE + 1), (TRIAL, Verdict::Sound));
        assert_eq!(judge(&line, owner, |_| 0), (WINDOW, Verdict::Storm), "patient again");
    }

    #[test]
    fn work_is_no_storm() {
        let line = SharedLine::new();
        let owner = line.join(0).unwrap();
        let _ = line.set(owner, Wants::Interrupts);
        // Mostly at once, as under load.
        let late = |times: u32| if times.is_multiple_of(50) { AT_ONCE + 1 } else { 0 };
        assert_eq!(judge(&line, owner, late), (WINDOW, Verdict::Sound));
        // Always at once, but somebody's.
        for _ in 0..WINDOW / 100 {
            line.claim();
        }
        assert_eq!(judge(&line, owner, |_| 0), (WINDOW, Verdict::Sound));
    }

    proptest! {
        /// Whatever happens in whatever order, the line is open exactly when somebody wants and
        /// nobody who wants has still to look.
        #[test]
        fn it_is_open_when_it_has_to_be(steps in prop::collection::vec((0..4u8, 0..6usize), 1..200)) {
            let line = SharedLine::new();
            let mut owners: [Option<(Owner, bool, bool)>; 6] = [None; 6];
            for (step, at) in steps {
                match (step, owners[at]) {
                    (0, None) => owners[at] = line.join(at as u16).map(|owner| (owner, false, false)),
                    (0, Some((owner, ..))) => {
                        let _ = line.leave(owner);
                        owners[at] = None;
                    }
                    (1, Some((owner, wants, _))) => {
                        let next = if wants { Wants::Nothing } else { Wants::Interrupts };
                        let _ = line.set(owner, next);
                        owners[at] = Some((owner, !wants, false));
                    }
                    (2, Some((owner, wants, _))) => {
                        let _ = line.rearm(owner);
                        owners[at] = Some((owner, wants, false));
                    }
                    (3, _) if line.is_open() => {
                        let raised = fire(&line);
                        for (at, owner) in owners.iter_mut().enumerate() {
                            if let Some((_, wants, waits)) = owner {
                                prop_assert_eq!(*wants, raised.contains(&(at as u16)));
                                *waits |= *wants;
                            }
                        }
                    }
                    _ => {}
                }
                let there = || owners.iter().flatten();
                let open = there().any(|(_, wants, _)| *wants)
                    && !there().any(|(_, wants, waits)| *wants && *waits);
                prop_assert_eq!(line.is_open(), open);
            }
        }
    }
}
