//! Kills: QEMU is killed outright at random moments of a load that never ends, and the same disk is
//! booted again, over and over.
//!
//! What QEMU had written survives in the host's cache, so this says nothing of flushes; it says that
//! the kernel goes on with whatever a sudden end leaves: epochs count up, no synced commit is gone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{LOG_BYTES, load, read, words};
use crate::drives::Port;
use crate::network::random::Random;
use crate::network::session::Session;
use crate::power::report::Verified;
use crate::power::stand::{LOAD, Stand, finish, played};
use crate::power::volume::Volume;

/// How often each of the machines is killed.
const KILLS: u32 = 10;
/// Longest time between the first new mark and the kill, in milliseconds.
const LATEST_MS: u64 = 800;

/// A machine that is killed again and again.
struct Victim {
    name: &'static str,
    volume: Volume,
    /// How often it was started.
    boots: u32,
    /// What its last boot verified.
    verified: Verified,
    /// The last record that its marks call durable.
    synced: Option<u64>,
}

/// Two machines, so that one boots while the other works.
pub fn kills(stand: &mut Stand<'_, '_>) -> Result<String> {
    let victim = |name, port, block| -> Result<Victim> {
        let path = stand.dir.join(format!("{name}.img"));
        stand.medium(name, &words(port))?;
        let volume = Volume::make(path, port, block, LOG_BYTES)?;
        Ok(Victim { name, volume, boots: 0, verified: Verified::default(), synced: None })
    };
    let mut victims =
        [victim("nvme", Port::Nvme(1, 1), 4096)?, victim("ahci", Port::Ahci(0), 512)?];
    let mut random = Random::new(2026);
    for round in 0..KILLS {
        let sessions = victims.each_ref().map(|victim| victim.start(stand));
        for (victim, session) in victims.iter_mut().zip(sessions) {
            let place = || format!("{}, kill {}", victim.name, round + 1);
            let place = place();
            victim.survive(session?, &mut random, round.into()).context(place)?;
        }
    }
    let sessions = victims.each_ref().map(|victim| victim.start(stand));
    for (victim, session) in victims.iter_mut().zip(sessions) {
        let mut session = session?;
        let end = played(&mut session, |session| victim.booted(session));
        finish(session, end).with_context(|| format!("{}, the last boot", victim.name))?;
        let _ = std::fs::remove_file(&victim.volume.path);
    }
    let reports: Vec<String> = victims.iter().map(Victim::summary).collect();
    Ok(format!("{} kills; {}", 2 * KILLS, reports.join(", ")))
}

impl Victim {
    fn start(&self, stand: &Stand<'_, '_>) -> Result<Session> {
        stand.start(self.name, 1, self.volume.drive())
    }

    fn summary(&self) -> String {
        let Verified { records, boots } = self.verified;
        format!("{}: {records} records of {boots} boots", self.name)
    }

    /// Boots, works, and is killed.
    fn survive(&mut self, mut session: Session, random: &mut Random, seed: u64) -> Result<()> {
        let worked = self.booted(&mut session).and_then(|()| {
            session.begin(&load(self.volume.port, 0, 2, seed))?;
            self.wait_for_marks()?;
            sleep(Duration::from_millis(random.below(LATEST_MS)));
            Ok(())
        });
        if let Err(error) = worked {
            let outcome = session.astray(format!("{error:#}"));
            return Err(error.context(outcome.last_words(25)));
        }
        // Killed, as everything that is dropped here.
        drop(session);
        self.synced = self.volume.synced()?;
        let found = read(&self.volume)?.found;
        let synced = self.synced.context("no mark")?;
        ensure!(
            found.next() > synced,
            "record {synced} was synced, and the log has {}",
            found.next()
        );
        Ok(())
    }

    /// What the boot says of the log: one boot more, and at least what was synced.
    fn booted(&mut self, session: &mut Session) -> Result<()> {
        let begun = self.boots > 0;
        session.wait_for(if begun { " records, chain " } else { "a new log begins" }, LOAD)?;
        let verified = Verified::said(&session.said()).context("it says nothing of its log")?;
        let (boots, before) = (verified.boots, self.boots);
        ensure!(boots == before, "{boots} boots are in the log, {before} were made");
        if let Some(synced) = self.synced {
            let records = verified.records;
            ensure!(
                records > synced,
                "record {synced} was synced, {records} records were verified"
            );
        }
        (self.verified, self.boots) = (verified, before + 1);
        Ok(())
    }

    /// Waits until more has been synced than before.
    fn wait_for_marks(&self) -> Result<()> {
        let deadline = Instant::now() + LOAD;
        while self.volume.synced()? <= self.synced {
            ensure!(Instant::now() < deadline, "nothing was synced in {} s", LOAD.as_secs());
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
