//! Commands nobody waits for any more, and which the controller never ends: their slots come back
//! all the same.

use futures_util::future::join_all;

use super::*;

in_every_mode![
    lost_commands_that_were_dropped_cost_no_slot,
    lost_commands_that_were_given_up_cost_no_slot,
];

/// As many commands as the queue holds are lost.
const DEPTH: u64 = 63;

fn losing_first(most: u64) -> Model {
    let mut turn = 0;
    with_fates(move |_| {
        turn += 1;
        if turn <= most { Fate::Lost } else { Fate::Good }
    })
}

/// Commands are answered again, and all memory is back.
async fn recovers(rig: &Rig, disk: &Namespace<Virtual>) {
    let limit = Virtual::now().after(20 * SECOND);
    while disk.read(Lba(1), rig.buffer(512, 0)).await.result != Ok(()) {
        assert!(Virtual::now() < limit, "the queue is dead");
    }
    assert_eq!(rig.machine.memory().lent, 0);
    assert_eq!(disk.statistics()[1].in_flight, 0);
}

fn lost_commands_that_were_dropped_cost_no_slot(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, losing_first(DEPTH), async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let reads = (0..DEPTH).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
        let soon = Virtual::now().after(SECOND);
        assert!(executor::timeout::<Virtual, _>(soon, join_all(reads)).await.is_err());
        recovers(rig, disk).await;
    });
    assert_eq!((end, memory), CLEAN);
}

/// Their time and the time of grace are over before it is their queue's turn.
fn lost_commands_that_were_given_up_cost_no_slot(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, losing_first(DEPTH), async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let reads = (0..DEPTH).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
        // An abort that takes as long as all that.
        rig.device.act(|model, _| {
            let slow = |command: &Command| match command.opcode() {
                0x08 => Fate::Late(4 * SECOND),
                _ => Fate::Good,
            };
            model.admin_fates = Box::new(slow);
        });
        for read in join_all(reads).await {
            assert_eq!(read.result, Err(StorageError::TimedOut));
        }
        recovers(rig, disk).await;
    });
    assert_eq!((end, memory), CLEAN);
}
