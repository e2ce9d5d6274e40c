//! The service's side of the ring. Nothing the client writes is believed.

use super::layout::{CLIENT_SLEEPS, ENDED, Layout, POSTED, REAPED, SERVER_SLEEPS, SUBMITTED};
use super::request::{Completion, Operation, Refused, Request, Status};
use super::{Corrupt, Wake};
use crate::shared::Words;

/// What is next in the submission ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A request whose pages are data pages.
    Request(Request),
    /// One that cannot be carried out; to be posted as it is.
    Refused(Completion),
    /// Nothing, or no room for its completion.
    Nothing,
}

/// The service's counters. They live outside of the memory object.
#[derive(Debug)]
pub struct Server {
    layout: Layout,
    /// Requests taken.
    taken: u64,
    /// Completions written.
    posted: u64,
    /// Of these, those the client has been told of.
    published: u64,
}

impl Server {
    /// At the beginning of a session.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, taken: 0, posted: 0, published: 0 }
    }

    /// Takes a request. Between this and [`Server::post`] it is in flight; no more are taken than
    /// the client can be told of.
    pub fn next(&mut self, words: &impl Words) -> Result<Next, Corrupt> {
        if !self.is_due(words)? {
            return Ok(Next::Nothing);
        }
        let at = self.layout.submission(self.taken);
        self.taken += 1;
        // Read once: the client may be writing to it.
        let copy = core::array::from_fn(|word| words.load(at + word));
        Ok(match Request::from_words(copy) {
            Ok(request) if self.has_pages(&request) => Next::Request(request),
            Ok(Request { tag, .. }) => Next::Refused(Completion { tag, status: Status::BadPages }),
            Err(Refused(completion)) => Next::Refused(completion),
        })
    }

    fn has_pages(&self, request: &Request) -> bool {
        match request.operation {
            Operation::Read { first_page, pages, .. }
            | Operation::Write { first_page, pages, .. } => {
                self.layout.holds_data(first_page, pages)
            }
            _ => true,
        }
    }

    /// Whether there is a request to take, and room for its completion: always, if the client
    /// keeps to the number of entries.
    pub fn is_due(&self, words: &impl Words) -> Result<bool, Corrupt> {
        let entries = u64::from(self.layout.entries());
        let waiting = words.load(SUBMITTED).wrapping_sub(self.taken);
        if waiting == 0 {
            return Ok(false);
        }
        // Read after the number of requests, before which the client wrote it.
        let unread = self.posted.wrapping_sub(words.load(REAPED));
        if waiting > entries || unread > entries {
            return Err(Corrupt);
        }
        Ok(self.in_flight() + unread < entries)
    }

    /// How many requests are in flight.
    pub const fn in_flight(&self) -> u64 {
        self.taken - self.posted
    }

    /// Writes the completion of a request that was taken. The client sees it after
    /// [`Server::publish`].
    pub fn post(&mut self, words: &impl Words, completion: Completion) {
        let at = self.layout.completion(self.posted);
        for (word, value) in completion.to_words().into_iter().enumerate() {
            words.store(at + word, value);
        }
        self.posted += 1;
    }

    /// Shows the client what was posted.
    pub fn publish(&mut self, words: &impl Words) -> Wake {
        if self.published == self.posted {
            return Wake::No;
        }
        self.published = self.posted;
        words.swap(POSTED, self.posted);
        self.wake_client(words)
    }

    /// Says that the session is over.
    pub fn end(&self, words: &impl Words) -> Wake {
        words.swap(ENDED, 1);
        self.wake_client(words)
    }

    fn wake_client(&self, words: &impl Words) -> Wake {
        if words.load(CLIENT_SLEEPS) == 0 {
            return Wake::No;
        }
        words.store(CLIENT_SLEEPS, 0);
        Wake::Ring
    }

    /// Says that it is about to sleep: then it looks once more ([`Server::is_due`]) and sleeps, or
    /// [wakes up](Server::wake_up).
    pub fn fall_asleep(&self, words: &impl Words) {
        words.swap(SERVER_SLEEPS, 1);
    }

    /// Says that it looks by itself again.
    pub fn wake_up(&self, words: &impl Words) {
        words.store(SERVER_SLEEPS, 0);
    }
}
