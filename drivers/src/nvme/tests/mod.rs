//! The driver against a modelled controller, on virtual time: as it should be, and with everything
//! that goes wrong, in all three completion modes.

mod cancellation;
mod cores;
mod cost;
mod events;
mod faults;
mod forgotten;
mod random;
mod recovery;
mod serving;

use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;

use executor::host::{Virtual, advance, block_on};
use executor::sync::mpsc;
use executor::{JoinHandle, Platform, Priority, sleep_until, spawn, yield_now};
use hal::clock::Ticks;
use hal::sim::{MemoryReport, SimDevice, SimMachine};
use protocols::nvme::{Command, Status};

use super::model::{BLOCK, BLOCKS, Disk, Fate, Model};
use super::*;
use crate::storage::{Lba, StorageDevice, StorageError};

const SECOND: u64 = 1_000_000_000;
/// What a turn costs: time moves although the reaper polls.
const TURN: u64 = 20_000;

/// Every test of the list, once in each completion mode.
macro_rules! in_every_mode {
    ($($name:ident),* $(,)?) => {
        mod poll {
            $(#[test] fn $name() { super::$name(crate::completion::CompletionMode::Poll) })*
        }
        mod msix {
            $(#[test] fn $name() { super::$name(crate::completion::CompletionMode::Msix) })*
        }
        mod adaptive {
            $(#[test] fn $name() { super::$name(crate::completion::CompletionMode::Adaptive) })*
        }
    };
}
pub(super) use in_every_mode;

pub(super) struct Rig {
    machine: Rc<SimMachine>,
    device: SimDevice<Model>,
    stop: Arc<Notify>,
    driver: Driver,
}

type Driver = RefCell<Option<JoinHandle<Result<(), NvmeError>>>>;

impl Rig {
    fn buffer(&self, bytes: usize, fill: u8) -> hal::dma::DmaBuf {
        let mut buf = self.machine.dma().buffer(bytes).expect("memory");
        buf.fill(fill);
        buf
    }
}

/// Runs the driver on `model` and `work` on its namespaces; says how the driver ended and what
/// memory is still in use.
fn drive_all<T: 'static>(
    mode: CompletionMode,
    model: Model,
    work: impl AsyncFnOnce(&Rig, Vec<Namespace<Virtual>>) -> T,
) -> (T, Result<(), NvmeError>, MemoryReport) {
    block_on::<Virtual, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
        let served = machine.clone();
        let service = spawn::<Virtual, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
        });
        let time = spawn::<Virtual, _>("time", Priority::Normal, async {
            loop {
                advance(TURN);
                yield_now().await;
            }
        });
        let device = machine.add("nvme", model);
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "nvme0".into(),
            registers: device.region(0x2000),
            dma: machine.dma(),
            writable: Writable::Yes,
            interrupts: vec![device.interrupt(0), device.interrupt(1)],
            cores: Vec::new(),
            mode,
            stop: stop.clone(),
        };
        let (sender, mut receiver) = mpsc::channel(1);
        let driver = spawn::<Virtual, _>("nvme0", Priority::High, async move {
            run::<Virtual>(parts, |found| drop(sender.try_send(found))).await
        });
        let rig =
            Rig { machine: machine.clone(), device, stop, driver: RefCell::new(Some(driver)) };
        let soon = Virtual::now().after(10 * SECOND);
        let found = executor::timeout::<Virtual, _>(soon, receiver.receive()).await;
        let output = work(&rig, found.ok().flatten().unwrap_or_default()).await;
        rig.stop.notify();
        let end = match rig.driver.take() {
            Some(driver) => driver.await.expect("nobody cancelled it"),
            None => Ok(()),
        };
        drop(receiver);
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
        (output, end, machine.memory())
    })
}

/// The same, with the first namespace.
fn drive<T: 'static>(
    mode: CompletionMode,
    model: Model,
    work: impl AsyncFnOnce(&Rig, Option<Namespace<Virtual>>) -> T,
) -> (T, Result<(), NvmeError>, MemoryReport) {
    drive_all(mode, model, async |rig, found| work(rig, found.into_iter().next()).await)
}

/// Nothing is left behind, and the driver ended as it was told to.
const CLEAN: (Result<(), NvmeError>, MemoryReport) =
    (Ok(()), MemoryReport { owned: 0, lent: 0, rings: 0, bytes: 0 });

fn with_fates(fates: impl FnMut(&Command) -> Fate + Send + 'static) -> Model {
    model(|model| model.fates = Box::new(fates))
}

fn model(change: impl FnOnce(&mut Model)) -> Model {
    let mut model = Model::new();
    change(&mut model);
    model
}

/// The `lost`-th I/O command, counted from 0, is never heard of again.
fn losing(lost: u32) -> Model {
    let mut turn = 0;
    with_fates(move |_| {
        turn += 1;
        if turn - 1 == lost { Fate::Lost } else { Fate::Good }
    })
}
