//! The `probe` program as the suite sees it: one process that takes one figure on one core.
//!
//! Arguments: `probe FIGURE [peer=N] [budget_ms=N] [exact] [cycles]` takes a distribution and
//! reports it; with `window_ns=N` it counts operations in [`crate::catalogue::WINDOWS`] windows
//! instead, together with others:
//!
//! ```text
//! probe: set up, warm up, signal READY ──▶ suite waits for all of them
//! probe: wait for GO ◀── suite signals GO; the bits are the tick count to start at
//! probe: count, send the counts to RESULT ──▶ suite adds them up
//! ```

/// Tag of the image of `echo`.
pub const ECHO_IMAGE: u32 = 0x20;
/// Tag of the image of `noop`.
pub const NOOP_IMAGE: u32 = 0x21;
/// Tag of the notification a probe signals when it is ready, with the bit of its `slot=N`.
pub const READY: u32 = 0x22;
/// Tag of the notification that starts it.
pub const GO: u32 = 0x23;
/// Tag of the endpoint for its counts.
pub const RESULT: u32 = 0x24;
/// Tag of the endpoint it calls, for the figure [`CLIENT`].
pub const SERVER: u32 = 0x25;

/// Figure of a client of somebody else's server.
pub const CLIENT: &str = "ipc.client";
/// Not a figure: reads the cycle counter twice, ends well if it moved.
pub const CYCLES_CHECK: &str = "cycles.check";
