//! The driver against a modelled port, on virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use executor::host::{Virtual, block_on};
use executor::{Priority, sleep, sleep_until, spawn};
use hal::clock::Ticks;
use hal::pci::{Map, Window, scan};
use hal::sim::{Script, SimDevice, SimMachine};
use proptest::prelude::*;
use protocols::pci::express::{SlotCapabilities, SlotControl};

use super::model::{BUS_BYTES, Model, Step, slot};
use super::*;

const MS: u64 = 1_000_000;
const BASE: u64 = 0xe000_0000;

/// What was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Inserted,
    Removed,
    Surprise,
}
use Told::{Inserted, Removed, Surprise};

#[derive(Clone, Copy, Debug)]
enum Noticed {
    ByInterrupt,
    ByLooking,
}

struct Rig {
    device: SimDevice<Model>,
    told: RefCell<Vec<Told>>,
    stop: Arc<Notify>,
}

impl Rig {
    /// Does something to the slot, then lets time go by.
    async fn act(&self, act: impl FnOnce(&mut Model, &mut hal::sim::Bus<'_>), wait_ms: u64) {
        self.device.act(act);
        sleep::<Virtual>(wait_ms * MS).await;
    }

    fn told(&self) -> Vec<Told> {
        self.told.borrow_mut().drain(..).collect()
    }

    fn steps(&self) -> Vec<Step> {
        self.device.act(|model, _| core::mem::take(&mut model.steps))
    }
}

/// Runs the driver on `model` while `work` plays with the slot; how the driver ended.
fn drive(model: Model, noticed: Noticed, work: impl AsyncFnOnce(&Rig)) -> Result<(), HotplugError> {
    block_on::<Virtual, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
        let served = machine.clone();
        let service = spawn::<Virtual, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
        });
        let device = machine.add("port", model);
        let whole = device.region(2 * BUS_BYTES);
        let registers = machine.add("registers", Script::new()).region(0x4000);
        let map: Arc<Map> = Arc::new(move |physical: u64, bytes| {
            match physical.checked_sub(BASE).filter(|start| *start < 2 * BUS_BYTES as u64) {
                Some(start) => whole.part(start as usize..start as usize + bytes),
                None => registers.part(0..bytes),
            }
        });
        let window = Window { base: BASE, segment: 0, first_bus: 0, last_bus: 1 };
        let functions = scan(&[window], &map);
        let mut parts = attach("slot0".into(), &functions[0], &[]).expect("it has a slot");
        if let Noticed::ByInterrupt = noticed {
            parts.interrupts.push(device.interrupt(0));
        }
        let stop = parts.stop.clone();
        let rig = Rig { device, told: RefCell::default(), stop };
        let held: RefCell<Vec<Function>> = RefCell::default();
        let driver = run::<Virtual>(parts, async |event| {
            match event {
                Event::Inserted(found) => {
                    assert_eq!(found.len(), 1);
                    let bar = found[0].bar(0).expect("it has registers");
                    assert_eq!((bar.address, bar.bytes), (0xfe00_0000, 0x4000));
                    assert!(found[0].map_bar(0, 0x100).is_ok());
                    held.replace(found);
                    rig.told.borrow_mut().push(Inserted);
                }
                Event::Removed => {
                    // Drivers take their time to stop.
                    sleep::<Virtual>(700 * MS).await;
                    let control = rig.device.act(|model, _| model.control());
                    assert!(!control.contains(SlotControl::POWER_OFF));
                    held.borrow_mut().clear();
                    rig.told.borrow_mut().push(Removed);
                }
                // The old driver may hold the function for a while.
                Event::Surprise => rig.told.borrow_mut().push(Surprise),
            }
        });
        let work = async {
            // What was there at the start has been found.
            sleep::<Virtual>(500 * MS).await;
            work(&rig).await;
            rig.stop.notify();
        };
        let (ended, ()) = futures_util::future::join(driver, work).await;
        service.cancel();
        let _ = service.await;
        assert!(machine.take_violations().is_empty());
        ended
    })
}

fn with(mut model: Model, change: impl FnOnce(&mut Model)) -> Model {
    change(&mut model);
    model
}

#[allow(clippy::needless_pass_by_value, reason = "closures are written where they are used")]
fn both(model: impl Fn() -> Model, work: impl AsyncFn(&Rig)) {
    for noticed in [Noticed::ByInterrupt, Noticed::ByLooking] {
        assert_eq!(drive(model(), noticed, async |rig| work(rig).await), Ok(()), "{noticed:?}");
    }
}

#[test]
fn in_out_by_the_button_and_in_again() {
    both(
        || Model::new(slot()),
        async |rig| {
            assert_eq!(rig.told(), []);
            rig.act(Model::plug_in, 500).await;
            assert_eq!(rig.told(), [Inserted]);
            assert_eq!(rig.steps(), [Step::Blink, Step::PowerOn]);
            rig.act(Model::press, 4_900).await;
            assert_eq!((rig.told(), rig.steps()), (Vec::new(), [Step::Blink].to_vec()));
            sleep::<Virtual>(1_000 * MS).await;
            assert_eq!((rig.told(), rig.steps()), ([Removed].to_vec(), [Step::PowerOff].to_vec()));
            // Taken out, which surprises nobody any more.
            rig.act(Model::pull_out, 500).await;
            assert_eq!((rig.told(), rig.steps()), (Vec::new(), Vec::new()));
            rig.act(Model::plug_in, 500).await;
            assert_eq!(rig.told(), [Inserted]);
        },
    );
}

#[test]
fn a_second_press_takes_it_back() {
    both(
        || Model::new(slot()).occupied(),
        async |rig| {
            assert_eq!((rig.told(), rig.steps()), ([Inserted].to_vec(), Vec::new()));
            rig.act(Model::press, 2_000).await;
            rig.act(Model::press, 20_000).await;
            assert_eq!((rig.told(), rig.steps()), (Vec::new(), [Step::Blink].to_vec()));
            // Out, and in again by the button.
            rig.act(Model::press, 6_000).await;
            assert_eq!(rig.told(), [Removed]);
            assert_eq!(rig.steps(), [Step::Blink, Step::PowerOff]);
            rig.act(Model::press, 2_000).await;
            rig.act(Model::press, 20_000).await;
            assert_eq!((rig.told(), rig.steps()), (Vec::new(), [Step::Blink].to_vec()));
            rig.act(Model::press, 6_000).await;
            assert_eq!(rig.told(), [Inserted]);
        },
    );
}

#[test]
fn pulled_out_without_asking() {
    both(
        || Model::new(slot()).occupied(),
        async |rig| {
            rig.told();
            rig.act(Model::pull_out, 500).await;
            assert_eq!((rig.told(), rig.steps()), ([Surprise].to_vec(), [Step::PowerOff].to_vec()));
            rig.act(Model::plug_in, 500).await;
            assert_eq!(rig.told(), [Inserted]);
            // While it is being asked for.
            rig.act(Model::press, 1_000).await;
            rig.act(Model::pull_out, 10_000).await;
            assert_eq!(rig.told(), [Surprise]);
            // Pulled out and put back between two looks: not the device it was.
            rig.act(Model::plug_in, 500).await;
            assert_eq!(rig.told(), [Inserted]);
            rig.device.act(Model::pull_out);
            rig.act(Model::plug_in, 1_000).await;
            assert_eq!(rig.told(), [Surprise, Inserted]);
        },
    );
}

#[test]
fn contacts_that_bounce_count_once() {
    both(
        || Model::new(slot()),
        async |rig| {
            for _ in 0..7 {
                rig.act(Model::plug_in, 20).await;
                rig.act(Model::pull_out, 30).await;
            }
            rig.act(Model::plug_in, 1_000).await;
            assert_eq!(rig.told(), [Inserted]);
            assert_eq!(rig.steps(), [Step::Blink, Step::PowerOn]);
            // For ever: it ends, with the device or without.
            for _ in 0..300 {
                rig.act(Model::pull_out, 10).await;
                rig.act(Model::plug_in, 10).await;
            }
            sleep::<Virtual>(3_000 * MS).await;
            assert_eq!(rig.told().last(), Some(&Inserted));
        },
    );
}

#[test]
fn no_link_and_no_power_end_without_the_device() {
    both(
        || with(Model::new(slot()), |model| model.link = None),
        async |rig| {
            rig.act(Model::plug_in, 5_000).await;
            assert_eq!(rig.told(), []);
            assert_eq!(rig.steps(), [Step::Blink, Step::PowerOn, Step::PowerOff]);
            let attention = rig.device.act(|model, _| model.control().bits() >> 6 & 0b11);
            assert_eq!(attention, 0b01, "the attention light calls for somebody");
            rig.device.act(|model, _| model.link = Some(Ticks(MS)));
            rig.act(Model::press, 6_000).await;
            assert_eq!(rig.told(), [Inserted]);
            rig.steps();
            rig.act(Model::fail_power, 5_000).await;
            assert_eq!((rig.told(), rig.steps()), ([Surprise].to_vec(), [Step::PowerOff].to_vec()));
        },
    );
}

#[test]
fn slots_that_do_less() {
    let plain = SlotCapabilities::HOT_PLUG | SlotCapabilities::SURPRISE;
    both(
        || with(Model::new(plain), |model| model.command = None),
        async |rig| {
            rig.act(Model::plug_in, 3_000).await;
            assert_eq!(rig.told(), [Inserted]);
            rig.act(Model::pull_out, 3_000).await;
            assert_eq!((rig.told(), rig.steps()), ([Surprise].to_vec(), Vec::new()));
        },
    );
    // As QEMU does it: the card leaves once power and light are off.
    both(
        || with(Model::new(slot()).occupied(), |model| model.ejects = true),
        async |rig| {
            rig.act(Model::press, 20_000).await;
            assert_eq!(rig.told(), [Inserted, Removed]);
            rig.device.act(Model::plug_in);
            rig.act(Model::press, 1_000).await;
            assert_eq!(rig.told(), [Inserted], "at once");
        },
    );
}

#[test]
fn a_port_that_vanishes_ends_its_driver() {
    for noticed in [Noticed::ByInterrupt, Noticed::ByLooking] {
        let ended = drive(Model::new(slot()).occupied(), noticed, async |rig| {
            assert_eq!(rig.told(), [Inserted]);
            rig.device.unplug();
            sleep::<Virtual>(2_000 * MS).await;
            assert_eq!(rig.told(), [Surprise]);
        });
        assert_eq!(ended, Err(HotplugError::Gone));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever people do: the device is told in before it is told out, and out before in again;
    /// once they leave it alone, what is told is how it is.
    #[test]
    fn told_in_and_out_in_turn(
        actions in proptest::collection::vec((0u8..3, 0u64..7_000), 0..40),
        by_interrupt: bool,
    ) {
        let noticed = if by_interrupt { Noticed::ByInterrupt } else { Noticed::ByLooking };
        let ended = drive(Model::new(slot()), noticed, async |rig| {
            let mut is_in = false;
            for (action, wait) in actions {
                match action {
                    0 if is_in => rig.act(Model::pull_out, wait).await,
                    0 | 1 if !is_in => rig.act(Model::plug_in, wait).await,
                    _ => {
                        rig.act(Model::press, wait).await;
                        continue;
                    }
                }
                is_in = !is_in;
            }
            sleep::<Virtual>(20_000 * MS).await;
            if is_in {
                // Whether it was asked for or not, out and in again it works.
                rig.act(Model::pull_out, 5_000).await;
            }
            rig.act(Model::plug_in, 5_000).await;
            let told = rig.told();
            assert_eq!(told.last(), Some(&Inserted));
            for pair in told.windows(2) {
                assert_eq!(pair[0] == Inserted, pair[1] != Inserted, "{told:?}");
            }
        });
        prop_assert_eq!(ended, Ok(()));
    }
}
