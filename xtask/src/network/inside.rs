//! A network boot where it runs: servers and machine are started, the scenario is played, the end
//! is judged.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::boots::{BOOTS, NetBoot, Wiring};
use super::cards::{Cable, Card, Model};
use super::http::Server;
use super::peers::Dnsmasq;
use super::relay::Relay;
use super::session::Session;
use super::stage::Stage;
use super::syslog::Listeners;
use super::{bench, namespace, outside};
use crate::boot::{Ended, Outcome, SUCCESS};
use crate::expect::EPITAPH;
use crate::options::{Accel, Options};
use crate::qemu::{Console, Machine};
use crate::records::Records;
use crate::setup::{self, Emulator};
use crate::trial::Verdict;

/// The word that has this tool carry out a boot in a private network it was started in; people
/// have no use for it.
pub const WORD: &str = "in-private-network";

/// Seed of the weather on a relayed cable.
const SEED: u64 = 1;

/// How long the machine may take to switch itself off.
const LEAVING: Duration = Duration::from_secs(30);

/// `xtask in-private-network BOOT FOLDER ACCELERATOR CORES CARDS`: the verdict goes to a file in the
/// folder; or the benchmark, `bench FOLDER FLAGS…`.
pub fn run(arguments: &[OsString]) -> Result<ExitCode> {
    if let [name, dir, flags @ ..] = arguments
        && name == bench::NAME
    {
        return bench::inside(dir, flags);
    }
    let [name, dir, accel, cores, cards] = arguments else {
        bail!("{WORD} BOOT FOLDER ACCELERATOR CORES CARDS");
    };
    let [name, accel, cores, cards] =
        [name, accel, cores, cards].map(|word| word.to_string_lossy());
    let cores = cores.parse().context("cores")?;
    let cards = cards.split(',').map(|name| Model::by_name(name)?.context("no card"));
    let cards = cards.collect::<Result<Vec<_>>>()?;
    let boot = BOOTS.iter().find(|boot| boot.name == name);
    let boot = boot.with_context(|| format!("no network boot `{name}`"))?;
    let dir = PathBuf::from(dir);
    let boot = NetBoot { cores, cards: cards.leak(), ..*boot };
    let played = namespace::furnish(boot.cards.len())
        .and_then(|()| play(&boot, &dir, &setup::emulator()?, Accel::by_name(&accel)?));
    let verdict = played.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
    outside::write(&dir, &verdict)?;
    Ok(ExitCode::SUCCESS)
}

/// Carries `boot` out, whose medium is in `dir`.
pub fn play(boot: &NetBoot, dir: &Path, emulator: &Emulator, accel: Accel) -> Result<Verdict> {
    let flags = Options { smp: Some(boot.cores), accel, ..Options::default() };
    let mut machine = Machine::by_options(&flags, Console::Pipe, dir.to_path_buf())?;
    let private = boot.wiring != Wiring::User;
    let dnsmasq = if private { Some(Dnsmasq::start(boot.cards.len(), dir)?) } else { None };
    let (server, host, guest_url) = if private {
        let address = namespace::host(0);
        let guest = namespace::guest(0);
        (Server::start(("0.0.0.0", 0))?, address, format!("http://{guest}"))
    } else {
        // The guest's 10.0.2.2 is our 127.0.0.1.
        let port = free_port()?;
        let cable = Cable::User(vec![(port, 80)]);
        machine.cards =
            boot.cards.iter().map(|model| Card { model: *model, cable: cable.clone() }).collect();
        let url = format!("http://127.0.0.1:{port}");
        (Server::start(("127.0.0.1", 0))?, "10.0.2.2".to_owned(), url)
    };
    let relay = match boot.wiring {
        Wiring::Relay => Some(Arc::new(Relay::open(dir, SEED)?)),
        _ => None,
    };
    let syslog = if private { Some(Listeners::start(dir)?) } else { None };
    if private {
        let cable = |number| {
            let tap = namespace::tap(number);
            match relay.as_ref().filter(|_| number == 0) {
                Some(relay) => {
                    Cable::Relay { near: relay.near.clone(), far: relay.far.clone(), tap }
                }
                None => Cable::Tap(tap),
            }
        };
        let cards = boot.cards.iter().enumerate();
        let cards = cards.map(|(number, model)| Card { model: *model, cable: cable(number) });
        machine.cards = cards.collect();
    }
    let session = Session::start(machine, emulator)?;
    let cards = boot.cards.len();
    let (dir, remarks) = (dir.to_path_buf(), Vec::new());
    let mut stage =
        Stage { session, cards, guest_url, host, server, dnsmasq, syslog, relay, dir, remarks };
    let played = (boot.play)(&mut stage);
    let Stage { mut session, remarks, dnsmasq, .. } = stage;
    let played = played.and_then(|()| session.begin("poweroff"));
    let outcome = match &played {
        Ok(()) => session.leave(LEAVING)?,
        Err(error) => session.astray(format!("{error:#}")),
    };
    Ok(match played.and_then(|()| judge(&outcome)) {
        Ok(()) => Verdict::Passed(remarks.join("; ")),
        Err(error) => {
            let mut words = format!("{error:#}\n{}", outcome.last_words(25));
            if let Some(log) = dnsmasq.map(|server| server.said()) {
                let lines: Vec<&str> = log.lines().collect();
                for line in &lines[lines.len().saturating_sub(8)..] {
                    words.push_str(&format!("  {line}\n"));
                }
            }
            Verdict::Failed(words)
        }
    })
}

fn judge(outcome: &Outcome) -> Result<()> {
    let records = Records::parse(&outcome.records);
    if let Some(panic) = records.panics.first() {
        bail!("the kernel panicked: {panic}");
    }
    if outcome.serial.contains(EPITAPH) {
        bail!("the kernel panicked");
    }
    if outcome.ended != Ended::Status(SUCCESS) {
        bail!("expected the kernel to report success, {}", outcome.ended.explained());
    }
    Ok(())
}

/// A port of 127.0.0.1 that nobody listens at.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
