//! The one operation of the device that a cache has under way.
//!
//! It belongs to the cache, not to whoever waits for it: dropping the future of a read or write
//! leaves it here, and the next operation sees it to its end before it begins. So an abandoned
//! write can never land on top of a later one.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use hal::dma::DmaBuf;

use crate::storage::{Completion, Lba, StorageDevice, StorageError};

/// What it is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Blocks are read; they stay in the cache.
    Keep(u64),
    /// Blocks are read for a caller who wants many: the cache does not keep them.
    Pass(u64),
    /// So many of the oldest dirty blocks are written.
    Back(usize),
    /// A caller's blocks are written past the cache.
    Through,
    /// The device is told to make it all last.
    Flush,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) purpose: Purpose,
    pub(super) result: Result<(), StorageError>,
    pub(super) buf: Option<DmaBuf>,
}

pub(super) struct InFlight {
    purpose: Purpose,
    future: Pin<Box<dyn Future<Output = Completion>>>,
}

impl InFlight {
    pub(super) fn read<D: StorageDevice + 'static>(
        device: &Rc<D>,
        purpose: Purpose,
        lba: u64,
        buf: DmaBuf,
    ) -> Self {
        let device = device.clone();
        Self { purpose, future: Box::pin(async move { device.read(Lba(lba), buf).await }) }
    }

    pub(super) fn write<D: StorageDevice + 'static>(
        device: &Rc<D>,
        purpose: Purpose,
        lba: u64,
        buf: DmaBuf,
    ) -> Self {
        let device = device.clone();
        Self { purpose, future: Box::pin(async move { device.write(Lba(lba), buf).await }) }
    }

    pub(super) fn flush<D: StorageDevice + 'static>(device: &Rc<D>) -> Self {
        let device = device.clone();
        let flush = async move { Completion { result: device.flush().await, buf: None } };
        Self { purpose: Purpose::Flush, future: Box::pin(flush) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let purpose = self.purpose;
        self.future.as_mut().poll(cx).map(|Completion { result, buf }| Ended {
            purpose,
            result,
            buf,
        })
    }
}
