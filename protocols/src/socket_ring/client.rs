//! The client's side of a socket.

use core::net::SocketAddr;

use super::layout::{FINISHED, INPUT_END, LOCAL, Layout, OUTPUT_END, PEER, STATE, UNSENT};
use super::ring::{Reader, Writer};
use super::{Ending, State, Wake, address};
use crate::shared::Words;

/// A socket, as the client has it.
#[derive(Debug)]
pub struct Client {
    /// What goes to the network.
    pub output: Writer,
    /// What comes from the network.
    pub input: Reader,
}

impl Client {
    /// At the beginning of a socket.
    pub const fn new(layout: Layout) -> Self {
        Self { output: Writer::new(layout.outward()), input: Reader::new(layout.inward()) }
    }

    /// How far it is.
    pub fn state(&self, words: &impl Words) -> State {
        State::from_word(words.load(STATE))
    }

    /// This machine's end, once it is open.
    pub fn local(&self, words: &impl Words) -> Option<SocketAddr> {
        address::load(words, LOCAL)
    }

    /// The peer's end, once a connection is open.
    pub fn peer(&self, words: &impl Words) -> Option<SocketAddr> {
        address::load(words, PEER)
    }

    /// How what comes from the network has ended. To be asked before [`Reader::available`]: what
    /// came before the end is there then.
    pub fn input_end(&self, words: &impl Words) -> Option<Ending> {
        let ending = Ending::from_word(words.load(INPUT_END));
        ending.or_else(|| self.over(words))
    }

    /// How what goes to the network has ended.
    pub fn output_end(&self, words: &impl Words) -> Option<Ending> {
        let ending = Ending::from_word(words.load(OUTPUT_END));
        ending.or_else(|| self.over(words))
    }

    /// A socket that is over has ended both ways, whatever else it says.
    fn over(&self, words: &impl Words) -> Option<Ending> {
        let over = self.state(words) == State::Over;
        over.then_some(Ending::Failed(super::SocketError::Gone))
    }

    /// Shows the service what was written, and says that nothing follows.
    pub fn finish(&mut self, words: &impl Words) -> Wake {
        // The service reads the two in the other order.
        let wake = self.output.publish(words);
        words.swap(FINISHED, 1);
        match wake {
            Wake::Ring => Wake::Ring,
            Wake::No => self.output.wake_reader(words),
        }
    }

    /// Datagrams that the service could not send, ever.
    pub fn unsent(&self, words: &impl Words) -> u64 {
        words.load(UNSENT)
    }
}
