//! The shell's command `caps`: who holds what, and what was derived from what.

use crate::authority;
use crate::services::console;
use alloc::format;
use alloc::string::ToString;
use kernel_text::grid::Grid;
use protocols::axiom::State;
use protocols::axiom::show::{Holder, Tree};
use thiserror_no_std::Error;

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CapsError {
    /// No number.
    #[error("`{0}` is no number of a process: `caps` lists them (0 is the kernel)")]
    NoNumber(alloc::string::String),
    /// It has ended, or never was.
    #[error("no process {0} lives: `caps` lists those that do")]
    NoProcess(u32),
}

/// `caps`: the living processes with what they may use, and what of that they do.
pub async fn list() {
    // A copy, so that nobody waits for the console.
    let state = authority::look(State::clone);
    let headings =
        ["process", "<name", "child of", "handles", "threads", "most frames", "most messages"];
    let mut grid = Grid::new(&headings);
    for (id, process) in state.processes() {
        let budget = process.budget;
        let row = [
            id.to_string(),
            process.name.as_str().escape_debug().to_string(),
            process.parent.to_string(),
            format!("{} of {}", state.held(id).count(), budget.handles),
            format!("{} of {}", process.threads.len(), budget.threads),
            budget.frames.to_string(),
            budget.messages.to_string(),
        ];
        grid.row(row.into());
    }
    console::show(grid.lines()).await;
    let revocable = state.capabilities().filter(|(_, held)| held.parent.is_some()).count();
    console::say(format_args!(
        "{} capabilities, {revocable} of them derived, to {} objects; {} mappings",
        state.capabilities().count(),
        state.objects().count(),
        state.mappings().count()
    ));
}

/// `caps PROCESS`: what it holds and has mapped, and what was derived from that.
pub async fn show(word: &str) -> Result<(), CapsError> {
    let id: u32 = word.parse().map_err(|_| CapsError::NoNumber(word.into()))?;
    let state = authority::look(State::clone);
    if state.process(id).is_none() {
        return Err(CapsError::NoProcess(id));
    }
    console::show(Holder { state: &state, process: id }.to_string().lines()).await;
    for (_, root) in state.held(id) {
        if state.children(root).next().is_some() {
            console::show(Tree { state: &state, root }.to_string().lines()).await;
        }
    }
    Ok(())
}
