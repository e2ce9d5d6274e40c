//! How a driver notices that its device has finished something: a setting, never a second API.
//!
//! | mode | the reaper |
//! |---|---|
//! | [`Poll`](CompletionMode::Poll) | looks at the queue in every turn of its core while commands are in flight |
//! | [`Msix`](CompletionMode::Msix) | sleeps until the queue's interrupt |
//! | [`Adaptive`](CompletionMode::Adaptive) | polls while there is something to find, else arms the interrupt and sleeps |
//!
//! The mode comes from the command line (`irq=poll|msix|adaptive`) and may change at any time.

use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::task::{Context, Poll};

use executor::sync::Notify;

/// How completion is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompletionMode {
    /// By looking, again and again.
    Poll,
    /// By an interrupt for each batch.
    Msix,
    /// By looking while the queue is busy, by an interrupt when it is not.
    #[default]
    Adaptive,
}

impl CompletionMode {
    const ALL: [Self; 3] = [Self::Poll, Self::Msix, Self::Adaptive];

    const fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Msix => "msix",
            Self::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for CompletionMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The value of `irq=` is none of `poll`, `msix`, `adaptive`. Say so and use the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("not a completion mode: poll, msix or adaptive")]
pub struct UnknownMode;

impl FromStr for CompletionMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or(UnknownMode)
    }
}

/// What a queue's reaper, its submitters and the shell share: the mode, and a way to get the
/// reaper's attention.
#[derive(Debug)]
pub struct CompletionControl {
    mode: AtomicU8,
    /// There is no interrupt: the queue is polled, whatever the mode.
    is_polled: AtomicBool,
    attention: Notify,
    interrupts: AtomicU64,
}

impl CompletionControl {
    /// In this mode.
    pub const fn new(mode: CompletionMode) -> Self {
        Self {
            mode: AtomicU8::new(mode as u8),
            is_polled: AtomicBool::new(false),
            attention: Notify::new(),
            interrupts: AtomicU64::new(0),
        }
    }

    /// The mode.
    pub fn mode(&self) -> CompletionMode {
        match self.mode.load(Ordering::Relaxed) {
            stored if stored == CompletionMode::Poll as u8 => CompletionMode::Poll,
            stored if stored == CompletionMode::Msix as u8 => CompletionMode::Msix,
            _ => CompletionMode::Adaptive,
        }
    }

    /// Changes the mode; the reaper follows at once.
    pub fn set_mode(&self, mode: CompletionMode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
        self.attention.notify();
    }

    /// Says that the queue has no interrupt. [`reap`](crate::reaper::reap) finds out by itself;
    /// commands that are submitted before that want to know, too.
    pub fn set_polled(&self) {
        self.is_polled.store(true, Ordering::Relaxed);
    }

    /// A command has been handed to the device. Costs nothing where only interrupts matter.
    #[inline]
    pub fn submitted(&self) {
        if self.mode() != CompletionMode::Msix || self.is_polled.load(Ordering::Relaxed) {
            self.attention.notify();
        }
    }

    /// Makes the reaper look at the queue now, whatever the mode: before a command is called
    /// overdue, since its interrupt may have been lost.
    pub fn look_now(&self) {
        self.attention.notify();
    }

    /// How many interrupts have arrived for the queue.
    pub fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::Relaxed)
    }

    pub(crate) fn note_interrupts(&self, count: u32) {
        self.interrupts.fetch_add(u64::from(count), Ordering::Relaxed);
    }

    pub(crate) fn poll_attention(&self, context: &mut Context<'_>) -> Poll<()> {
        self.attention.poll_wait(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn modes_read_as_they_print() {
        for mode in CompletionMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            let control = CompletionControl::new(mode);
            assert_eq!(control.mode(), mode);
        }
    }

    proptest! {
        #[test]
        fn anything_else_is_refused(text in "\\PC*") {
            prop_assume!(!["poll", "msix", "adaptive"].contains(&text.as_str()));
            prop_assert_eq!(text.parse::<CompletionMode>(), Err(UnknownMode));
        }
    }
}
