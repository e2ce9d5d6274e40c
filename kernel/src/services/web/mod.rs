//! The status page: an HTTP server that shows the machine to a browser, and to programs as JSON.
//!
//! ```text
//!   GET /             page.html, which asks again and again for ─┐
//!   GET /status.json  the figures, made at most a few times a second ◄┘
//! ```
//!
//! Nobody can change anything through it, and it tells everybody who can reach the machine what the
//! machine does: `net.http=off` where that is too much.

mod connection;
mod figures;
mod status;

use super::connections::serve_each;
use super::net::{Buffers, Net, NetError};
use alloc::rc::Rc;
use connection::Connection;
use status::Status;

/// Most connections served at a time; more wait.
const CONNECTIONS_MAX: usize = 512;
/// With more than these, nobody may idle for long.
const CROWDED: usize = 400;
/// Connections that wait to be accepted.
const BACKLOG: usize = 320;

/// Serves at `port`, for ever.
///
/// # Errors
/// Somebody has the port.
pub async fn serve(net: Net, port: u16) -> Result<(), NetError> {
    let listener = net.listen(port, BACKLOG, Buffers::SMALL)?;
    log::info!("net: HTTP status page on port {port}");
    let status = Rc::new(Status::new(net));
    serve_each(&listener, "http", CONNECTIONS_MAX, |stream| {
        Connection::new(stream, status.clone()).serve()
    })
    .await
}
