//! The reaper, the slot table and a modelled queue device together, in every mode and with faults.

use std::boxed::Box;
use std::cell::Cell;
use std::collections::VecDeque;
use std::vec::Vec;

use futures_util::future::{Either, join_all, select};
use hal::clock::Ticks;
use hal::dma::{DeviceAddress, Direction, DmaLoan, DmaRing};
use hal::mmio::{DeviceRegion, Register, Width};
use hal::sim::{Bus, DeviceModel, FaultPlan, InterruptFate, SimDevice, SimMachine, WriteFate};
use proptest::prelude::*;
use std::pin::pin;
use std::rc::Rc;

use super::*;
use crate::slots::{CommandId, SlotTable};

const ENTRIES: usize = 8;
const RING: Register<u64> = Register::at(0);
const DOORBELL: Register<u64> = Register::at(8);

/// Writes 0x5a to each buffer it is given, `delay` later, and posts a completion: word 0 is the
/// command id, word 1 the pass over the ring (so that new entries can be told).
struct Filler {
    ring: DeviceAddress,
    commands: VecDeque<(u16, DeviceAddress)>,
    posted: u64,
    delay: Ticks,
}

impl DeviceModel for Filler {
    fn read(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width) -> u64 {
        0
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, _width: Width, value: u64) {
        match offset {
            0 => self.ring = DeviceAddress(value),
            _ => {
                self.commands.push_back((value as u16, DeviceAddress(value >> 16)));
                bus.call_after(self.delay, 0);
            }
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, _token: u64) {
        let (id, address) = self.commands.pop_front().expect("one event for each command");
        let _ = bus.dma_write(address, &[0x5a; 64]);
        let (place, pass) = (self.posted % ENTRIES as u64, self.posted / ENTRIES as u64 + 1);
        let entry = self.ring.plus(place * 16);
        let _ = bus.dma_write(entry, &u64::from(id).to_le_bytes());
        let _ = bus.dma_write(entry.plus(8), &pass.to_le_bytes());
        self.posted += 1;
        bus.raise(0);
    }
}

/// The driver's side of it.
struct Queue {
    registers: DeviceRegion,
    ring: DmaRing<2>,
    head: Cell<u64>,
    slots: SlotTable<DmaLoan, ()>,
    control: CompletionControl,
    looks: Cell<u64>,
    /// What happens between a look that found nothing and what the reaper does next.
    after_vain_look: Option<Box<dyn Fn()>>,
}

impl Queue {
    fn new(machine: &SimMachine, device: &SimDevice<Filler>, mode: CompletionMode) -> Self {
        let registers = device.region(16);
        let mut ring = machine.dma().ring(ENTRIES).expect("memory");
        registers.write(RING, ring.address().0);
        Self {
            registers,
            ring,
            head: Cell::new(0),
            // Never more in flight than the ring holds.
            slots: SlotTable::new(ENTRIES as u16, 16),
            control: CompletionControl::new(mode),
            looks: Cell::new(0),
            after_vain_look: None,
        }
    }

    async fn fill(&self, machine: &SimMachine) -> bool {
        let reserved = self.slots.reserve().await;
        let id = reserved.id();
        let loan = machine.dma().buffer(64).expect("memory").lend(Direction::FromDevice);
        let address = loan.address();
        let submitted = reserved.submit(loan, Ticks(0));
        self.registers.write(DOORBELL, u64::from(id.0) | address.0 << 16);
        self.control.submitted();
        let filled = submitted.await.returned.expect("nobody gives up");
        filled.iter().all(|&byte| byte == 0x5a)
    }
}

impl CompletionQueue for Queue {
    type Error = ();

    fn drain(&self, limit: usize) -> Result<usize, ()> {
        self.looks.set(self.looks.get() + 1);
        for found in 0..limit {
            let (place, pass) = (self.head.get() as usize, self.head.get() / ENTRIES as u64 + 1);
            if self.ring.word(place, 1) != pass {
                if found == 0
                    && let Some(happen) = &self.after_vain_look
                {
                    happen();
                }
                return Ok(found);
            }
            let id = CommandId(self.ring.word(place, 0) as u16);
            self.slots.complete(id, ()).map_err(|_| ())?;
            self.head.set(self.head.get() + 1);
        }
        Ok(limit)
    }

    fn is_idle(&self) -> bool {
        self.slots.free() == self.slots.depth()
    }
}

struct Outcome {
    filled: usize,
    interrupts: u64,
    looks: u64,
}

/// `tasks` tasks fill `each` buffers one after another, with pauses. `None`: they got stuck.
fn fill(
    device_delay: u64,
    mode: CompletionMode,
    tasks: usize,
    each: usize,
    pause: u64,
    faults: FaultPlan,
) -> Option<Outcome> {
    let machine = SimMachine::new();
    let model = Filler {
        ring: DeviceAddress(0),
        commands: VecDeque::new(),
        posted: 0,
        delay: Ticks(device_delay),
    };
    let device = machine.add("filler", model);
    let queue = Queue::new(&machine, &device, mode);
    device.set_faults(faults);
    let work = (0..tasks).map(|_| async {
        let mut filled = 0;
        for _ in 0..each {
            filled += usize::from(queue.fill(&machine).await);
            machine.sleep_until(machine.clock().now().plus(Ticks(pause))).await;
        }
        filled
    });
    let end = machine.run_until(Ticks(1_000_000_000), async {
        // The harder kind: an edge that comes while it is masked is lost.
        let reaper = pin!(reap(&queue, &queue.control, Some(device.isa_interrupt(0))));
        match select(pin!(join_all(work)), reaper).await {
            Either::Left((filled, _)) => filled.into_iter().sum(),
            Either::Right(((), _)) => panic!("the queue is sound"),
        }
    });
    let filled: usize = end.ok()?;
    assert_eq!(queue.slots.in_flight(), 0);
    let looks = queue.looks.get();
    queue.ring.retire();
    assert_eq!(machine.memory(), Default::default());
    Some(Outcome { filled, interrupts: device.delivered(0), looks })
}

#[test]
fn polling_needs_no_interrupt() {
    let outcome = fill(1000, CompletionMode::Poll, 4, 50, 300, FaultPlan::new()).expect("done");
    assert_eq!((outcome.filled, outcome.interrupts), (200, 0));
}

#[test]
fn interrupts_need_no_polling() {
    let outcome = fill(1000, CompletionMode::Msix, 1, 50, 300, FaultPlan::new()).expect("done");
    assert_eq!((outcome.filled, outcome.interrupts), (50, 50));
    // At most: find it, find nothing more.
    assert!(outcome.looks <= 2 * 50 + 3, "{}", outcome.looks);
}

#[test]
fn adaptive_polls_a_fast_device_and_sleeps_on_a_slow_one() {
    let fast = fill(1000, CompletionMode::Adaptive, 4, 50, 0, FaultPlan::new()).expect("done");
    assert_eq!((fast.filled, fast.interrupts), (200, 0));
    // 1 ms is forty times its patience.
    let slow =
        fill(1_000_000, CompletionMode::Adaptive, 1, 10, 300, FaultPlan::new()).expect("done");
    assert_eq!((slow.filled, slow.interrupts), (10, 10));
    assert!(slow.looks <= 10 * u64::from(PATIENCE + 4), "{}", slow.looks);
}

#[test]
fn a_lost_interrupt_is_found_by_looking() {
    let lose = || FaultPlan::new().on_interrupt(|_| InterruptFate::Lose);
    assert!(fill(1000, CompletionMode::Msix, 1, 1, 0, lose()).is_none(), "stuck without a look");
    assert!(fill(1000, CompletionMode::Poll, 1, 1, 0, lose()).is_some());

    let machine = SimMachine::new();
    let model =
        Filler { ring: DeviceAddress(0), commands: VecDeque::new(), posted: 0, delay: Ticks(10) };
    let device = machine.add("filler", model);
    let queue = Queue::new(&machine, &device, CompletionMode::Msix);
    device.set_faults(lose());
    let done = machine.run(async {
        let reaper = pin!(reap(&queue, &queue.control, Some(device.interrupt(0))));
        let watchdog = async {
            machine.sleep_until(Ticks(5000)).await;
            queue.control.look_now();
            std::future::pending::<()>().await;
        };
        let watchdog = pin!(watchdog);
        let others = select(reaper, watchdog);
        matches!(select(pin!(queue.fill(&machine)), others).await, Either::Left((true, _)))
    });
    assert_eq!(done, Ok(true));
    queue.ring.retire();
}

#[test]
fn a_doorbell_that_does_nothing_is_given_up() {
    let machine = SimMachine::new();
    let model =
        Filler { ring: DeviceAddress(0), commands: VecDeque::new(), posted: 0, delay: Ticks(10) };
    let device = machine.add("filler", model);
    let queue = Queue::new(&machine, &device, CompletionMode::Adaptive);
    device.set_faults(FaultPlan::new().on_write(|_, _, _| WriteFate::Ignore));
    let stuck = machine.run_until(Ticks(1_000_000), async {
        let reaper = pin!(reap(&queue, &queue.control, Some(device.interrupt(0))));
        let _ = select(pin!(queue.fill(&machine)), reaper).await;
    });
    assert!(stuck.is_err());
    // The device may hold the buffer: it stays until the queue is reset.
    assert_eq!((queue.slots.in_flight(), machine.memory().lent), (1, 1));
    queue.slots.reset(|| ());
    assert_eq!((queue.slots.in_flight(), machine.memory().lent), (0, 0));
    queue.ring.retire();
}

/// The device finishes between the look that finds nothing and the arming of its interrupt, which
/// then raises nothing: whatever the mode, the reaper looks once more.
#[test]
fn finishing_just_before_the_interrupt_is_armed() {
    for mode in [CompletionMode::Msix, CompletionMode::Adaptive, CompletionMode::Poll] {
        let machine = Rc::new(SimMachine::new());
        let model = Filler {
            ring: DeviceAddress(0),
            commands: VecDeque::new(),
            posted: 0,
            delay: Ticks(1 << 40),
        };
        let device = machine.add("filler", model);
        let mut queue = Queue::new(&machine, &device, mode);
        let (moment, looks) = (machine.clone(), Cell::new(0));
        queue.after_vain_look = Some(Box::new(move || {
            looks.set(looks.get() + 1);
            // Once on the way to sleep in each mode, whatever its patience.
            if looks.get() == 1 || looks.get() == PATIENCE + 1 {
                moment.advance(Ticks(1 << 40));
            }
        }));
        let done = machine.run_until(Ticks(1 << 50), async {
            let reaper = pin!(reap(&queue, &queue.control, Some(device.isa_interrupt(0))));
            matches!(select(pin!(queue.fill(&machine)), reaper).await, Either::Left((true, _)))
        });
        assert_eq!(done, Ok(true), "{mode}");
        queue.ring.retire();
    }
}

#[test]
fn modes_change_under_load() {
    let machine = SimMachine::new();
    let model =
        Filler { ring: DeviceAddress(0), commands: VecDeque::new(), posted: 0, delay: Ticks(700) };
    let device = machine.add("filler", model);
    let queue = Queue::new(&machine, &device, CompletionMode::Poll);
    let end = machine.run_until(Ticks(1_000_000_000), async {
        let reaper = reap(&queue, &queue.control, Some(device.interrupt(0)));
        let switch = async {
            use CompletionMode::{Adaptive, Msix, Poll};
            for mode in [Msix, Poll, Adaptive, Msix, Adaptive, Poll].into_iter().cycle() {
                machine.sleep_until(machine.clock().now().plus(Ticks(1900))).await;
                queue.control.set_mode(mode);
            }
        };
        let work = join_all((0..3).map(|_| async {
            for _ in 0..100 {
                assert!(queue.fill(&machine).await);
            }
        }));
        select(pin!(work), select(pin!(reaper), pin!(switch))).await;
    });
    assert_eq!(end, Ok(()));
    assert_eq!(machine.memory().lent, 0);
    queue.ring.retire();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Interrupts late or repeated: everything completes, in every mode.
    #[test]
    fn everything_completes(
        mode in prop_oneof![
            Just(CompletionMode::Poll), Just(CompletionMode::Msix), Just(CompletionMode::Adaptive)
        ],
        delay in prop_oneof![0u64..100, 0u64..100_000],
        tasks in 1usize..20,
        pause in 0u64..2000,
        fates in proptest::collection::vec(0u64..5000, 1..20),
    ) {
        let mut fates = fates.into_iter().cycle();
        let faults = FaultPlan::new().on_interrupt(move |_| match fates.next() {
            None | Some(0..1000) => InterruptFate::Deliver,
            Some(times @ 1000..2000) => InterruptFate::Repeat(times as u32 % 4 + 1),
            Some(delay) => InterruptFate::Delay(Ticks(delay)),
        });
        let outcome = fill(delay, mode, tasks, 5, pause, faults);
        prop_assert_eq!(outcome.map(|outcome| outcome.filled), Some(tasks * 5));
    }
}

#[test]
fn dropping_thousands_in_flight_frees_everything() {
    let machine = SimMachine::new();
    let model =
        Filler { ring: DeviceAddress(0), commands: VecDeque::new(), posted: 0, delay: Ticks(800) };
    let device = machine.add("filler", model);
    let queue = Queue::new(&machine, &device, CompletionMode::Adaptive);
    let end = machine.run(async {
        let reaper = reap(&queue, &queue.control, Some(device.interrupt(0)));
        let work = async {
            for round in 0..3000u64 {
                let patience = machine.clock().now().plus(Ticks(round * 37 % 1500));
                let give_up = machine.sleep_until(patience);
                let fills: Vec<_> = (0..3).map(|_| queue.fill(&machine)).collect();
                select(pin!(join_all(fills)), pin!(give_up)).await;
                assert!(machine.memory().lent <= ENTRIES);
            }
            // Every slot can be had again.
            let mut all = Vec::new();
            while all.len() < ENTRIES {
                all.push(queue.slots.reserve().await);
            }
        };
        select(pin!(work), pin!(reaper)).await;
    });
    assert!(end.is_ok());
    queue.ring.retire();
    assert_eq!(machine.memory(), Default::default());
}
