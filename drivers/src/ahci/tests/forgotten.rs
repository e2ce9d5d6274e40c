//! Commands nobody waits for any more, and which the disk never ends: others get their turn all the
//! same.

use futures_util::future::join_all;

use super::*;
use crate::ahci::model::Fate;
use crate::storage::{Lba, StorageDevice};

#[test]
fn lost_commands_that_were_dropped_do_not_block_a_port() {
    for depth in [Some(32), None] {
        let mut model = Model::new([Some(Modelled::new(512, depth))]);
        let mut lost = if depth.is_some() { 32 } else { 1 };
        model.fates = std::boxed::Box::new(move |_, command| match command.range() {
            Some((3, _)) if lost > 0 => {
                lost -= 1;
                Fate::Lost
            }
            _ => Fate::Good,
        });
        drive_one(model, async |rig, disk| {
            let reads = (0..32).map(|_| disk.read(Lba(3), rig.buffer(512, 0)));
            let soon = Virtual::now().after(SECOND);
            assert!(executor::timeout::<Virtual, _>(soon, join_all(reads)).await.is_err());
            let limit = Virtual::now().after(40 * SECOND);
            while disk.read(Lba(9), rig.buffer(512, 0)).await.result != Ok(()) {
                assert!(Virtual::now() < limit, "{depth:?}: the port is dead");
            }
            assert_eq!(rig.machine.memory().lent, 0);
        })
        .well();
    }
}
