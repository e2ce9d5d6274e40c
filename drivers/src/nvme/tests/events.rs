//! What the controller reports unasked.

use super::*;

in_every_mode![events_are_taken_and_asked_for_again, namespaces_that_go_are_gone];

/// Waits until the model has seen so many commands of this kind.
async fn seen(rig: &Rig, opcode: u8, times: usize) {
    let limit = Virtual::now().after(10 * SECOND);
    let count = |model: &mut Model| model.admin_seen.iter().filter(|seen| **seen == opcode).count();
    while rig.device.act(|model, _| count(model)) < times {
        assert!(Virtual::now() < limit, "too few of {opcode:#x}");
        yield_now().await;
    }
}

fn events_are_taken_and_asked_for_again(mode: CompletionMode) {
    const REQUEST: u8 = 0x0c;
    const LOG_PAGE: u8 = 0x02;
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        seen(rig, REQUEST, 2).await;
        // Health, error, a notice without a page, more at once than there are requests.
        for result in [0x0002_0101, 0x0001_0300, 0x0000_0102, 0x0002_0201, 0x0001_0400, 0x0000_ff07]
        {
            rig.device.act(|model, bus| model.happens(bus, result));
        }
        seen(rig, REQUEST, 2 + 6).await;
        seen(rig, LOG_PAGE, 4).await;
        assert_eq!(disk.flush().await, Ok(()));
        // After a reset it asks again.
        rig.device.act(|model, _| model.ignores.extend([LOG_PAGE]));
        assert!(disk.health().await.is_err());
        rig.device.act(|model, _| model.ignores.clear());
        seen(rig, REQUEST, 2 + 6 + 2).await;
        assert!(disk.health().await.is_ok());
    });
    assert_eq!((end, memory), CLEAN);
}

fn namespaces_that_go_are_gone(mode: CompletionMode) {
    let model = model(|model| {
        model.disks.insert(2, Disk::new(512, 100));
        model.disks.insert(3, Disk::new(512, 100));
    });
    let ((), end, memory) = drive_all(mode, model, async |rig, disks| {
        for disk in &disks {
            assert_eq!(disk.flush().await, Ok(()));
        }
        rig.device.act(|model, bus| {
            model.disks.remove(&2);
            // It has grown: what was there stays.
            model.disks.insert(3, Disk::new(512, 200));
            model.disks.insert(4, Disk::new(512, 100));
            model.changed = std::vec![2, 3, 4];
            model.happens(bus, 0x0004_0002);
        });
        let limit = Virtual::now().after(10 * SECOND);
        while disks[1].flush().await != Err(StorageError::Gone) {
            assert!(Virtual::now() < limit, "the namespace is still there");
        }
        let read = disks[1].read(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::Gone), true));
        assert_eq!(disks[0].flush().await, Ok(()));
        assert_eq!(disks[2].read(Lba(99), rig.buffer(512, 0)).await.result, Ok(()));
    });
    assert_eq!((end, memory), CLEAN);
}
