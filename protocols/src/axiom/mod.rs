//! Authority as a pure state machine, and the chain of commits that is its history.
//!
//! ```text
//!              check                 apply
//!   Commit ──> State::apply ──ok──> State', effects ──> handle tables, memory maps
//!                   │                  │
//!                   └─ Refusal         └──> Record ── extend ──> chain: H(n) = SHA-256(H(n-1) ‖ record)
//! ```
//!
//! All authority is held as capabilities: a capability names an object, has rights, and lies in one
//! slot of one process. The state is what the commits make of nothing, in their order; nothing else
//! changes it. So whoever has the commits has the state, on any machine, and whoever knows the last
//! hash knows that no commit was changed, left out or put in.
//!
//! - [`commit`]: the changes there are, and their canonical encoding.
//! - [`chain`]: records and the hashes over them.
//! - [`state`]: what is held, what a commit does to it, its encoding and hash.
//! - [`show`]: all of it as text for people.
//! - [`replay`]: a chain from its beginning or a checkpoint, verified commit by commit.

pub mod chain;
pub mod commit;
mod encoding;
mod name;
pub mod replay;
pub mod show;
pub mod state;

pub use chain::{Cause, Hash, Record, extend};
pub use commit::{Budget, CapabilityId, Commit, Name, ObjectId};
pub use encoding::Malformed;
pub use state::{Effect, Refusal, State, Why};
