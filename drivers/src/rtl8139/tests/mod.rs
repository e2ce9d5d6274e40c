//! The driver against a modelled device, on virtual time: as it should be, and with everything that
//! goes wrong.

mod cancellation;
mod faults;
mod passing;
mod random;

use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use executor::host::{Virtual, advance, block_on};
use executor::{JoinHandle, Priority, sleep, sleep_until, spawn, timeout, yield_now};
use hal::clock::Ticks;
use hal::pci::InterruptKind;
use hal::sim::{MemoryReport, SimDevice, SimMachine};

use super::model::{MAC, Model, Sending};
use super::*;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// What a turn costs: time moves although the reaper polls.
const TURN: u64 = 20_000;
const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

type Driver = JoinHandle<Result<(), Rtl8139Error>>;

/// A machine with a device whose driver runs.
struct Rig {
    machine: Rc<SimMachine>,
    device: SimDevice<Model>,
    stop: Arc<Notify>,
    driver: RefCell<Option<Driver>>,
}

impl Rig {
    /// A frame comes over the wire. Whether the device took it.
    fn arrive(&self, frame: &[u8]) -> bool {
        self.device.act(|model, bus| model.arrive(bus, frame))
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.device.act(|model, _| std::mem::take(&mut model.sent))
    }

    fn set_link(&self, link: Option<u32>) {
        self.device.act(|model, bus| model.set_link(bus, link));
    }

    async fn ended(&self) -> Result<(), Rtl8139Error> {
        let driver = self.driver.take().expect("it runs");
        driver.await.expect("nobody cancelled it")
    }

    /// Frames pass, in both directions.
    async fn works(&self, nic: &Nic, mark: u8) {
        assert!(self.arrive(&frame(100, mark)), "{nic:?}");
        let limit = Virtual::now().after(10 * SECOND);
        let got = timeout::<Virtual, _>(limit, nic.receive()).await.expect("it arrives");
        assert_eq!(got.bytes(), frame(100, mark));
        self.sent();
        nic.transmit(outgoing(nic, 200, mark)).await.expect("it is sent");
        self.until(|| !self.sent().is_empty()).await;
    }

    /// Waits until it is so.
    async fn until(&self, mut so: impl FnMut() -> bool) {
        let limit = Virtual::now().after(20 * SECOND);
        while !so() {
            assert!(Virtual::now() < limit, "it never is so");
            sleep::<Virtual>(MILLISECOND).await;
        }
    }
}

/// A frame for the device, `bytes` long.
fn frame(bytes: usize, mark: u8) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..bytes).map(|index| (index as u8).wrapping_mul(mark)).collect();
    frame[..6].copy_from_slice(&MAC);
    frame[13] = mark;
    frame
}

/// The same, as a frame to be sent.
fn outgoing(nic: &Nic, bytes: usize, mark: u8) -> Frame {
    let mut out = nic.frame(bytes).expect("memory");
    out.bytes_mut().copy_from_slice(&frame(bytes, mark));
    out
}

/// How a run of the driver ended.
struct End<T> {
    output: T,
    driver: Option<Result<(), Rtl8139Error>>,
    memory: MemoryReport,
}

impl<T> End<T> {
    /// Stopped when told to, and nothing leaked.
    fn well(self) -> T {
        assert_eq!(self.driver, Some(Ok(())));
        self.clean()
    }

    /// Nothing leaked.
    fn clean(self) -> T {
        assert_eq!(self.memory, MemoryReport::default());
        self.output
    }
}

/// A machine's wiring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wiring {
    Interrupt,
    None,
}

fn drive<T: 'static>(
    model: Model,
    mode: CompletionMode,
    work: impl AsyncFnOnce(&Rig, Arc<Nic>) -> T,
) -> End<T> {
    drive_wired(Wiring::Interrupt, model, mode, work)
}

/// Runs the driver on `model` and `work` on its device; then stops it.
fn drive_wired<T: 'static>(
    wiring: Wiring,
    model: Model,
    mode: CompletionMode,
    work: impl AsyncFnOnce(&Rig, Arc<Nic>) -> T,
) -> End<T> {
    attempt(wiring, model, mode, async |rig, nic| {
        let output = work(rig, nic.expect("it is announced")).await;
        rig.stop.notify();
        output
    })
}

/// As [`drive`], but maybe without a device, and told to stop by `work` if at all.
fn attempt<T: 'static>(
    wiring: Wiring,
    model: Model,
    mode: CompletionMode,
    work: impl AsyncFnOnce(&Rig, Option<Arc<Nic>>) -> T,
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
        let device = machine.add("rtl8139", model);
        let vectors = match wiring {
            Wiring::Interrupt => std::vec![device.interrupt(0)],
            Wiring::None => Vec::new(),
        };
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "net0".into(),
            registers: device.region(REGISTER_BYTES),
            dma: machine.dma(),
            interrupts: Interrupts { kind: InterruptKind::None, vectors },
            mode,
            stop: stop.clone(),
        };
        let (sender, receiver) = executor::sync::oneshot::channel();
        let driver = spawn::<Virtual, _>("net0", Priority::High, async move {
            run::<Virtual>(parts, |nic| drop(sender.send(nic))).await
        });
        let nic = receiver.await.ok();
        let driver = RefCell::new(Some(driver));
        let rig = Rig { machine: machine.clone(), device, stop, driver };
        let output = work(&rig, nic).await;
        let driver = match rig.driver.take() {
            Some(driver) => driver.await.ok(),
            None => None,
        };
        let complaints = rig.device.act(|model, _| std::mem::take(&mut model.complaints));
        assert!(complaints.is_empty(), "{complaints:?}");
        drop(rig);
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
        End { output, driver, memory: machine.memory() }
    })
}
