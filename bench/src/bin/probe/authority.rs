//! What changes of authority cost. Between two samples something has to be made or given up, which
//! is not in the figure; so these are not batches of one operation that is repeated.

use alloc::vec::Vec;

use bench::abi::start::tag;
use bench::abi::{Error, FOREVER, Handle, Rights};
use bench::measure::{SAMPLES_MAX, SAMPLES_MIN, per_operation};
use bench::runtime::capability::Notification;
use bench::runtime::{Env, calls, clock};

use crate::sampling::Sampler;

/// Derivations in a sample.
const DERIVED: u64 = 64;
/// What is revoked at once.
const REVOKED: usize = 1_000;
/// Samples of what is exact: each revoke needs a thousand derivations before it.
const SAMPLES_EXACT: u64 = 5;
/// Samples before anything is counted.
const WARM_UP: u64 = 3;

/// Ticks per operation of `figure`, a number a sample. `None`: it is not one of these. No samples:
/// there is nothing here to measure.
pub fn samples(figure: &str, env: &Env, sampler: &Sampler) -> Result<Option<Vec<u64>>, Error> {
    let root = Notification::create()?;
    let root = root.handle();
    match figure {
        "cap.derive" => repeated(sampler, || derive(root)).map(Some),
        "cap.revoke_1000" => repeated(sampler, || revoke(root)).map(Some),
        "commit.sync" if sampler.exact => Ok(Some(Vec::new())),
        "commit.sync" => {
            let log = env.handle(tag::LOG).ok_or(Error::BadHandle)?;
            match repeated(sampler, || sync(root, log)) {
                // Nothing keeps the log here.
                Err(Error::NotSupported) => Ok(Some(Vec::new())),
                samples => samples.map(Some),
            }
        }
        _ => Ok(None),
    }
}

fn repeated(
    sampler: &Sampler,
    mut sample: impl FnMut() -> Result<u64, Error>,
) -> Result<Vec<u64>, Error> {
    for _ in 0..WARM_UP {
        sample()?;
    }
    let end = clock::ticks() + sampler.budget;
    let (least, most) =
        if sampler.exact { (SAMPLES_EXACT, SAMPLES_EXACT) } else { (SAMPLES_MIN, SAMPLES_MAX) };
    let mut samples = Vec::with_capacity(most as usize);
    while (samples.len() as u64) < most && ((samples.len() as u64) < least || clock::ticks() < end)
    {
        samples.push(sample()?);
    }
    Ok(samples)
}

/// A second capability out of one.
fn derive(root: Handle) -> Result<u64, Error> {
    let first = clock::ticks();
    for _ in 0..DERIVED {
        calls::duplicate(root, Rights::SEND)?;
    }
    let ticks = clock::ticks() - first;
    calls::revoke(root)?;
    Ok(per_operation(ticks, DERIVED))
}

/// A revoke of all that came of one: a tree of two branches at every fork.
fn revoke(root: Handle) -> Result<u64, Error> {
    let mut tree = Vec::with_capacity(REVOKED + 1);
    tree.push(root);
    for number in 0..REVOKED {
        tree.push(calls::duplicate(tree[number / 2], Rights::all())?);
    }
    let first = clock::ticks();
    calls::revoke(root)?;
    Ok(clock::ticks() - first)
}

/// From a change of authority to its being durable.
fn sync(root: Handle, log: Handle) -> Result<u64, Error> {
    calls::drop_capability(calls::duplicate(root, Rights::SEND)?)?;
    let first = clock::ticks();
    calls::commit_sync(log, FOREVER)?;
    Ok(clock::ticks() - first)
}
