//! The service's side of a socket. Nothing the client writes is believed.

use core::net::SocketAddr;

use super::layout::{FINISHED, INPUT_END, LOCAL, Layout, OUTPUT_END, PEER, STATE, UNSENT};
use super::ring::{Reader, Writer};
use super::{Ending, State, Wake, address};
use crate::shared::Words;

/// A socket, as the service has it. Lives outside of the memory object.
#[derive(Debug)]
pub struct Server {
    /// What comes from the network.
    pub input: Writer,
    /// What goes to the network.
    pub output: Reader,
    unsent: u64,
}

impl Server {
    /// At the beginning of a socket.
    pub const fn new(layout: Layout) -> Self {
        let (input, output) = (Writer::new(layout.inward()), Reader::new(layout.outward()));
        Self { input, output, unsent: 0 }
    }

    /// It is open, with these ends.
    pub fn open(
        &self,
        words: &impl Words,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Wake {
        address::store(words, LOCAL, local);
        address::store(words, PEER, peer);
        words.swap(STATE, State::Open.to_word());
        self.wake_client(words)
    }

    /// Nothing comes from the network any more. What came before was published.
    pub fn end_input(&self, words: &impl Words, ending: Ending) -> Wake {
        words.swap(INPUT_END, ending.to_word());
        self.input.wake_reader(words)
    }

    /// Nothing goes to the network any more.
    pub fn end_output(&self, words: &impl Words, ending: Ending) -> Wake {
        words.swap(OUTPUT_END, ending.to_word());
        self.output.wake_writer(words)
    }

    /// The service has nothing more to do with it.
    pub fn end(&self, words: &impl Words) -> Wake {
        words.swap(STATE, State::Over.to_word());
        self.wake_client(words)
    }

    fn wake_client(&self, words: &impl Words) -> Wake {
        let wakes = [self.input.wake_reader(words), self.output.wake_writer(words)];
        if wakes.contains(&Wake::Ring) { Wake::Ring } else { Wake::No }
    }

    /// Whether the client has said that nothing follows what it has written. To be asked before
    /// [`Reader::available`].
    pub fn is_finished(&self, words: &impl Words) -> bool {
        words.load(FINISHED) != 0
    }

    /// A datagram could not be sent.
    pub fn could_not_send(&mut self, words: &impl Words) {
        self.unsent += 1;
        words.store(UNSENT, self.unsent);
    }
}
