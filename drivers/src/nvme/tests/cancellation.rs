//! Reads that are dropped in flight while others go on. The simulated machine reports every byte
//! that lands in memory which is not lent: freed, or handed to somebody else.

use futures_util::future::{join, join_all};

use super::*;

in_every_mode![ten_thousand_reads_are_dropped_in_flight];

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn pattern(block: u64) -> u8 {
    (block * 37 % 251) as u8
}

fn ten_thousand_reads_are_dropped_in_flight(mode: CompletionMode) {
    const DROPPERS: u64 = 40;
    const DROPS: u64 = 250;
    let mut random = Random(0x1234_5678_9abc_def1);
    let model = with_fates(move |_| Fate::Late(random.below(200_000)));
    let (dropped, end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        rig.device.act(|model, _| {
            for (block, data) in (0..).zip(model.disk().chunks_exact_mut(BLOCK)) {
                data.fill(pattern(block));
            }
        });
        let droppers = (1..=DROPPERS).map(|seed| async move {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
            let mut dropped = 0;
            while dropped < DROPS {
                let bytes = [512, 4096, 16384][random.below(3) as usize];
                let limit = Virtual::now().after(random.below(400_000));
                let read = disk.read(Lba(random.below(4000)), rig.buffer(bytes, 0xfe));
                match executor::timeout::<Virtual, _>(limit, read).await {
                    Ok(read) => assert_eq!(read.result, Ok(())),
                    Err(_) => dropped += 1,
                }
            }
            dropped
        });
        let verifiers = (1..=8u64).map(|seed| async move {
            let mut random = Random(0x2545_f491_4f6c_dd1d ^ seed);
            for _ in 0..300 {
                let block = random.below(4000);
                // Freshly allocated: where dropped reads had theirs.
                let read = disk.read(Lba(block), rig.buffer(4096, 0xfe)).await;
                let buf = read.buf.expect("it comes back");
                for (offset, data) in (0..).zip(buf.chunks_exact(BLOCK)) {
                    let expected = pattern(block + offset);
                    assert!(data.iter().all(|byte| *byte == expected), "block {block}");
                }
            }
        });
        let (dropped, _) = join(join_all(droppers), join_all(verifiers)).await;
        dropped.into_iter().sum::<u64>()
    });
    assert_eq!(dropped, 10_000);
    assert_eq!((end, memory), CLEAN);
}
