//! Sessions that end with an answer: the addresses of a name, the time of an echo.

use super::super::{Net, NetError};
use super::{convert, ring};
use crate::services::session::Session;
use alloc::vec;
use hal::x86_64::time::clock::ticks_to_ns;
use protocols::socket_ring::{Addresses, Ping, QueryServer};

/// Most milliseconds for an echo.
const LIMIT_MS: u64 = 60_000;

/// Looks the name up that lies in the session's memory.
pub async fn resolve(net: Net, session: Session, length: u16) {
    if session.check().is_err() {
        return;
    }
    let mut name = vec![0; usize::from(length)];
    QueryServer.name(&session.memory(), &mut name);
    let found = async {
        let name = core::str::from_utf8(&name).map_err(|_| NetError::BadName)?;
        net.resolve(name).await
    };
    let Ok(found) = session.while_wanted(found).await else { return };
    let memory = session.memory();
    ring(
        &session,
        match found {
            Ok(found) => {
                QueryServer.found(&memory, &Addresses::new(found.into_iter().map(Into::into)))
            }
            Err(error) => QueryServer.failed(&memory, convert::error(error)),
        },
    );
}

/// Sends an echo request and waits for its reply.
pub async fn ping(net: Net, session: Session, asked: Ping) {
    let limit_ms = u64::from(asked.limit_ms).min(LIMIT_MS);
    let payload = usize::from(asked.payload_bytes);
    let echo = net.ping(asked.host.into(), asked.sequence, payload, limit_ms);
    let Ok(echo) = session.while_wanted(echo).await else { return };
    let memory = session.memory();
    ring(
        &session,
        match echo {
            Ok(ticks) => QueryServer.echoed(&memory, ticks_to_ns(ticks.0)),
            Err(error) => QueryServer.failed(&memory, convert::error(error)),
        },
    );
}
