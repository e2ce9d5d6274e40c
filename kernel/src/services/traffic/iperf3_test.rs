//! One test of iperf3, from the client's cookie to its good-bye: the server's side of
//! [`protocols::iperf3`]'s picture.

use super::iperf3_streams::{Datagrams, Pace, Streams};
use crate::clock;
use crate::platform::{self, Pollux};
use crate::services::net::{Net, NetError, TcpStream, after_ms};
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::pin::pin;
use executor::sync::mpsc::Receiver;
use executor::timeout;
use futures_util::future::{Either, select};
use protocols::iperf3::{
    COOKIE_BYTES, Direction, JSON_MAX, ParameterError, Parameters, Protocol, Results, ServerError,
    State, StreamResult,
};
use thiserror_no_std::Error;

/// How long each message of the client may take.
const STEP_MS: u64 = 10_000;
/// How long a stream may take to say whose it is.
const COOKIE_MS: u64 = 3_000;
/// How long a test may last beyond what was agreed.
const GRACE_MS: u64 = 30_000;
/// How long a test of so many bytes may last: an hour.
const UNTIMED_MS: u64 = 3_600_000;

/// How far a test is: for who accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody else may have the machine.
    Busy,
    /// It waits for its streams.
    WantsStreams,
    /// All is said: it will end in a moment.
    Ending,
}

/// Why a test came to no good end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Failure {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{0}")]
    Parameters(#[from] ParameterError),
    #[error("the client left in the middle")]
    Left,
    #[error("the client said something else than expected")]
    OutOfStep,
    #[error("the client sends more JSON than anybody needs")]
    TooLong,
    #[error("the client's streams did not come")]
    NoStreams,
}

/// A test.
pub struct Test {
    net: Net,
    control: TcpStream,
    arriving: Receiver<TcpStream>,
    phase: Rc<Cell<Phase>>,
    cookie: [u8; COOKIE_BYTES],
}

impl Test {
    /// A test that the client at the other end of `control` wants; its streams will be `arriving`.
    pub fn new(
        net: Net,
        control: TcpStream,
        arriving: Receiver<TcpStream>,
        phase: Rc<Cell<Phase>>,
    ) -> Self {
        Self { net, control, arriving, phase, cookie: [0; COOKIE_BYTES] }
    }

    /// The whole test.
    pub async fn run(mut self) {
        let result = self.steps().await;
        self.phase.set(Phase::Ending);
        if let Err(failure) = result {
            log::info!("iperf3: the test ended early: {failure}");
            let told = match failure {
                Failure::Parameters(error) => Some(error.server_error()),
                Failure::Net(NetError::TooLong) => Some(ServerError::Block),
                Failure::NoStreams => Some(ServerError::CreateStream),
                Failure::TooLong => Some(ServerError::Parameters),
                _ => None,
            };
            let told = told.map_or(Vec::from([State::ServerTerminate.byte()]), |error| {
                Vec::from(error.bytes())
            });
            if within(STEP_MS, self.control.write_all(&told)).await.is_err() {
                return;
            }
        }
        // The client has said good-bye, or was told.
        let _ = within(STEP_MS, self.control.finish()).await;
    }

    async fn steps(&mut self) -> Result<(), Failure> {
        let mut cookie = [0; COOKIE_BYTES];
        within(STEP_MS, read_whole(&self.control, &mut cookie)).await?;
        self.cookie = cookie;
        self.say(State::ParameterExchange).await?;
        let asked = Parameters::parse(&self.json().await?)?;
        let streams = self.streams(&asked).await?;
        self.say(State::TestStart).await?;
        let before = load();
        let begun_us = now_us();
        streams.start();
        self.say(State::TestRunning).await?;
        let ended = self.running(&asked, &streams).await;
        streams.stop();
        ended?;
        let results = streams.results(now_us().saturating_sub(begun_us));
        self.say(State::ExchangeResults).await?;
        // What the client has measured is its own affair.
        drop(self.json().await?);
        self.send_results(asked.direction, &results, before).await?;
        self.phase.set(Phase::Ending);
        self.say(State::DisplayResults).await?;
        match within(STEP_MS, self.state()).await? {
            State::Done => Ok(()),
            _ => Err(Failure::OutOfStep),
        }
    }

    /// Has the client open its streams, and sorts them by what they are for.
    async fn streams(&mut self, asked: &Parameters) -> Result<Streams, Failure> {
        let pace = Pace::new(asked);
        match asked.protocol {
            Protocol::Udp => {
                let client = self.control.peer().ok_or(Failure::Left)?.addr;
                let datagrams = Datagrams::bind(&self.net, client, asked)?;
                self.say(State::CreateStreams).await?;
                let gathered = timeout::<Pollux, _>(after_ms(STEP_MS), datagrams.gather()).await;
                gathered.map_err(|_| Failure::NoStreams)??;
                Ok(Streams::datagrams(datagrams, asked, pace))
            }
            Protocol::Tcp => {
                self.phase.set(Phase::WantsStreams);
                self.say(State::CreateStreams).await?;
                let (receiving, sending) = asked.streams();
                let limit = after_ms(STEP_MS);
                let mut streams = Vec::new();
                while streams.len() < receiving + sending {
                    let next = timeout::<Pollux, _>(limit, self.arriving.receive()).await;
                    let stream = next.map_err(|_| Failure::NoStreams)?.ok_or(Failure::NoStreams)?;
                    // Others' that say nothing do not hold the test up for longer than its own might.
                    let ours = timeout::<Pollux, _>(limit, self.is_ours(&stream)).await;
                    if ours.map_err(|_| Failure::NoStreams)? {
                        streams.push(stream);
                    }
                }
                self.phase.set(Phase::Busy);
                Ok(Streams::connections(streams, asked, pace))
            }
        }
    }

    /// Whether a stream brings this test's cookie.
    async fn is_ours(&self, stream: &TcpStream) -> bool {
        let mut cookie = [0; COOKIE_BYTES];
        let read = within(COOKIE_MS, read_whole(stream, &mut cookie)).await;
        read.is_ok() && cookie == self.cookie
    }

    /// While data flows: until the client says that it has measured enough.
    async fn running(&self, asked: &Parameters, streams: &Streams) -> Result<(), Failure> {
        let agreed_ms = match asked.time_s {
            0 => UNTIMED_MS,
            seconds => (seconds + asked.omit_s) * 1_000 + GRACE_MS,
        };
        let mut omitted = pin!(async {
            executor::sleep_until::<Pollux>(after_ms(asked.omit_s * 1_000)).await;
            if asked.omit_s > 0 {
                streams.forget();
            }
            core::future::pending::<()>().await;
        });
        let said = pin!(within(agreed_ms, self.state()));
        let state = match select(said, &mut omitted).await {
            Either::Left((state, _)) => state?,
            Either::Right(((), _)) => return Err(Failure::OutOfStep),
        };
        match state {
            State::TestEnd => Ok(()),
            State::ClientTerminate => Err(Failure::Left),
            _ => Err(Failure::OutOfStep),
        }
    }

    async fn send_results(
        &self,
        direction: Direction,
        results: &[StreamResult],
        before: (u64, u64),
    ) -> Result<(), Failure> {
        let after = load();
        let (busy, whole) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        let load_permille = busy.saturating_mul(1_000) / whole.max(1);
        let text = Results { direction, streams: results, load_permille }.to_string();
        let length = u32::try_from(text.len()).map_err(|_| Failure::TooLong)?;
        within(STEP_MS, self.control.write_all(&length.to_be_bytes())).await?;
        Ok(within(STEP_MS, self.control.write_all(text.as_bytes())).await?)
    }

    async fn say(&self, state: State) -> Result<(), Failure> {
        Ok(within(STEP_MS, self.control.write_all(&[state.byte()])).await?)
    }

    /// The next state that the client goes to.
    async fn state(&self) -> Result<State, NetError> {
        let mut byte = [0];
        read_whole(&self.control, &mut byte).await?;
        // What no client says is as good as the end.
        State::from_client(byte[0]).ok_or(NetError::Reset)
    }

    /// A length, and JSON of that length.
    async fn json(&self) -> Result<Vec<u8>, Failure> {
        let mut length = [0; 4];
        within(STEP_MS, read_whole(&self.control, &mut length)).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > JSON_MAX {
            return Err(Failure::TooLong);
        }
        let mut text = vec![0; length];
        within(STEP_MS, read_whole(&self.control, &mut text)).await?;
        Ok(text)
    }
}

/// `step`, within so many milliseconds.
async fn within<T>(
    milliseconds: u64,
    step: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    timeout::<Pollux, _>(after_ms(milliseconds), step).await.map_err(|_| NetError::TimedOut)?
}

async fn read_whole(stream: &TcpStream, into: &mut [u8]) -> Result<(), NetError> {
    let mut at = 0;
    while at < into.len() {
        match stream.read(&mut into[at..]).await? {
            0 => return Err(NetError::Reset),
            count => at += count,
        }
    }
    Ok(())
}

/// Ticks that this core was busy, and all its ticks.
fn load() -> (u64, u64) {
    let stats = platform::here().executor.stats();
    (stats.busy_ticks, stats.busy_ticks + stats.idle_ticks)
}

/// Microseconds of the kernel's clock.
pub fn now_us() -> u64 {
    clock::nanoseconds() / 1_000
}
