//! Everything a network is used for, in quantity.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{MIB, configured, guest_pings, host_pings, pulled_out, status_page};
use crate::network::capture::{self, Capture};
use crate::network::curl::{self, Connections};
use crate::network::iperf::{self, Direction, Transport};
use crate::network::peers::{self, NAME, renewals};
use crate::network::stage::{SOON, Stage};
use crate::network::{cards, namespace, traffic};

/// A file that takes its time.
const FILE: u64 = 100_000_000;
/// How long it may take at most.
const FILE_TIME: Duration = Duration::from_secs(120);
const CURLS: Duration = Duration::from_secs(180);

/// All of it, in the mode the machine came up with.
pub fn full(stage: &mut Stage) -> Result<()> {
    let dir = stage.dir.clone();
    let capture = Capture::start(stage.session.monitor()?, 0, &dir)?;
    configured(stage, "DHCP")?;
    stage.note("addresses, names, pings, the status page");
    status_page(stage)?;
    names_and_pings(stage)?;
    stage.note("echo, discard, chargen");
    services()?;
    let file = capture.stop(stage.session.monitor()?)?;
    stage.note("iperf3");
    iperf3(stage)?;
    stage.note("10,000 requests; 256 connections");
    requests(stage)?;
    stage.note("100 MB each way, the cable pulled out meanwhile");
    stage.guest_uploads("/large", FILE, FILE_TIME)?;
    pulled_out(stage, FILE, FILE_TIME)?;
    stage.note("log and capture");
    syslog(stage)?;
    match peers::find("tshark") {
        Ok(_) => {
            let frames = capture::check(&file)?;
            stage.remark(format!("{frames} frames captured, none bad"));
        }
        Err(why) => stage.remark(format!("capture not checked: {why}")),
    }
    renewed(stage)
}

fn names_and_pings(stage: &mut Stage) -> Result<()> {
    let (guest, host) = (namespace::guest(0), stage.host.clone());
    host_pings(&guest)?;
    host_pings(&namespace::guest_v6(0))?;
    guest_pings(stage, &host, 2)?;
    guest_pings(stage, &format!("{}1", namespace::prefix(0)), 2)?;
    guest_pings(stage, NAME, 2)?;
    let missing = stage.session.ask("ping nobody.pollux.test 1", SOON)?;
    ensure!(!missing.contains("received"), "a name that is not there was found: {missing}");
    let log = stage.dnsmasq.as_ref().map(|server| server.said()).unwrap_or_default();
    ensure!(log.contains(&format!("] {NAME} from {guest}")), "the DNS server was not asked");
    Ok(())
}

fn services() -> Result<()> {
    let guest = namespace::guest(0);
    traffic::echo(&guest, 2 * MIB)?;
    traffic::echo_datagrams(&guest, 100)?;
    traffic::discard(&guest, 4 * MIB)?;
    traffic::chargen(&guest, 2 * MIB)?;
    // What a device cuts by IPv4 is cut before it by IPv6.
    let guest = namespace::guest_v6(0);
    traffic::echo(&guest, MIB)?;
    traffic::chargen(&guest, 2 * MIB)
}

fn iperf3(stage: &mut Stage) -> Result<()> {
    if let Err(why) = peers::find("iperf3") {
        stage.remark(why);
        return Ok(());
    }
    let guest = namespace::guest(0);
    let mut rates = Vec::new();
    for by in [Transport::Tcp(1), Transport::Tcp(4), Transport::Udp(20)] {
        for direction in [Direction::ToGuest, Direction::FromGuest] {
            let bytes = iperf::run(&guest, direction, by, 2)?;
            rates.push((bytes / 2 / 1_000_000).to_string());
        }
    }
    stage.remark(format!("iperf3: {} MB/s", rates.join(", ")));
    Ok(())
}

fn requests(stage: &mut Stage) -> Result<()> {
    let url = format!("{}/status.json", stage.guest_url);
    curl::many(&url, 5_000, 16, Connections::Fresh, CURLS)?;
    curl::many(&url, 5_000, 16, Connections::Kept, CURLS)?;
    curl::many(&url, 512, 256, Connections::Fresh, CURLS)?;
    // Connections that are open and have asked for nothing so far.
    let guest = namespace::guest(0);
    let open = (0..256).map(|_| traffic::connect(&guest, 80)).collect::<Result<Vec<_>>>()?;
    for mut stream in open {
        stream.write_all(b"GET /status.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("one of 256 connections")?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "one of 256 connections was not answered");
    }
    Ok(())
}

/// The kernel's log came, in the standard's form, and rsyslogd reads it the same way.
fn syslog(stage: &mut Stage) -> Result<()> {
    let Some(listeners) = &stage.syslog else { bail!("nobody listens for syslog") };
    let messages = listeners.messages()?;
    ensure!(messages.len() >= 10, "{} messages came by syslog", messages.len());
    for message in &messages {
        let [_, _, application, ..] = &message.header;
        ensure!(message.facility == 0 && application == "pollux", "{message:?}");
    }
    let lease = messages.iter().find(|message| message.text.contains("by DHCP"));
    ensure!(lease.is_some(), "no message is about the lease");
    let numbers = messages.iter().flat_map(|message| &message.data).flat_map(|(_, all)| all);
    let numbers = numbers.filter(|(name, _)| name == "sequenceId").map(|(_, value)| value.parse());
    let numbers = numbers.collect::<Result<Vec<u64>, _>>().context("sequenceId")?;
    ensure!(numbers.is_sorted(), "messages are out of order");
    let Some(mut read) = listeners.by_rsyslogd() else {
        stage.remark(peers::find("rsyslogd").err().unwrap_or_default());
        return Ok(());
    };
    let deadline = Instant::now() + SOON;
    while read.lines().count() < messages.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        read = listeners.by_rsyslogd().unwrap_or_default();
    }
    let good = read.lines().filter(|line| line.contains(" pollux ")).count();
    ensure!(good >= messages.len(), "rsyslogd read {good} of {} messages", messages.len());
    stage.remark(format!("{} log lines by syslog", messages.len()));
    Ok(())
}

/// The lease has been renewed by the time half of it is over.
fn renewed(stage: &mut Stage) -> Result<()> {
    let Some(server) = &stage.dnsmasq else { return Ok(()) };
    stage.note("the lease is renewed");
    let mac = cards::address(0);
    let deadline = Instant::now() + Duration::from_secs(peers::LEASE * 3 / 4);
    while renewals(&server.said(), &mac) == 0 {
        ensure!(Instant::now() < deadline, "the lease was not renewed");
        std::thread::sleep(Duration::from_millis(100));
    }
    let guest = namespace::guest(0);
    host_pings(&guest)
}
