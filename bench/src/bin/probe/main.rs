//! Takes one figure on the core it is started on; see `bench::probe` for how it is asked.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod authority;
mod sampling;
mod tokens;
mod work;

use bench::abi::Error;
use bench::abi::message::Message;
use bench::abi::metric::{Metric, Unit};
use bench::catalogue::WINDOWS;
use bench::measure::per_operation;
use bench::probe::{CYCLES_CHECK, GO, READY, RESULT};
use bench::runtime::capability::{Endpoint, Notification};
use bench::runtime::{Env, ExitCode, calls, clock};

use sampling::{Counter, Sampler};
use work::Work;

bench::main!(main);

async fn main(mut env: Env) -> ExitCode {
    let figure = env.args().get(1).copied().unwrap_or("");
    if figure == CYCLES_CHECK {
        return check_cycles();
    }
    match take(&mut env, figure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bench::println!("{figure}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take(env: &mut Env, figure: &'static str) -> Result<(), Error> {
    let number = |key| env.value(key).and_then(|text| text.parse::<u64>().ok());
    let budget = clock::ticks_in(number("budget_ms").unwrap_or(100) * 1_000_000);
    let window = number("window_ns").map(clock::ticks_in);
    let slot = number("slot").unwrap_or(0);
    let peer = number("peer").and_then(|core| u16::try_from(core).ok());
    let sampler = Sampler { budget, exact: env.has("exact") };
    if let Some(mut samples) = authority::samples(figure, env, &sampler)? {
        return if samples.is_empty() {
            Ok(())
        } else {
            report(env, figure, Unit::Ticks, Metric::ALL_CORES, &mut samples)
        };
    }
    let mut work = work::of(figure, env, peer)?;
    match window {
        Some(window) => count(env, &sampler, &mut work, window, slot)?,
        None => {
            publish(env, &sampler, &mut work, figure, peer, Counter::Ticks)?;
            if env.has("cycles") {
                publish(env, &sampler, &mut work, figure, peer, Counter::Cycles)?;
            }
        }
    }
    work.finish()
}

/// Takes the distribution and hands it to the kernel.
fn publish(
    env: &Env,
    sampler: &Sampler,
    work: &mut Work,
    figure: &str,
    peer: Option<u16>,
    counter: Counter,
) -> Result<(), Error> {
    let (plan, mut samples) = sampler.distribution(work.run(), counter)?;
    for sample in &mut samples {
        *sample = per_operation(*sample, plan.batch * work.scale);
    }
    let unit = match counter {
        Counter::Ticks => Unit::Ticks,
        Counter::Cycles => Unit::Cycles,
    };
    report(env, figure, unit, peer.unwrap_or(Metric::ALL_CORES), &mut samples)
}

/// Hands a distribution to the kernel.
fn report(
    env: &Env,
    figure: &str,
    unit: Unit,
    peer: u16,
    samples: &mut [u64],
) -> Result<(), Error> {
    let (core, _) = calls::core()?;
    let metric = Metric::of(figure, core as u16, unit, samples).ok_or(Error::InvalidArgument)?;
    let report = env.handle(bench::abi::start::tag::REPORT).ok_or(Error::BadHandle)?;
    calls::report(report, &metric.with_peer(peer).encode())
}

/// Counts operations in windows that all probes share, and sends the counts to the suite.
fn count(
    env: &mut Env,
    sampler: &Sampler,
    work: &mut Work,
    window: u64,
    slot: u64,
) -> Result<(), Error> {
    let mut taken = |tag| env.take(tag).ok_or(Error::BadHandle);
    let ready = Notification::from_handle(taken(READY)?);
    let go = Notification::from_handle(taken(GO)?);
    let result = Endpoint::from_handle(taken(RESULT)?);
    let plan = sampler.plan(work.run(), Counter::Ticks)?;
    ready.signal(1 << (slot % 64))?;
    let start = go.wait()?;
    let counts: [u64; WINDOWS] = sampling::count_windows(work.run(), plan.batch, start, window)?;
    let mut words = [0; 6];
    words[..WINDOWS].copy_from_slice(&counts.map(|operations| operations * work.scale));
    // Told before it is sent, or nobody would know for how long to wait.
    ready.signal(1 << (slot % 64))?;
    result.send(&Message::new(0, words))
}

/// Whether the cycle counter can be read here and moves. If it can't be read, the process faults.
fn check_cycles() -> ExitCode {
    let first = clock::cycles();
    let _ = calls::null();
    if clock::cycles() > first { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
