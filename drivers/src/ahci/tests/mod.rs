//! The driver against a modelled HBA, on virtual time: as it should be, and with everything that
//! goes wrong.

mod faults;
mod forgotten;
mod leaving;
mod noticing;
mod shapes;

use std::cell::RefCell;
use std::rc::Rc;
use std::string::String;

use executor::host::{Virtual, advance, block_on};
use executor::{Platform, sleep_until, spawn, yield_now};
use hal::clock::Ticks;
use hal::sim::{MemoryReport, SimDevice, SimMachine};

use super::model::{Disk as Modelled, Model};
use super::*;

const SECOND: u64 = 1_000_000_000;
/// What a turn costs: time moves although the reaper polls.
const TURN: u64 = 20_000;

type Driver = RefCell<Option<JoinHandle<Result<(), AhciError>>>>;

/// A machine with an HBA whose driver runs.
struct Rig {
    machine: Rc<SimMachine>,
    device: SimDevice<Model>,
    stop: Arc<Notify>,
    driver: Driver,
    announced: RefCell<Option<mpsc::Receiver<Vec<Disk<Virtual>>>>>,
}

impl Rig {
    fn buffer(&self, bytes: usize, fill: u8) -> hal::dma::DmaBuf {
        let mut buf = self.machine.dma().buffer(bytes).expect("memory");
        buf.fill(fill);
        buf
    }

    /// The disks announced next; none within 30 s: none.
    async fn announced(&self) -> Vec<Disk<Virtual>> {
        let soon = Virtual::now().after(30 * SECOND);
        let mut receiver = self.announced.take().expect("one asks at a time");
        let found = executor::timeout::<Virtual, _>(soon, receiver.receive()).await;
        self.announced.replace(Some(receiver));
        found.ok().flatten().unwrap_or_default()
    }
}

/// How a run of the driver ended.
struct End<T> {
    output: T,
    driver: Result<(), AhciError>,
    memory: MemoryReport,
    complaints: Vec<String>,
}

impl<T> End<T> {
    /// Nothing leaked, nothing done wrong, stopped when told to.
    fn well(self) -> T {
        assert_eq!(self.driver, Ok(()));
        self.clean()
    }

    /// Nothing leaked, nothing done wrong.
    fn clean(self) -> T {
        assert_eq!(self.memory, MemoryReport::default());
        assert!(self.complaints.is_empty(), "{:?}", self.complaints);
        self.output
    }
}

/// A machine's wiring.
#[derive(Clone, Copy)]
enum Wiring {
    Interrupt,
    None,
}

/// Runs the driver on `model` and `work` on its disks, which may be written to.
fn drive<T: 'static>(
    model: Model,
    mode: CompletionMode,
    wiring: Wiring,
    work: impl AsyncFnOnce(&Rig, Vec<Disk<Virtual>>) -> T,
) -> End<T> {
    drive_as(Writable::Yes, model, mode, wiring, work)
}

fn drive_as<T: 'static>(
    writable: Writable,
    model: Model,
    mode: CompletionMode,
    wiring: Wiring,
    work: impl AsyncFnOnce(&Rig, Vec<Disk<Virtual>>) -> T,
) -> End<T> {
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
        let device = machine.add("ahci", model);
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "ahci0".into(),
            registers: device.region(PORTS_AT + PORTS * PORT_BYTES),
            dma: machine.dma(),
            writable,
            interrupts: match wiring {
                Wiring::Interrupt => std::vec![device.interrupt(0)],
                Wiring::None => Vec::new(),
            },
            cores: Vec::new(),
            mode,
            stop: stop.clone(),
        };
        let (sender, receiver) = mpsc::channel(16);
        let driver = spawn::<Virtual, _>("ahci0", Priority::High, async move {
            run::<Virtual>(parts, |found| drop(sender.try_send(found))).await
        });
        let rig = Rig {
            machine: machine.clone(),
            device,
            stop,
            driver: RefCell::new(Some(driver)),
            announced: RefCell::new(Some(receiver)),
        };
        let disks = rig.announced().await;
        let output = work(&rig, disks).await;
        rig.stop.notify();
        let driver = match rig.driver.take() {
            Some(driver) => driver.await.expect("nobody cancelled it"),
            None => Ok(()),
        };
        let complaints = rig.device.act(|model, _| std::mem::take(&mut model.complaints));
        drop(rig);
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
        End { output, driver, memory: machine.memory(), complaints }
    })
}

/// One disk with queued commands, adaptive.
fn drive_one<T: 'static>(model: Model, work: impl AsyncFnOnce(&Rig, Disk<Virtual>) -> T) -> End<T> {
    drive(model, CompletionMode::Adaptive, Wiring::Interrupt, async |rig, disks| {
        work(rig, disks.into_iter().next().expect("one disk")).await
    })
}

fn one_disk() -> Model {
    Model::new([Some(Modelled::new(512, Some(32)))])
}
