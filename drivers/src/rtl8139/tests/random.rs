//! Anything that can go wrong, at random, and then nothing any more: the device is used again or has
//! been given up, and memory is never given back too early.

use std::boxed::Box;

use hal::mmio::Width;
use hal::sim::{FaultPlan, WriteFate};
use proptest::prelude::*;
use protocols::rtl8139::offset;

use super::*;

/// A stream of numbers that looks random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.next().is_multiple_of(many)
    }
}

/// Wrong reads, lost writes and lost transfers, one in `rarity`. What the device says of frames that
/// it has sent, where it was told that memory is, and that it has to stop, are left as they are: if
/// these are not to be trusted, nothing is.
fn faults(seed: u64, rarity: u64) -> FaultPlan {
    let mut seeds = Numbers(seed | 1);
    let [mut reads, mut writes, mut transfers] = [0; 3].map(|_| Numbers(seeds.next()));
    FaultPlan::new()
        .on_read(move |at, width, value| {
            // All ones at once would be a device that is gone.
            let flips = reads.next() & (width.all_ones() >> 1);
            let is_trusted = width == Width::Bits8 || at == offset::SUMMARY;
            if !is_trusted && reads.one_in(rarity) { value ^ flips } else { value }
        })
        .on_write(move |at, _, _| {
            let is_trusted = matches!(at, offset::CR | offset::RBSTART | offset::TSAD..0x30);
            let is_lost = !is_trusted && writes.one_in(rarity);
            if is_lost { WriteFate::Ignore } else { WriteFate::Deliver }
        })
        .on_dma(move |_| !transfers.one_in(rarity))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn it_goes_on_after_anything(
        seed: u64,
        rarity in 3u64..200,
        mode in prop_oneof![
            Just(CompletionMode::Poll), Just(CompletionMode::Msix), Just(CompletionMode::Adaptive)
        ],
        wired: bool,
    ) {
        let wiring = if wired { Wiring::Interrupt } else { Wiring::None };
        let end = attempt(wiring, Model::new(), mode, async |rig, nic| {
            let nic = nic.expect("it is announced");
            let mut numbers = Numbers(seed | 1);
            rig.device.set_faults(faults(seed, rarity));
            for _ in 0..400 {
                let (length, mark) = (60 + numbers.next() as usize % 1400, numbers.next() as u8);
                if numbers.one_in(rarity) {
                    let header = numbers.next() as u32;
                    rig.device.act(|model, _| model.header = Some(header));
                }
                if numbers.one_in(rarity) {
                    let fate = [Sending::Lost, Sending::Aborted, Sending::Late, Sending::Good]
                        [numbers.next() as usize % 4];
                    rig.device.act(|model, _| model.fate = Box::new(move |_| fate));
                }
                rig.arrive(&frame(length, mark));
                let _ = nic.try_transmit(outgoing(&nic, length, mark));
                if numbers.one_in(4) {
                    while nic.try_receive().is_some() {}
                }
                if numbers.one_in(50) {
                    nic.port().control.set_mode(MODES[numbers.next() as usize % 3]);
                }
                sleep::<Virtual>(numbers.next() % (5 * MILLISECOND)).await;
            }
            rig.device.set_faults(FaultPlan::new());
            rig.device.act(|model, _| {
                model.header = None;
                model.fate = Box::new(|_| Sending::Good);
            });
            // What it did while nothing that it read was right is not held against it.
            sleep::<Virtual>(10 * SECOND).await;
            rig.device.act(|model, _| model.complaints.clear());
            while nic.try_receive().is_some() {}
            if nic.state() != State::Closed {
                rig.works(&nic, 5).await;
            }
            rig.stop.notify();
        });
        if end.driver == Some(Ok(())) {
            end.clean();
        }
    }
}
