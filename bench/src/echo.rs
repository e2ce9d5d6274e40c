//! The `echo` program as others see it: a server that answers every message with its own words.
//!
//! It makes its endpoint itself, so that the endpoint's home is the server's core, and hands the
//! right to send to it back over a meeting point it was started with.

use crate::abi::message::{Message, WORDS};
use crate::abi::{Error, Rights, Syscall};
use crate::runtime::capability::{Console, Endpoint, Image, Notification, Process};
use crate::runtime::process::Command;
use crate::runtime::syscall;

/// Tag of the endpoint over which the server hands out its own.
pub const MEETING: u32 = 0x10;
/// Tag of the notification it waits for, when started to answer notifications.
pub const INWARD: u32 = 0x11;
/// Tag of the notification it answers with.
pub const OUTWARD: u32 = 0x12;

/// Label: answer with the same words (as every label not named here).
pub const ECHO: u32 = 0;
/// Label: answer with the sender's stamp as the server saw it, in word 0.
pub const WHO: u32 = 1;
/// Label: answer, then end.
pub const QUIT: u32 = 2;
/// Label: end without an answer.
pub const DIE: u32 = 3;

/// Label: answer with the same words and the capabilities that came along.
pub const GIVE_BACK: u32 = 4;

/// A running server. Dropping the value leaves it running.
#[derive(Debug)]
pub struct Echo {
    /// The server's process.
    pub process: Process,
    /// Where it listens; carries the rights to send, to duplicate and to transfer.
    pub endpoint: Endpoint,
}

impl Echo {
    /// Starts one on `core`. `console` is for its last words, should it panic.
    pub fn start(image: &Image, core: u32, console: Option<&Console>) -> Result<Self, Error> {
        let meeting = Endpoint::create()?;
        let theirs = meeting.duplicate(Rights::SEND | Rights::TRANSFER)?;
        let mut command = Command::new(image, "echo").core(core).give(MEETING, theirs);
        if let Some(console) = console {
            let console = console.duplicate(Rights::SEND | Rights::TRANSFER)?;
            command = command.give(crate::abi::start::tag::CONSOLE, console);
        }
        let process = command.spawn()?;
        let (_, message) = meeting.receive()?;
        if message.info.capabilities() != 1 {
            return Err(Error::InvalidArgument);
        }
        Ok(Self { process, endpoint: Endpoint::from_handle(message.capabilities[0]) })
    }

    /// Starts one that answers `outward` whenever `inward` is signalled, until killed.
    pub fn start_notified(
        image: &Image,
        core: u32,
        inward: &Notification,
        outward: &Notification,
    ) -> Result<Process, Error> {
        Command::new(image, "echo")
            .core(core)
            .give(INWARD, inward.duplicate(Rights::RECEIVE | Rights::TRANSFER)?)
            .give(OUTWARD, outward.duplicate(Rights::SEND | Rights::TRANSFER)?)
            .spawn()
    }

    /// One round trip: whether the words came back as they went.
    pub fn answers(&self, words: [u64; WORDS]) -> Result<bool, Error> {
        let reply = self.endpoint.call(&Message::new(ECHO, words))?;
        Ok(reply.words == words && reply.info.capabilities() == 0)
    }

    /// Ends it in an orderly way and waits for that.
    pub fn quit(self) -> Result<(), Error> {
        let mut words = [0; WORDS];
        syscall::exchange_words(Syscall::Call, self.endpoint.handle(), QUIT, &mut words)?;
        self.process.wait().map(|_| ())
    }
}
