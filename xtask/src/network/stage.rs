//! What a scenario has to work with: the machine at its console, the addresses of both ends, the
//! servers of the host; and where it leaves remarks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::http::{Server, pattern_digest};
use super::peers::Dnsmasq;
use super::relay::Relay;
use super::session::Session;
use super::syslog::Listeners;
use crate::progress;

/// How long a line at the shell takes at most that does no work to speak of.
pub const SOON: Duration = Duration::from_secs(30);

/// Everything on it.
pub struct Stage {
    /// The machine.
    pub session: Session,
    /// How many cards it has.
    pub cards: usize,
    /// Base of URLs at the guest, as the host reaches it: `http://192.0.2.10`.
    pub guest_url: String,
    /// The host's address as the guest reaches it.
    pub host: String,
    /// Where the guest fetches from and uploads to.
    pub server: Server,
    /// DHCP and DNS, in a private network.
    pub dnsmasq: Option<Dnsmasq>,
    /// Where the kernel's log goes, in a private network.
    pub syslog: Option<Listeners>,
    /// The cable of the first card, if it is one with somebody in the middle.
    pub relay: Option<Arc<Relay>>,
    /// The folder of the run.
    pub dir: PathBuf,
    /// Words for people: how much it was, and what was left out.
    pub remarks: Vec<String>,
}

impl Stage {
    /// Says what comes now.
    pub fn note(&self, what: &str) {
        progress::step(format!("      {what}"));
    }

    /// Something for people to know about a boot that went well.
    pub fn remark(&mut self, words: impl Into<String>) {
        self.remarks.push(words.into());
    }

    /// Who is in the middle of the first card's cable.
    pub fn relay(&self) -> Result<Arc<Relay>> {
        self.relay.clone().context("the cable has no relay")
    }

    /// A path at the host's server, as the guest names it.
    pub fn host_url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.server.address.port())
    }

    /// Changes how arrivals at `card` are noticed.
    pub fn mode(&mut self, card: &str, mode: &str) -> Result<()> {
        let said = self.session.ask(&format!("net {card} {mode}"), SOON)?;
        let list = self.session.ask("net", SOON)?;
        let mut lines = list.lines().map(str::split_whitespace);
        let is_so = lines
            .any(|mut words| words.clone().next() == Some(card) && words.any(|word| word == mode));
        if !is_so {
            bail!("{card} is not in mode {mode}: {said}\n{list}");
        }
        Ok(())
    }

    /// The guest fetches `bytes` bytes of the pattern from the host; what it has of them is right.
    pub fn guest_fetches(&mut self, seed: u64, bytes: u64, limit: Duration) -> Result<()> {
        self.begin_fetch(seed, bytes)?;
        self.end_fetch(seed, bytes, limit)
    }

    /// The same, from another address of the host's.
    pub fn guest_fetches_from(
        &mut self,
        host: &str,
        seed: u64,
        bytes: u64,
        limit: Duration,
    ) -> Result<()> {
        let other = std::mem::replace(&mut self.host, host.to_owned());
        let fetched = self.guest_fetches(seed, bytes, limit);
        self.host = other;
        fetched.with_context(|| format!("from {host}"))
    }

    /// The same by a program, over the network that it is given.
    pub fn program_fetches(&mut self, seed: u64, bytes: u64, limit: Duration) -> Result<()> {
        let url = self.host_url(&format!("/pattern/{seed}/{bytes}"));
        let answer = self.session.ask(&format!("run fetch {url} --net"), limit)?;
        same_digest(&answer, &pattern_digest(seed, bytes)).context("what the program fetched")
    }

    /// Has the guest begin to fetch.
    pub fn begin_fetch(&mut self, seed: u64, bytes: u64) -> Result<()> {
        let url = self.host_url(&format!("/pattern/{seed}/{bytes}"));
        self.session.begin(&format!("http get {url}"))
    }

    /// Waits until the guest has fetched, and looks at what.
    pub fn end_fetch(&mut self, seed: u64, bytes: u64, limit: Duration) -> Result<()> {
        let answer = self.session.answer(limit)?;
        same_digest(&answer, &pattern_digest(seed, bytes)).context("what the guest fetched")
    }

    /// The guest uploads `bytes` bytes; the host has what the guest says it sent.
    pub fn guest_uploads(&mut self, path: &str, bytes: u64, limit: Duration) -> Result<()> {
        let url = self.host_url(path);
        let answer = self.session.ask(&format!("http put {url} {bytes}"), limit)?;
        let Some(upload) = self.server.uploaded(path) else {
            bail!("nothing came to {path}; the guest said: {answer}");
        };
        if upload.bytes != bytes {
            bail!("{} of {bytes} bytes came to {path}", upload.bytes);
        }
        same_digest(&answer, &upload.digest).context("what the guest uploaded")
    }
}

/// Whether `answer` has the SHA-256 `wanted`.
fn same_digest(answer: &str, wanted: &str) -> Result<()> {
    if answer.contains(wanted) {
        return Ok(());
    }
    let is_digest = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let mut words = answer.split(|c: char| !c.is_ascii_alphanumeric());
    match words.find(is_digest) {
        Some(other) => bail!("the SHA-256 is {other}, it should be {wanted}"),
        None => bail!("no SHA-256 in the answer: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_compared() {
        let (right, wrong) = ("ab".repeat(32), "cd".repeat(32));
        same_digest(&format!("200 OK, 9 bytes, SHA-256 {right}, 1 MB/s"), &right).unwrap();
        let error = same_digest(&format!("SHA-256 {wrong}"), &right).unwrap_err().to_string();
        assert!(error.contains(&wrong));
        assert!(same_digest("timed out", &right).unwrap_err().to_string().contains("timed out"));
    }
}
