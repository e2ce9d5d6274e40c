//! The block service, asked for what it must not give, and left in the middle of things. Needs a
//! disk that may only be read.

use alloc::vec::Vec;

use bench::abi::message::{Info, Message};
use bench::abi::{ANY_CORE, Error, Handle, PAGE, Protection, Rights, Syscall};
use bench::block_ring::{
    Client, Completion, ENTRIES_MAX, INFO, Layout, OPEN, Open, Operation, Request, Status, Wake,
};
use bench::runtime::block::describe;
use bench::runtime::capability::{Endpoint, Memory, Notification};
use bench::runtime::memory::SharedMapping;
use bench::runtime::{Env, calls, syscall};

use crate::checks::Checks;
use crate::{disk_flight, disk_ring, revoked_sessions};

/// Entries of a ring.
pub const ENTRIES: u32 = 32;
/// Pages of an object: one for the rings.
pub const PAGES: u32 = 33;
/// Nanoseconds a completion may take.
const PATIENCE_NS: u64 = 20_000_000_000;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    let tag = env.disks().next().map(|(_, tag)| tag);
    let Some(disk) = tag.and_then(|tag| env.take(tag)).map(Endpoint::from_handle) else {
        bench::println!("no disk");
        return Some(checks);
    };
    match attack {
        "bad_calls" => bad_calls(&mut checks, &disk),
        "bad_opens" => bad_opens(&mut checks, &disk),
        "sessions" => sessions(&mut checks, &disk),
        "read_only" => disk_ring::read_only(&mut checks, &disk),
        "forged_requests" => disk_ring::forged_requests(&mut checks, &disk),
        "forged_rings" => disk_ring::forged_rings(&mut checks, &disk),
        "opened_twice" => disk_ring::opened_twice(&mut checks, &disk),
        "unmapped_in_flight" => disk_flight::unmapped(&mut checks, &disk),
        "left_in_flight" => disk_flight::left(&mut checks, &disk),
        "killed_in_flight" => disk_flight::killed(&mut checks, &disk, env),
        "revoked" => revoked_sessions::disk(&mut checks, &disk),
        "read_for_ever" => disk_flight::read_for_ever(&disk),
        _ => return None,
    }
    checks.holds("the service goes on", describe(&disk).is_ok());
    Some(checks)
}

/// A session with nothing between the attacker and the ring.
pub struct Session {
    pub memory: SharedMapping,
    pub client: Client,
    pub doorbell: Notification,
    told: Notification,
}

impl Session {
    /// With [`ENTRIES`] entries and [`PAGES`] pages.
    pub fn open(disk: &Endpoint) -> Result<Self, Error> {
        let object = Memory::create(PAGES as usize * PAGE)?;
        Self::over(disk, object)
    }

    /// Over that object.
    pub fn over(disk: &Endpoint, object: Memory) -> Result<Self, Error> {
        let memory = SharedMapping::new(&object, 0, PAGES as usize * PAGE, Protection::WRITE)?;
        let told = Notification::create()?;
        let to_signal = told.duplicate(Rights::SEND | Rights::TRANSFER)?;
        let open = Open { entries: ENTRIES, bits: 1, core: ANY_CORE };
        let mut message = open.to_message();
        message.capabilities[0] = object.into_handle();
        message.capabilities[1] = to_signal.into_handle();
        let reply = disk.call(&message)?;
        let layout = Layout::new(ENTRIES, PAGES).map_err(|_| Error::InvalidArgument)?;
        let doorbell = Notification::from_handle(reply.capabilities[0]);
        Ok(Self { memory, client: Client::new(layout), doorbell, told })
    }

    /// First word of a data page.
    pub fn word(page: u32) -> usize {
        page as usize * PAGE / 8
    }

    /// Submits one request.
    pub fn submit(&mut self, operation: Operation, tag: u64) {
        let _ = self.client.submit(&self.memory, Request { operation, tag });
    }

    /// Shows the service what was submitted.
    pub fn publish(&mut self) {
        if self.client.publish(&self.memory) == Wake::Ring {
            let _ = self.doorbell.signal(1);
        }
    }

    /// The next completion.
    pub fn completion(&mut self) -> Result<Completion, Error> {
        let deadline = calls::clock()?.0 + PATIENCE_NS;
        loop {
            match self.client.reap(&self.memory) {
                Ok(Some(completion)) => return Ok(completion),
                Ok(None) => {}
                Err(_) => return Err(Error::PeerGone),
            }
            if self.client.has_ended(&self.memory) {
                return Err(Error::PeerGone);
            }
            self.client.fall_asleep(&self.memory);
            if !self.client.is_due(&self.memory) {
                self.told.wait_until(deadline)?;
            }
            self.client.wake_up(&self.memory);
        }
    }

    /// Submits a request and waits for how it ends.
    pub fn ask(&mut self, operation: Operation) -> Result<Status, Error> {
        self.submit(operation, 7);
        self.publish();
        self.completion().map(|completion| completion.status)
    }
}

/// Calls that are no calls of a block service, and rights that nobody was given.
fn bad_calls(checks: &mut Checks, disk: &Endpoint) {
    for label in [0, 3, 4, 0x7fff_ffff, u32::MAX] {
        let answer = disk.call(&Message::new(label, [u64::MAX; 6]));
        checks.refused(("label", label), answer, &[Error::InvalidArgument]);
    }
    checks.works("send", disk.send(&Message::new(INFO, [1; 6])));
    checks.works("send", disk.send(&Message::new(OPEN, [1; 6])));
    checks.refused("receive", disk.receive(), &[Error::NotPermitted]);
    let both = syscall::exchange(Syscall::ReplyReceive, disk.handle(), &Message::new(0, [0; 6]));
    checks.refused("reply and receive", both, &[Error::NotPermitted]);
    checks.refused("widen", disk.duplicate(Rights::all()), &[Error::NotPermitted]);
    let lent = disk.duplicate(Rights::SEND).map(Endpoint::into_handle);
    if let Some(lent) = checks.works("duplicate", lent) {
        checks.works("drop", calls::drop_capability(lent));
        let dropped = calls::call(lent, &Message::new(INFO, [0; 6]));
        checks.refused("dropped", dropped, &[Error::BadHandle]);
    }
    // What a call brings along that nobody asked for is gone, and no harm.
    for _ in 0..100 {
        let mut message = Message::new(INFO, [0; 6]);
        message.info = Info::new(INFO, 4);
        for slot in &mut message.capabilities {
            *slot = Notification::create().map_or(Handle::NONE, Notification::into_handle);
        }
        checks.works("with luggage", disk.call(&message));
        checks.refused("it went", calls::inspect(message.capabilities[0]), &[Error::BadHandle]);
    }
}

/// What an attempt to open brings along.
struct Luggage {
    memory: Rights,
    pages: u32,
    notification: Rights,
}

const GOOD: Luggage = Luggage { memory: Rights::all(), pages: PAGES, notification: Rights::all() };

fn open(disk: &Endpoint, luggage: &Luggage, words: [u64; 6]) -> Result<Message, Error> {
    let object = Memory::create(luggage.pages as usize * PAGE)?;
    let memory = object.duplicate(luggage.memory | Rights::TRANSFER)?;
    let notification = Notification::create()?;
    let told = notification.duplicate(luggage.notification | Rights::TRANSFER)?;
    call_open(disk, &[memory.into_handle(), told.into_handle()], words)
}

fn call_open(disk: &Endpoint, handles: &[Handle], words: [u64; 6]) -> Result<Message, Error> {
    let mut message = Message::new(OPEN, words);
    message.info = Info::new(OPEN, handles.len() as u8);
    message.capabilities[..handles.len()].copy_from_slice(handles);
    let reply = disk.call(&message)?;
    // The doorbell: a session that was opened ends here.
    calls::drop_capability(reply.capabilities[0])?;
    Ok(reply)
}

fn bad_opens(checks: &mut Checks, disk: &Endpoint) {
    let any = u64::from(ANY_CORE);
    let good = [u64::from(ENTRIES), 1, any, 0, 0, 0];
    checks.works("open", open(disk, &GOOD, good));
    let invalid = &[Error::InvalidArgument];
    for entries in [0, 3, 33, u64::from(ENTRIES_MAX) * 2, 1 << 31, 1 << 32, u64::MAX] {
        let words = [entries, 1, any, 0, 0, 0];
        checks.refused(("entries", entries), open(disk, &GOOD, words), invalid);
    }
    for words in [
        [32, 0, any, 0, 0, 0],
        [32, 1, 0xffff, 0, 0, 0],
        [32, 1, 1 << 32, 0, 0, 0],
        [32, 1, any, 1, 0, 0],
        [32, 1, any, 0, 0, u64::MAX],
    ] {
        checks.refused(words, open(disk, &GOOD, words), invalid);
    }
    let small = Luggage { pages: 1, ..GOOD };
    let words = [u64::from(ENTRIES_MAX), 1, any, 0, 0, 0];
    checks.refused("too small", open(disk, &small, words), invalid);
    let denied = &[Error::NotPermitted];
    for memory in [Rights::RECEIVE, Rights::SEND, Rights::empty()] {
        let luggage = Luggage { memory, ..GOOD };
        checks.refused(("memory", memory), open(disk, &luggage, good), denied);
    }
    let luggage = Luggage { notification: Rights::RECEIVE, ..GOOD };
    checks.refused("nobody to signal", open(disk, &luggage, good), denied);
    checks.refused("nothing along", call_open(disk, &[], good), invalid);
    let notification = || Notification::create().map_or(Handle::NONE, Notification::into_handle);
    let memory = || Memory::create(PAGE).map_or(Handle::NONE, Memory::into_handle);
    checks.refused("one along", call_open(disk, &[memory()], good), invalid);
    let three = [memory(), notification(), notification()];
    checks.refused("three along", call_open(disk, &three, good), invalid);
    let kinds = &[Error::WrongKind];
    let swapped = [notification(), memory()];
    checks.refused("swapped", call_open(disk, &swapped, good), kinds);
    let itself = disk.duplicate(Rights::SEND | Rights::TRANSFER).map(Endpoint::into_handle);
    if let Some(itself) = checks.works("duplicate", itself) {
        let odd = call_open(disk, &[memory(), itself], good);
        checks.refused("itself along", odd, kinds);
    }
    let twice = memory();
    checks.refused("the same twice", call_open(disk, &[twice, twice], good), invalid);
    let forged = call_open(disk, &[Handle(0xdead_beef), notification()], good);
    checks.refused("forged", forged, &[Error::BadHandle]);
}

/// Sessions until there are no more, again and again.
fn sessions(checks: &mut Checks, disk: &Endpoint) {
    for round in 0..10 {
        let mut all = Vec::new();
        let refusal = loop {
            match Session::open(disk) {
                Ok(session) => all.push(session),
                Err(error) => break Err::<(), _>(error),
            }
        };
        // Those of the round before are perhaps still ending.
        checks.refused(("session", round), refusal, &[Error::LimitReached]);
        checks.holds("not too many", all.len() <= 8);
        checks.holds("some", round > 0 || !all.is_empty());
        let read = Operation::Read { lba: 0, first_page: 1, pages: 1 };
        for session in &mut all {
            let answer = session.ask(read);
            checks.holds(("each works", answer), answer == Ok(Status::Done));
        }
    }
}
