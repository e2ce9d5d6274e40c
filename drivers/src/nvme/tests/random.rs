//! Whatever becomes of commands, and whatever a controller says of itself.

use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Good),
        1 => Just(Fate::Twice),
        1 => (0u8..8, any::<u8>()).prop_map(|(kind, code)| {
            Fate::Fails(Status { kind, code, do_not_retry: false })
        }),
        1 => any::<u16>().prop_map(Fate::AfterStray),
        2 => (0u64..2_000_000).prop_map(Fate::Late),
        1 => Just(Fate::Lost),
    ]
}

fn mode() -> impl Strategy<Value = CompletionMode> {
    prop_oneof![
        Just(CompletionMode::Poll),
        Just(CompletionMode::Msix),
        Just(CompletionMode::Adaptive)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Each caller has an answer within the time limit, nothing leaks and no memory is touched that
    /// was not lent (the machine would object).
    #[test]
    fn every_caller_has_an_answer(
        mode in mode(),
        fates in proptest::collection::vec(fate(), 1..60),
        refused in proptest::collection::vec(prop_oneof![Just(0u8), Just(4), Just(8)], 0..3),
        is_mirrored: bool,
        dropped: u64,
    ) {
        let mut fates = fates.into_iter();
        let mut model = with_fates(move |_| fates.next().unwrap_or(Fate::Good));
        model.refuses.extend(refused);
        model.optional_admin_commands = u16::from(is_mirrored) << 8;
        let (late, _, memory) = drive(mode, model, async |rig, namespace| {
            let disk = &namespace.expect("one namespace");
            let work = (0..60u64).map(|number| async move {
                let start = Virtual::now();
                let read = disk.read(Lba(number), rig.buffer(1024, 0));
                if dropped >> number & 1 == 1 {
                    let limit = start.after(number * 1000);
                    let _ = executor::timeout::<Virtual, _>(limit, read).await;
                } else {
                    let _ = read.await;
                }
                Virtual::now().since(start) > 12 * SECOND
            });
            join_all(work).await.into_iter().any(|late| late)
        });
        prop_assert!(!late);
        prop_assert_eq!(memory, MemoryReport::default());
    }

    /// A controller that tells nonsense of itself.
    #[test]
    fn any_identify_data(bytes in proptest::collection::vec((0usize..1024, any::<u8>()), 0..50)) {
        let scribble = move |_: &Command, page: &mut [u8]| {
            for (at, byte) in &bytes {
                page[*at] = *byte;
            }
        };
        let model = model(|model| model.identify = Box::new(scribble));
        let ((), _, memory) = drive(CompletionMode::Poll, model, async |rig, namespace| {
            if let Some(disk) = namespace {
                let size = disk.info().block_size as usize;
                assert!(size.is_power_of_two());
                let _ = disk.read(Lba(0), rig.buffer(size, 0)).await;
            }
        });
        prop_assert_eq!(memory, MemoryReport::default());
    }
}
