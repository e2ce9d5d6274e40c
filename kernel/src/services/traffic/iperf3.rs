//! An iperf3 server: accepts, and says who may have the machine. One test at a time.
//!
//! ```text
//!              connection            the test wants streams
//!   free ─────────────────► testing ────────────────────────► its stream
//!    ▲                        │  │ does not: told that access is denied
//!    └────── it has ended ────┘  └ is about to end: waits for that
//! ```

use super::iperf3_test::{Phase, Test};
use crate::platform::Pollux;
use crate::services::net::{Buffers, Net, NetError, TcpStream, after_ms};
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use executor::sync::mpsc::{self, Sender};
use executor::{JoinHandle, Priority, timeout};
use futures_util::stream::{FuturesUnordered, StreamExt};
use protocols::iperf3::{PORT, STREAMS_MAX, State};

/// Connections that wait to be accepted. A client opens its streams one after the other.
const BACKLOG: usize = 4;
/// Connections that are being told that access is denied; more are reset.
const DENIED_MAX: usize = 8;
/// How long that may take.
const DENY_MS: u64 = 2_000;

/// How long a test may take to end while the next one waits.
const ENDING_MS: u64 = 2_000;

/// The test that runs.
struct Running {
    task: JoinHandle<()>,
    streams: Sender<TcpStream>,
    phase: Rc<Cell<Phase>>,
}

/// Serves at iperf3's port, for ever.
///
/// # Errors
/// Somebody has the port, or there is no room.
pub async fn serve(net: Net) -> Result<(), NetError> {
    let listener = net.listen(PORT, BACKLOG, Buffers::LARGE)?;
    log::info!("net: iperf3 server on port {PORT}");
    let mut running: Option<Running> = None;
    let mut denied: FuturesUnordered<JoinHandle<()>> = FuturesUnordered::new();
    loop {
        let stream = {
            let mut accept = pin!(listener.accept());
            poll_fn(|context| {
                while let Poll::Ready(Some(_)) = denied.poll_next_unpin(context) {}
                running.take_if(|test| Pin::new(&mut test.task).poll(context).is_ready());
                accept.as_mut().poll(context)
            })
            .await
        };
        match running.as_ref().map(|test| test.phase.get()) {
            None => running = Some(begin(&net, stream)),
            Some(Phase::Ending) => {
                if let Some(test) = running.take() {
                    // After that, its last words go unheard.
                    let _ = timeout::<Pollux, _>(after_ms(ENDING_MS), test.task).await;
                }
                running = Some(begin(&net, stream));
            }
            Some(Phase::WantsStreams) => {
                // One for which there is no place is dropped, and so reset.
                let _ = running.as_ref().map(|test| test.streams.try_send(stream));
            }
            Some(Phase::Busy) if denied.len() < DENIED_MAX => {
                let deny = deny(stream);
                denied.push(executor::spawn::<Pollux, _>("iperf3 busy", Priority::Normal, deny));
            }
            Some(Phase::Busy) => {}
        }
    }
}

fn begin(net: &Net, control: TcpStream) -> Running {
    let (streams, arriving) = mpsc::channel(2 * usize::from(STREAMS_MAX));
    let phase = Rc::new(Cell::new(Phase::Busy));
    let test = Test::new(net.clone(), control, arriving, phase.clone());
    let task = executor::spawn::<Pollux, _>("iperf3", Priority::Normal, test.run());
    Running { task, streams, phase }
}

async fn deny(mut stream: TcpStream) {
    let told = async {
        stream.write_all(&[State::AccessDenied.byte()]).await?;
        stream.finish().await
    };
    // Whether the other side hears of it is its own affair.
    let _ = timeout::<Pollux, _>(after_ms(DENY_MS), told).await;
}
