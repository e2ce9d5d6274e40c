//! The client's side of the ring.

use super::layout::{
    CLIENT_SLEEPS, ENDED, Layout, POSTED, REAPED, SERVER_SLEEPS, SUBMISSION, SUBMITTED,
};
use super::request::{Completion, Request};
use super::{Corrupt, Wake};
use crate::shared::Words;

/// As many requests are in flight as the ring has entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("the ring is full")]
pub struct Full;

/// The client's counters.
#[derive(Debug)]
pub struct Client {
    layout: Layout,
    /// Requests written.
    submitted: u64,
    /// Of these, those the service has been told of.
    published: u64,
    /// Completions taken.
    reaped: u64,
}

impl Client {
    /// At the beginning of a session.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, submitted: 0, published: 0, reaped: 0 }
    }

    /// Where what is.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many requests have no completion yet.
    pub const fn in_flight(&self) -> u64 {
        self.submitted - self.reaped
    }

    /// Writes a request. The service sees it after [`Client::publish`].
    pub fn submit(&mut self, words: &impl Words, request: Request) -> Result<(), Full> {
        self.submit_words(words, request.to_words())
    }

    /// Writes the words of a request, whatever they say.
    pub fn submit_words(
        &mut self,
        words: &impl Words,
        request: [u64; SUBMISSION],
    ) -> Result<(), Full> {
        if self.in_flight() >= u64::from(self.layout.entries()) {
            return Err(Full);
        }
        let at = self.layout.submission(self.submitted);
        for (word, value) in request.into_iter().enumerate() {
            words.store(at + word, value);
        }
        self.submitted += 1;
        Ok(())
    }

    /// Shows the service what was submitted.
    pub fn publish(&mut self, words: &impl Words) -> Wake {
        if self.published == self.submitted {
            return Wake::No;
        }
        self.published = self.submitted;
        // First: what the service then takes must have room for its completions.
        words.store(REAPED, self.reaped);
        words.swap(SUBMITTED, self.submitted);
        if words.load(SERVER_SLEEPS) == 0 {
            return Wake::No;
        }
        words.store(SERVER_SLEEPS, 0);
        Wake::Ring
    }

    /// Takes a completion.
    pub fn reap(&mut self, words: &impl Words) -> Result<Option<Completion>, Corrupt> {
        let ready = words.load(POSTED).wrapping_sub(self.reaped);
        if ready == 0 {
            return Ok(None);
        }
        if ready > self.in_flight() {
            return Err(Corrupt);
        }
        let at = self.layout.completion(self.reaped);
        self.reaped += 1;
        let copy = core::array::from_fn(|word| words.load(at + word));
        Ok(Some(Completion::from_words(copy)))
    }

    /// Whether a completion is there, or the end of the session.
    pub fn is_due(&self, words: &impl Words) -> bool {
        words.load(POSTED) != self.reaped || self.has_ended(words)
    }

    /// Whether the service has ended the session. What is in flight then has no completions.
    pub fn has_ended(&self, words: &impl Words) -> bool {
        words.load(ENDED) != 0
    }

    /// Says that it is about to sleep: then it looks once more ([`Client::is_due`]) and sleeps, or
    /// [wakes up](Client::wake_up).
    pub fn fall_asleep(&self, words: &impl Words) {
        words.swap(CLIENT_SLEEPS, 1);
    }

    /// Says that it looks by itself again.
    pub fn wake_up(&self, words: &impl Words) {
        words.store(CLIENT_SLEEPS, 0);
    }
}
