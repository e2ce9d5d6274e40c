//! Answers every message with its own words: the other end of the IPC benchmarks, and the witness
//! that the attack suite asks whether the world still stands. Its protocol is `bench::echo`.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use bench::abi::message::{CAPABILITIES_MAX, Info, Message, WORDS};
use bench::abi::{Error, FOREVER, Handle, Rights, Syscall};
use bench::echo::{DIE, ECHO, GIVE_BACK, INWARD, MEETING, OUTWARD, QUIT, WHO};
use bench::runtime::capability::Endpoint;
use bench::runtime::syscall::{Received, echo_words, exchange_all, exchange_words};
use bench::runtime::{Env, calls};

bench::main!(main);

async fn main(mut env: Env) -> Result<(), Error> {
    match (env.take(INWARD), env.take(OUTWARD)) {
        (Some(inward), Some(outward)) => answer_notifications(inward, outward),
        _ => {
            let meeting = env.take(MEETING).map(Endpoint::from_handle);
            answer_messages(&meeting.ok_or(Error::BadHandle)?)
        }
    }
}

fn answer_notifications(inward: Handle, outward: Handle) -> Result<(), Error> {
    loop {
        let bits = calls::notification_wait(inward, FOREVER)?;
        calls::notification_signal(outward, bits)?;
    }
}

fn answer_messages(meeting: &Endpoint) -> Result<(), Error> {
    let endpoint = Endpoint::create()?;
    let to_us = endpoint.duplicate(Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER)?;
    let mut hello = Message::new(0, [0; WORDS]);
    hello.info = Info::new(0, 1);
    hello.capabilities[0] = to_us.into_handle();
    meeting.send(&hello)?;

    let mut words = [0; WORDS];
    let mut received = exchange_words(Syscall::Receive, endpoint.handle(), ECHO, &mut words);
    loop {
        // What the benchmarks measure.
        if let Ok(message) = received
            && message.info == Info::new(ECHO, 0)
        {
            received = echo_words(endpoint.handle(), &mut words);
        }
        received = match received {
            Ok(message) => {
                if message.info.label() == DIE {
                    return Ok(());
                }
                if message.info.label() == GIVE_BACK {
                    received = give_back(endpoint.handle(), message, &mut words);
                    continue;
                }
                answer(message, &mut words);
                if message.info.label() == QUIT {
                    return calls::reply(&Message::new(QUIT, words));
                }
                let label = message.info.label();
                exchange_words(Syscall::ReplyReceive, endpoint.handle(), label, &mut words)
            }
            // The caller is gone, or could not take the answer: go on with the next.
            Err(_) => Ok(exchange_words(Syscall::Receive, endpoint.handle(), ECHO, &mut words)?),
        };
    }
}

/// Answers with all that came, for as long as that is asked for.
#[cold]
fn give_back(
    endpoint: Handle,
    mut message: Received,
    words: &mut [u64; WORDS],
) -> Result<Received, Error> {
    while message.info.label() == GIVE_BACK {
        let capabilities = message.capabilities();
        let call = Syscall::ReplyReceive;
        message = exchange_all(call, endpoint, message.info, words, &capabilities)?;
    }
    Ok(message)
}

/// Turns the words of a message into those of its answer.
#[cold]
fn answer(message: Received, words: &mut [u64; WORDS]) {
    for handle in &message.capabilities()[..message.info.capabilities().min(CAPABILITIES_MAX)] {
        // Nobody asked for it, and keeping it would fill our table.
        let _ = calls::drop_capability(*handle);
    }
    if message.info.label() == WHO {
        words[0] = message.sender.0;
    }
}
