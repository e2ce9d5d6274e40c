//! Echo, discard and chargen by UDP.

use super::{LINE_BYTES, Service, chargen};
use crate::platform::Pollux;
use crate::services::net::{Net, NetError, after_ms};
use alloc::vec;
use executor::timeout;

/// Longest datagram that is echoed; longer ones are cut.
const LONGEST: usize = 2048;
/// Ports below this are those of other services: answering them could go on for ever between two.
const FIRST_OF_CLIENTS: u16 = 1024;
/// How long an answer may wait for room.
const PATIENCE_MS: u64 = 1_000;

/// Answers datagrams to the service's port, for ever.
///
/// # Errors
/// Somebody has the port, or there is no room.
pub async fn serve(net: Net, service: Service) -> Result<(), NetError> {
    let socket = net.bind(service.port())?;
    let mut buffer = vec![0; LONGEST];
    let mut line = 0;
    loop {
        let (bytes, from) = socket.receive(&mut buffer).await;
        let bytes = bytes.min(LONGEST);
        if from.port < FIRST_OF_CLIENTS {
            continue;
        }
        let answer = match service {
            Service::Discard => continue,
            Service::Echo => &buffer[..bytes],
            Service::Chargen => {
                line = (line + 1) % super::CHARACTERS;
                let characters = buffer.iter_mut().take(LINE_BYTES).enumerate();
                characters.for_each(|(at, byte)| *byte = chargen(line * LINE_BYTES + at));
                &buffer[..LINE_BYTES]
            }
        };
        // An answer that cannot be sent is lost, as datagrams are.
        let _ = timeout::<Pollux, _>(after_ms(PATIENCE_MS), socket.send_to(answer, from)).await;
    }
}
