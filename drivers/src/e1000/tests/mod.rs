//! The driver against a modelled device, on virtual time: as it should be, and with everything that
//! goes wrong, in all completion modes and with all ways of interrupting.

mod leaving;
mod offloads;
mod setting_up;
mod traffic;
mod trouble;

use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use executor::host::{Virtual, advance, block_on};
use executor::sync::mpsc;
use executor::{JoinHandle, sleep_until, timeout, yield_now};
use hal::clock::Ticks;
use hal::sim::{MemoryReport, SimDevice, SimMachine};

use super::model::{MAC, Model, Transport, Way, ip_frame};
use super::*;
use crate::net::{Frame, LinkState, MacAddress, NetDevice, Refused};

pub(super) const SECOND: u64 = 1_000_000_000;
/// What a turn costs: time moves although the reaper polls.
const TURN: u64 = 20_000;
/// An 82574 and an 82540.
pub(super) const EXPRESS: u16 = 0x10d3;
pub(super) const PLAIN: u16 = 0x100e;

pub(super) const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

/// Every test of the list, in each mode, and with each way of interrupting.
macro_rules! in_every_mode {
    ($($name:ident),* $(,)?) => {
        in_every_mode! { @ polled, Poll, Message, [$($name)*] }
        in_every_mode! { @ by_table, Msix, Table, [$($name)*] }
        in_every_mode! { @ by_message, Msix, Message, [$($name)*] }
        in_every_mode! { @ by_line, Msix, Line, [$($name)*] }
        in_every_mode! { @ adaptive_by_table, Adaptive, Table, [$($name)*] }
        in_every_mode! { @ adaptive_by_line, Adaptive, Line, [$($name)*] }
    };
    (@ $room:ident, $mode:ident, $way:ident, [$($name:ident)*]) => {
        mod $room {
            $(#[test] fn $name() {
                let mode = crate::completion::CompletionMode::$mode;
                super::$name(mode, crate::e1000::model::Way::$way);
            })*
        }
    };
}
pub(super) use in_every_mode;

type Driver = RefCell<Option<JoinHandle<Result<(), E1000Error>>>>;

pub(super) struct Rig {
    pub(super) machine: Rc<SimMachine>,
    pub(super) device: SimDevice<Model>,
    pub(super) stop: Arc<Notify>,
    pub(super) driver: Driver,
    nic: RefCell<Option<Arc<Nic>>>,
}

impl Rig {
    /// The device, once it is announced and its link is up.
    pub(super) fn nic(&self) -> Arc<Nic> {
        self.nic.borrow().clone().expect("it was announced")
    }

    /// A frame arrives.
    pub(super) fn arrive(&self, frame: &[u8]) {
        self.device.act(|model, bus| model.arrive(bus, frame));
    }

    /// What went out since the last time.
    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        self.device.act(|model, _| std::mem::take(&mut model.sent))
    }

    /// Waits until `holds`; at most for `seconds`.
    pub(super) async fn wait(&self, seconds: u64, holds: impl Fn() -> bool) {
        let limit = Virtual::now().after(seconds * SECOND);
        while !holds() {
            assert!(Virtual::now() < limit, "it does not come about in {seconds} s");
            pause(SECOND / 1000).await;
        }
    }

    /// The next frame that arrives.
    pub(super) async fn received(&self) -> Vec<u8> {
        let nic = self.nic();
        let soon = Virtual::now().after(SECOND);
        timeout::<Virtual, _>(soon, nic.receive()).await.expect("it arrives").bytes().to_vec()
    }
}

pub(super) async fn pause(ticks: u64) {
    sleep_until::<Virtual>(Virtual::now().after(ticks)).await;
}

/// A frame with these bytes.
pub(super) fn frame(nic: &Nic, bytes: &[u8]) -> Frame {
    let mut frame = nic.frame(bytes.len()).expect("memory");
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

/// A frame for the model's station, unlike others.
pub(super) fn numbered(number: usize, bytes: usize) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..bytes).map(|at| (at + number * 7) as u8).collect();
    frame[..6].copy_from_slice(&MAC);
    frame[12..16].copy_from_slice(&[0x88, 0xb5, (number >> 8) as u8, number as u8]);
    frame
}

/// Runs the driver on `model` and `work` on its device; says how the driver ended and what memory
/// is still in use. Without a device to be announced, `work` is not done.
pub(super) fn drive_as<T: 'static>(
    id: u16,
    mode: CompletionMode,
    model: Model,
    work: impl AsyncFnOnce(&Rig) -> T,
) -> (Option<T>, Result<(), E1000Error>, MemoryReport) {
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
        let kind = match model.way {
            Way::Table => InterruptKind::MsiX,
            Way::Message => InterruptKind::Msi,
            Way::Line => InterruptKind::Line,
        };
        let device = machine.add("e1000", model);
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "net0".into(),
            device: id,
            registers: device.region(0x2_0000),
            dma: machine.dma(),
            interrupts: Interrupts { kind, vectors: std::vec![device.interrupt(0)] },
            mode,
            stop: stop.clone(),
        };
        let (sender, mut receiver) = mpsc::channel(1);
        let driver = spawn::<Virtual, _>("net0", Priority::High, async move {
            run::<Virtual>(parts, |nic| drop(sender.try_send(nic))).await
        });
        let nic = receiver.receive().await;
        let driver = RefCell::new(Some(driver));
        let rig =
            Rig { machine: machine.clone(), device, stop, driver, nic: RefCell::new(nic.clone()) };
        let mut output = None;
        if let Some(nic) = nic {
            let soon = Virtual::now().after(SECOND);
            let _ = timeout::<Virtual, _>(soon, nic.link_changed(LinkState::Down)).await;
            drop(nic);
            output = Some(work(&rig).await);
        }
        rig.stop.notify();
        let driver = rig.driver.take();
        let end = match driver {
            Some(driver) => driver.await.expect("nobody cancelled it"),
            None => Ok(()),
        };
        rig.nic.take();
        drop(receiver);
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
        (output, end, machine.memory())
    })
}

/// As [`drive_as`], with an 82574; everything has to be given back in the end.
pub(super) fn drive<T: 'static>(
    mode: CompletionMode,
    model: Model,
    work: impl AsyncFnOnce(&Rig) -> T,
) -> T {
    let (output, end, memory) = drive_as(EXPRESS, mode, model, work);
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
    output.expect("the device was announced")
}
