//! The shell's command `commits`: the last changes of authority, whether they lead to the state the
//! kernel is in, and how they are kept.

use crate::authority::{self, log as chain};
use crate::services::{commit_log, console};
use alloc::string::{String, ToString};
use protocols::axiom::replay::Divergence;
use protocols::axiom::show::Overview;
use protocols::axiom::{Record, State};
use thiserror_no_std::Error;

/// Commits shown.
const SHOWN: usize = 16;

/// Why a command on the log was not carried out, or what it found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitsError {
    /// None of the words there are.
    #[error("`{0}` is neither a number of commits nor verify, sync, state, new NAME")]
    NoWord(String),
    /// The log does not lead here.
    #[error("WRONG: the log does not lead to the kernel's state: {0}")]
    Diverges(#[from] Divergence),
    /// Nothing keeps it.
    #[error("{0}")]
    NotDurable(#[from] commit_log::NotDurable),
    /// No new log there.
    #[error("{0}")]
    Begin(#[from] commit_log::BeginError),
}

type Done = Result<(), CommitsError>;

/// `commits`: how the log is kept, and its last commits.
pub async fn list(count: Option<&str>) -> Done {
    let count = count
        .map_or(Ok(SHOWN), |word| word.parse().map_err(|_| CommitsError::NoWord(word.into())))?;
    let (records, hash) = chain::head();
    console::say(format_args!("commits: {records} records, chain {hash}"));
    console::say(commit_log::status());
    let last = chain::last(count);
    let lines = last.iter().map(|chained| match Record::decode(&chained.bytes) {
        Ok(record) => record.to_string(),
        Err(error) => alloc::format!("{:>6} {error}", chained.sequence),
    });
    console::show(lines).await;
    Ok(())
}

/// `commits verify`: replays the log from where it begins in memory, and compares the states.
pub async fn verify() -> Done {
    let report = chain::verify().await?;
    console::say(report);
    console::say(format_args!(
        "commits: {} records replayed: they lead to the kernel's state",
        report.replayed
    ));
    Ok(())
}

/// `commits sync`: returns when all that was committed before is durable.
pub async fn sync() -> Done {
    let last = chain::ordered().await.saturating_sub(1);
    commit_log::sync(last).await?;
    console::say(format_args!("commits: durable up to {last}"));
    Ok(())
}

/// `commits new NAME`: begins a new log on that partition, whatever is there.
pub async fn begin(name: &str) -> Done {
    commit_log::begin_anew(name).await?;
    console::say(commit_log::status());
    Ok(())
}

/// `commits state`: all there is.
pub async fn state() {
    // A copy, so that nobody waits for the console.
    let state = authority::look(State::clone);
    console::show(Overview(&state).to_string().lines()).await;
    console::say(format_args!("state {}", state.hash()));
}
