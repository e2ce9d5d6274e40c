//! Echo, discard and chargen by TCP.

use super::{PERIOD, Service, chargen};
use crate::platform::Pollux;
use crate::services::connections::serve_each;
use crate::services::net::{Buffers, Net, NetError, TcpStream, after_ms};
use core::future::Future;
use executor::timeout;

/// Most connections to one of the ports; more wait.
const CONNECTIONS_MAX: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: usize = 4;
/// How long nothing may move.
const IDLE_MS: u64 = 60_000;

static CHARGEN: [u8; PERIOD] = {
    let mut bytes = [0; PERIOD];
    let mut at = 0;
    while at < PERIOD {
        bytes[at] = chargen(at);
        at += 1;
    }
    bytes
};

/// Serves at the service's port, for ever.
///
/// # Errors
/// Somebody has the port, or there is no room.
pub async fn serve(net: Net, service: Service) -> Result<(), NetError> {
    let listener = net.listen(service.port(), BACKLOG, Buffers::USUAL)?;
    let serve = |mut stream: TcpStream| async move {
        let done = match service {
            Service::Echo => echo(&stream).await,
            Service::Discard => discard(&stream).await,
            Service::Chargen => generate(&stream).await,
        };
        // At the end of the other side's stream, ours ends too. Else it is reset.
        if done.is_ok() {
            stream.shut_down();
        }
    };
    match service {
        Service::Echo => serve_each(&listener, "echo", CONNECTIONS_MAX, serve).await,
        Service::Discard => serve_each(&listener, "discard", CONNECTIONS_MAX, serve).await,
        Service::Chargen => serve_each(&listener, "chargen", CONNECTIONS_MAX, serve).await,
    }
}

/// Something that moves bytes, within the time for it.
async fn moved<T>(step: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
    timeout::<Pollux, _>(after_ms(IDLE_MS), step).await.map_err(|_| NetError::TimedOut)?
}

async fn echo(stream: &TcpStream) -> Result<(), NetError> {
    let mut buffer = [0; 2048];
    loop {
        let count = moved(stream.read(&mut buffer)).await?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = moved(stream.write(rest)).await?;
            rest = &rest[written..];
        }
    }
}

async fn discard(stream: &TcpStream) -> Result<(), NetError> {
    while moved(stream.read_with(|bytes| (bytes.len(), ()))).await?.is_some() {}
    Ok(())
}

async fn generate(stream: &TcpStream) -> Result<(), NetError> {
    let mut at = 0;
    loop {
        at += moved(stream.write(&CHARGEN[at..])).await?;
        at %= PERIOD;
    }
}
