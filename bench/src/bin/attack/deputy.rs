//! A server that acts for its clients, and clients that would have it act with its own authority
//! (the confused deputy).
//!
//! The deputy holds a memory object of its own and serves everybody. It does two things: it counts
//! for each client, by the kernel's stamp; and it writes a word into memory, with the capability
//! that came along with the message and no other.

use alloc::vec::Vec;

use bench::abi::message::{Info, Message, WORDS};
use bench::abi::{Error, Handle, PAGE, Protection, Rights};
use bench::block_ring::Words;
use bench::runtime::capability::{Endpoint, Memory};
use bench::runtime::memory::SharedMapping;
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::messages::{EMPTY, accomplice, carrying, give_endpoint, start, start_server};

/// Label: add word 0 to the sender's account; words 1 to 5 claim whatever they like.
const ADD: u32 = 1;
/// Label: write word 0 into the memory that comes along.
const WRITE: u32 = 2;
/// Label: tell the deputy's own handle, and the first word of its own memory.
const TELL: u32 = 3;
/// First word of a reply to what was not done.
const REFUSED: u64 = u64::MAX;
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "confused" => confused(&mut checks, env),
        "accounts" => accounts(&mut checks, env),
        // Accomplices.
        "serve" => accomplice(&mut checks, env, serve),
        "sends_on" => accomplice(&mut checks, env, sends_on),
        "thief" => accomplice(&mut checks, env, thief),
        _ => return None,
    }
    Some(checks)
}

/// The deputy.
fn serve(meeting: &Endpoint) -> Result<(), Error> {
    let own = Memory::create(PAGE)?;
    let mapping = SharedMapping::new(&own, 0, PAGE, Protection::WRITE)?;
    mapping.store(0, SECRET);
    let mut accounts: Vec<(u32, u64)> = Vec::new();
    let endpoint = give_endpoint(meeting)?;
    let (mut sender, mut message) = endpoint.receive()?;
    loop {
        let first = match message.info.label() {
            ADD => {
                let place = accounts.iter().position(|account| account.0 == sender.process());
                let place = place.unwrap_or_else(|| {
                    accounts.push((sender.process(), 0));
                    accounts.len() - 1
                });
                accounts[place].1 += message.words[0];
                accounts[place].1
            }
            WRITE if message.info.capabilities() == 1 => {
                let memory = Memory::from_handle(message.capabilities[0]);
                let written = SharedMapping::new(&memory, 0, PAGE, Protection::WRITE)
                    .map(|mapping| mapping.store(0, message.words[0]));
                written.map_or(REFUSED, |()| 0)
            }
            TELL => u64::from(own.handle().0),
            _ => REFUSED,
        };
        let reply = Message::new(0, [first, mapping.load(0), 0, 0, 0, 0]);
        (sender, message) = endpoint.reply_receive(&reply)?;
    }
}

/// Sends on by what it is given.
fn sends_on(meeting: &Endpoint) -> Result<(), Error> {
    let endpoint = give_endpoint(meeting)?;
    let (_, message) = endpoint.receive()?;
    Endpoint::from_handle(message.capabilities[0]).send(&EMPTY)?;
    endpoint.receive().map(|_| ())
}

/// What the deputy may do and its client may not, the client cannot have done.
fn confused(checks: &mut Checks, env: &Env) {
    let Some((process, deputy)) = checks.works("start", start_server(env, "deputy.serve")) else {
        return;
    };
    let told = deputy.call(&Message::new(TELL, [0; WORDS]));
    let Some(told) = checks.works("tell", told) else { return };
    checks.holds("its memory", told.words[1] == SECRET);
    let its_own = Handle(told.words[0] as u32);
    let ask = |handles: &[Handle]| {
        let mut message = carrying(handles);
        message.info = Info::new(WRITE, handles.len() as u8);
        message.words[0] = 666;
        deputy.call(&message).map(|reply| reply.words[0])
    };
    // Its handle in the words is a number like any other.
    for place in 0..WORDS {
        let mut words = [666; WORDS];
        words[place] = told.words[0];
        let reply = deputy.call(&Message::new(WRITE, words)).map(|reply| reply.words[0]);
        checks.holds((place, reply), reply == Ok(REFUSED));
    }
    // As a capability it is looked up here, where it names nothing, or something else.
    if calls::inspect(its_own).is_err() {
        checks.refused("the deputy's own", ask(&[its_own]), &[Error::BadHandle]);
    }
    let Some(mine) = checks.works("memory", Memory::create(PAGE)) else { return };
    let view = SharedMapping::new(&mine, 0, PAGE, Protection::READ);
    let Some(view) = checks.works("map", view) else { return };
    // With a right that the client lacks, the deputy lacks it.
    let reading = mine.duplicate(Rights::RECEIVE | Rights::TRANSFER).map(Memory::into_handle);
    let Some(reading) = checks.works("read only", reading) else { return };
    let refused = ask(&[reading]);
    checks.holds(refused, refused == Ok(REFUSED));
    checks.holds("unwritten", view.load(0) == 0);
    // And with a good one it does as asked, to that and to nothing else.
    let good = mine.duplicate(Rights::SEND | Rights::RECEIVE | Rights::TRANSFER);
    let Some(good) = checks.works("good", good.map(Memory::into_handle)) else { return };
    let done = ask(&[good]);
    checks.holds(done, done == Ok(0));
    checks.holds("written", view.load(0) == 666);
    let told = deputy.call(&Message::new(TELL, [0; WORDS])).map(|reply| reply.words[1]);
    checks.holds(told, told == Ok(SECRET));
    // Revoked before it acts, it cannot.
    let late = mine.duplicate(Rights::SEND | Rights::RECEIVE | Rights::TRANSFER);
    let Some(late) = checks.works("late", late.map(Memory::into_handle)) else { return };
    checks.works("revoke", mine.revoke());
    checks.refused("revoked", ask(&[late]), &[Error::BadHandle]);
    checks.works("kill", process.kill());
}

/// Accounts are kept by the stamp: what one claims in words moves nothing of another's.
fn accounts(checks: &mut Checks, env: &Env) {
    let Some((process, deputy)) = checks.works("start", start_server(env, "deputy.serve")) else {
        return;
    };
    let add =
        |amount: u64| deputy.call(&Message::new(ADD, [amount; WORDS])).map(|reply| reply.words[0]);
    let sum = add(1_000);
    checks.holds(sum, sum == Ok(1_000));
    for _ in 0..3 {
        // The thief gets the same capability: not that tells the two apart.
        let thief = start(env, "deputy.thief", &deputy);
        let Some(thief) = checks.works("thief", thief) else { return };
        let ended = thief.wait();
        checks.holds(ended, ended == Ok(bench::abi::ExitStatus::Exited(0)));
    }
    let sum = add(1);
    checks.holds(sum, sum == Ok(1_001));
    checks.works("kill", process.kill());
}

/// The accomplice of [`accounts`]: claims to be every process there may be, and finds nothing but
/// what it put in itself.
fn thief(deputy: &Endpoint) -> Result<(), Error> {
    let mut sum = 0;
    for process in 0..200 {
        let claim = process << 32 | 1;
        let reply = deputy.call(&Message::new(ADD, [1, claim, claim, process, claim, claim]))?;
        sum += 1;
        if reply.words[0] != sum {
            return Err(Error::NotPermitted);
        }
    }
    Ok(())
}
