//! DMA memory on all cores: zeroed, within its limits, kept ready and given back.

use super::memory::settled_free;
use super::{Finding, cores};
use crate::platform::Pollux;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use executor::{Priority, spawn_on};
use hal::dma::{self, AddressLimit, Direction, DmaDomain, PAGE};

checks! { "dma", 60:
    buffers_are_zeroed_and_nobody_elses,
    pages_may_lie_anywhere,
    limits_hold,
    all_comes_back,
}

const SIZES: [usize; 7] = [1, 4096, 5000, 16 << 10, 128 << 10, (128 << 10) + 1, 1 << 20];

/// Takes buffers of all sizes, twice each, checks and fills them; they are freed elsewhere.
async fn buffers_are_zeroed_and_nobody_elses() -> Finding {
    let domain = DmaDomain::machine();
    for round in 0..5u8 {
        let mut held = Vec::new();
        for core in cores() {
            let domain = domain.clone();
            let work = move || async move {
                let mut buffers = Vec::new();
                for bytes in SIZES.into_iter().chain(SIZES) {
                    let mut buffer = domain.buffer(bytes).map_err(|error| (bytes, error))?;
                    let is_zeroed = buffer.iter().all(|byte| *byte == 0);
                    buffer.fill(round.wrapping_mul(7) ^ core.0 as u8 | 1);
                    buffers.push((is_zeroed, buffer));
                }
                Ok::<_, (usize, dma::DmaError)>(buffers)
            };
            let done = spawn_on::<Pollux, _, _>(core, "dma", Priority::Normal, work).await;
            let done = done.map_err(|error| alloc::format!("{error}"))?;
            held.push((core, done.map_err(|(bytes, error)| alloc::format!("{bytes}: {error}"))?));
        }
        let mut places = BTreeSet::new();
        for (core, buffers) in held {
            for (is_zeroed, buffer) in buffers {
                ensure!(is_zeroed, "a buffer of {} bytes was not zeroed", buffer.len());
                let expected = round.wrapping_mul(7) ^ core.0 as u8 | 1;
                ensure!(buffer.iter().all(|byte| *byte == expected), "somebody else wrote to it");
                let loan = buffer.lend(Direction::Both);
                ensure!(loan.is_contiguous(), "{loan:?} is not contiguous");
                for page in 0..loan.bytes().div_ceil(PAGE) {
                    ensure!(places.insert(loan.page(page)), "{loan:?} was handed out twice");
                }
                drop(loan.reclaim());
            }
        }
    }
    Ok(())
}

async fn pages_may_lie_anywhere() -> Finding {
    let domain = DmaDomain::machine();
    for bytes in [1, PAGE, 3 * PAGE + 5, 100 * PAGE] {
        let mut buffer = domain.listed(bytes).map_err(|error| alloc::format!("{error}"))?;
        ensure!(buffer.iter().all(|byte| *byte == 0), "{bytes} bytes: not zeroed");
        (0..bytes).for_each(|at| buffer[at] = (at / 7) as u8);
        let loan = buffer.lend(Direction::Both);
        let pages = (0..bytes.div_ceil(PAGE)).map(|index| loan.page(index));
        let places: BTreeSet<_> = pages.collect();
        ensure!(places.len() == bytes.div_ceil(PAGE), "a page is there twice");
        ensure!(places.iter().all(|place| place.0 % PAGE as u64 == 0), "a page is not aligned");
        let buffer = loan.reclaim();
        let kept = buffer.iter().enumerate().all(|(at, byte)| *byte == (at / 7) as u8);
        ensure!(kept, "{bytes} bytes: not what was written");
    }
    Ok(())
}

async fn limits_hold() -> Finding {
    for bits in [28, 32] {
        let domain = DmaDomain::machine().limited(AddressLimit::bits(bits));
        for bytes in SIZES {
            for listed in [true, false] {
                let buffer = if listed { domain.listed(bytes) } else { domain.buffer(bytes) };
                let loan = buffer.map_err(|error| alloc::format!("{bits} bits: {error}"))?;
                let loan = loan.lend(Direction::Both);
                let last = (0..bytes.div_ceil(PAGE)).map(|index| loan.page(index).0).max();
                let end = last.unwrap_or(0) + PAGE as u64;
                ensure!(end <= 1 << bits, "{loan:?} lies beyond {bits} bits");
                drop(loan.reclaim());
            }
        }
    }
    Ok(())
}

async fn all_comes_back() -> Finding {
    let drain = || async {
        for core in cores() {
            let drained = || async { dma::drain() };
            let _ = spawn_on::<Pollux, _, _>(core, "drain", Priority::Normal, drained).await;
        }
    };
    drain().await;
    let (free, before) = (settled_free().await, dma::statistics());
    ensure!(before.pooled == 0, "{} bytes are pooled after draining", before.pooled);
    buffers_are_zeroed_and_nobody_elses().await?;
    pages_may_lie_anywhere().await?;
    let after = dma::statistics();
    ensure!(after.in_use == before.in_use, "{} bytes, then {}", before.in_use, after.in_use);
    ensure!(after.pooled > 0, "nothing was kept for later");
    drain().await;
    let settled = settled_free().await;
    // Page tables of the kernel's window stay.
    ensure!(settled + 8 >= free, "{} frames are lost", free - settled);
    Ok(())
}
