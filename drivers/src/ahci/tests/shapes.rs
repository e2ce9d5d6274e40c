//! What is written is read: every shape of transfer, every mode, many at once.

use futures_util::future::join_all;
use hal::dma::Memory;

use super::*;
use crate::ahci::model::BLOCKS;
use crate::storage::{Lba, StorageDevice, StorageError, Transfer};

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

fn in_every_shape(block: usize, depth: Option<u16>, mode: CompletionMode, wiring: Wiring) {
    let model = Model::new([Some(Modelled::new(block, depth))]);
    drive(model, mode, wiring, async |rig, disks| {
        let disk = disks.into_iter().next().expect("one disk");
        assert_eq!(disk.info().block_size as usize, block);
        assert_eq!(disk.info().blocks as usize, BLOCKS);
        assert_eq!(disk.info().max_transfer_bytes, 1 << 20);
        let shapes = [block, 4096, 8192, 5 * 4096, 64 << 10, 1 << 20];
        for (round, bytes) in shapes.into_iter().enumerate() {
            let fill = 0x30 + round as u8;
            let lba = Lba(7 * round as u64);
            let written = disk.write(lba, rig.buffer(bytes, fill)).await;
            assert_eq!(written.result, Ok(()), "{bytes}");
            let start = lba.0 as usize * block;
            rig.device.act(|model, _| {
                let disk = model.disk(0);
                assert!(disk.bytes[start..start + bytes].iter().all(|byte| *byte == fill));
                assert_ne!(disk.bytes[start + bytes], fill);
                disk.bytes[start + bytes - 1] = 0xff;
            });
            let read = disk.read(lba, rig.buffer(bytes, 0)).await;
            assert_eq!(read.result, Ok(()));
            let buf = read.buf.expect("it comes back");
            assert!(buf[..bytes - 1].iter().all(|byte| *byte == fill) && buf[bytes - 1] == 0xff);
        }
        assert_eq!(disk.flush().await, Ok(()));
        rig.device.act(|model, _| assert_eq!(model.disk(0).flushes, 1));
        for (lba, bytes, error) in [
            (0, 100, StorageError::BadLength),
            (0, 2 << 20, StorageError::BadLength),
            (BLOCKS as u64, block, StorageError::OutOfRange),
        ] {
            let refused = disk.read(Lba(lba), rig.buffer(bytes, 0)).await;
            assert_eq!((refused.result, refused.buf.is_some()), (Err(error), true));
        }
    })
    .well();
}

#[test]
fn what_is_written_is_read_in_every_shape() {
    for mode in MODES {
        in_every_shape(512, Some(32), mode, Wiring::Interrupt);
    }
    in_every_shape(4096, Some(32), CompletionMode::Msix, Wiring::Interrupt);
    in_every_shape(512, None, CompletionMode::Msix, Wiring::Interrupt);
    in_every_shape(4096, None, CompletionMode::Adaptive, Wiring::None);
}
