//! The table against a model, and step by step.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::vec::Vec;

use hal::dma::{Direction, DmaBuf, DmaLoan};
use hal::sim::SimMachine;
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn buffer(machine: &SimMachine) -> DmaLoan {
    machine.dma().buffer(64).expect("memory").lend(Direction::FromDevice)
}

fn table(depth: u16) -> SlotTable<DmaLoan, u8> {
    SlotTable::new(depth, 16)
}

#[test]
fn a_command_goes_round() {
    let machine = SimMachine::new();
    let table = table(2);
    let reserved = table.try_reserve().expect("it is empty");
    let id = reserved.id();
    let mut submitted = reserved.submit(buffer(&machine), Ticks(10));
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(wakes.clone());
    assert!(Pin::new(&mut submitted).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!((table.in_flight(), table.free()), (1, 1));
    assert_eq!(table.complete(id, 5), Ok(Completed::Delivered));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(table.complete(id, 6), Err(StaleCompletion::NotInFlight(id)));
    let Poll::Ready(finished) = poll(&mut submitted) else { panic!("it was completed") };
    assert_eq!(finished.result, 5);
    assert_eq!(finished.returned.as_deref().map(<[u8]>::len), Some(64));
    assert!(poll(&mut submitted).is_pending(), "it has given its result");
    assert_eq!(table.complete(id, 7), Err(StaleCompletion::OldGeneration(id)));
    assert_eq!((table.in_flight(), table.free()), (0, 2));
}

#[test]
fn an_orphan_keeps_its_memory_until_the_device_is_done() {
    let machine = SimMachine::new();
    let table = table(1);
    let reserved = table.try_reserve().expect("it is empty");
    let id = reserved.id();
    drop(reserved.submit(buffer(&machine), Ticks(0)));
    assert_eq!(machine.memory().lent, 1);
    assert!(table.try_reserve().is_none());
    assert_eq!(table.complete(id, 0), Ok(Completed::Orphan));
    assert_eq!(machine.memory(), Default::default());
    assert_ne!(table.try_reserve().expect("free again").id(), id);
}

#[test]
fn giving_up_answers_at_once_and_frees_later() {
    let machine = SimMachine::new();
    let table = table(2);
    let first = table.try_reserve().expect("it is empty");
    let second = table.try_reserve().expect("it is empty");
    let ids = [first.id(), second.id()];
    let mut first = first.submit(buffer(&machine), Ticks(10));
    let mut second = second.submit(buffer(&machine), Ticks(20));
    assert_eq!(table.overdue(Ticks(9)), None);
    assert_eq!(table.overdue(Ticks(10)), Some(ids[0]));
    table.give_up(ids[0], 99).expect("in flight");
    table.give_up(ids[1], 98).expect("in flight");
    // The device is still at them.
    assert_eq!(table.overdue(Ticks(100)), Some(ids[0]));
    assert_eq!(table.give_up(ids[0], 1), Err(StaleCompletion::NotInFlight(ids[0])));

    let Poll::Ready(finished) = poll(&mut first) else { panic!("it was given up") };
    assert_eq!((finished.result, finished.returned.is_none()), (99, true));
    assert_eq!(machine.memory().lent, 2);
    assert_eq!(table.complete(ids[0], 0), Ok(Completed::Orphan));
    // The second completes before its caller looks: the verdict stands, the memory comes back.
    assert_eq!(table.complete(ids[1], 0), Ok(Completed::Delivered));
    let Poll::Ready(finished) = poll(&mut second) else { panic!("it was given up") };
    assert_eq!((finished.result, finished.returned.is_some()), (98, true));
    drop(finished);
    assert_eq!(machine.memory(), Default::default());
}

/// Slots that are free although somebody waits: that one has been granted another.
#[test]
fn a_free_slot_waits_for_nobody() {
    let machine = SimMachine::new();
    let table = table(2);
    let submit =
        |reserved: Reservation<'_, _, _>| drop(reserved.submit(buffer(&machine), Ticks(0)));
    let reserved =
        [table.try_reserve(), table.try_reserve()].map(|slot| slot.expect("it is empty"));
    let ids = [reserved[0].id(), reserved[1].id()];
    reserved.into_iter().for_each(submit);
    let mut first = table.reserve();
    assert!(poll(&mut first).is_pending());
    for id in ids {
        assert_eq!(table.complete(id, 0), Ok(Completed::Orphan));
    }
    let mut second = table.reserve();
    assert!(poll(&mut second).is_ready());
    assert!(poll(&mut first).is_ready());
}

#[test]
fn a_reset_gives_everything_back() {
    let machine = SimMachine::new();
    let table = table(4);
    let mut submitted = Vec::new();
    for _ in 0..3 {
        let reserved = table.try_reserve().expect("there is room");
        submitted.push(reserved.submit(buffer(&machine), Ticks(0)));
    }
    let _held = table.try_reserve().expect("there is room");
    table.give_up(submitted[2].id(), 9).expect("in flight");
    drop(submitted.remove(0));
    table.reset(|| 42);
    let Poll::Ready(finished) = poll(&mut submitted[0]) else { panic!("it was reset") };
    assert_eq!((finished.result, finished.returned.is_some()), (42, true));
    let Poll::Ready(finished) = poll(&mut submitted[1]) else { panic!("it was given up") };
    assert_eq!((finished.result, finished.returned.is_some()), (9, true));
    drop(finished);
    assert_eq!((table.in_flight(), table.free()), (0, 3));
}

#[test]
fn a_table_dropped_in_flight_leaks_rather_than_frees() {
    let machine = SimMachine::new();
    let table = table(1);
    let reserved = table.try_reserve().expect("it is empty");
    drop(reserved.submit(buffer(&machine), Ticks(0)));
    drop(table);
    assert_eq!(machine.memory().lent, 1);
}

#[test]
fn first_come_first_served() {
    let table = table(1);
    let held = table.try_reserve().expect("it is empty");
    let mut waiting: Vec<_> = (0..3).map(|_| table.reserve()).collect();
    for future in &mut waiting {
        assert!(poll(future).is_pending());
    }
    drop(held);
    assert!(table.try_reserve().is_none(), "it was promised to the first");
    assert!(poll(&mut waiting[2]).is_pending());
    // The first goes without looking: the second gets it.
    drop(waiting.remove(0));
    let Poll::Ready(second) = poll(&mut waiting[0]) else { panic!("it is its turn") };
    assert!(poll(&mut waiting[1]).is_pending());
    drop(second);
    let Poll::Ready(third) = poll(&mut waiting[1]) else { panic!("it is its turn") };
    drop(third);
    drop(waiting);
    assert_eq!(table.free(), 1);
}

#[test]
fn ids_number_every_slot_in_every_width() {
    for (depth, bits, expected) in
        [(0, 16, 1), (1, 1, 1), (32, 5, 32), (64, 5, 32), (1000, 16, 1000), (u16::MAX, 16, 32768)]
    {
        let table = SlotTable::<(), ()>::new(depth, bits);
        assert_eq!(table.depth(), expected, "depth {depth}, {bits} bits");
        let mut seen = HashSet::new();
        let mut held = Vec::new();
        while let Some(reserved) = table.try_reserve() {
            assert!(u32::from(reserved.id().0) < 1 << bits);
            assert!(reserved.index() < table.depth());
            assert!(seen.insert(reserved.id()));
            held.push(reserved);
        }
        assert_eq!(held.len(), expected);
    }
}

proptest! {
    /// No id a device can make up does harm.
    #[test]
    fn made_up_ids_are_stale(depth in 1u16..300, ids: Vec<u16>) {
        let table = SlotTable::<(), u8>::new(depth, 16);
        for id in ids {
            prop_assert!(table.complete(CommandId(id), 0).is_err());
            prop_assert!(table.give_up(CommandId(id), 0).is_err());
        }
        prop_assert_eq!(table.free(), table.depth());
    }
}

#[derive(Clone, Debug)]
enum Action {
    Submit { deadline: u64 },
    Complete(usize),
    CompleteStale(usize),
    GiveUp(usize),
    Poll(usize),
    Cancel(usize),
    Overdue(u64),
    GiveUpOverdue(u64),
    Reset,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0u64..100).prop_map(|deadline| Action::Submit { deadline }),
        4 => any::<usize>().prop_map(Action::Complete),
        1 => any::<usize>().prop_map(Action::CompleteStale),
        2 => any::<usize>().prop_map(Action::GiveUp),
        4 => any::<usize>().prop_map(Action::Poll),
        3 => any::<usize>().prop_map(Action::Cancel),
        1 => (0u64..100).prop_map(Action::Overdue),
        1 => (0u64..100).prop_map(Action::GiveUpOverdue),
        1 => Just(Action::Reset),
    ]
}

/// What the model knows of a command the device has.
struct Command {
    deadline: u64,
    caller: Caller,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Waits,
    /// Was told so much and has not looked yet.
    Told(u8),
    Gone,
}

fn pick<V>(map: &BTreeMap<u16, V>, which: usize) -> Option<u16> {
    (!map.is_empty()).then(|| *map.keys().nth(which % map.len()).expect("in range"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Any order of submitting, completing, giving up, cancelling and resetting.
    #[test]
    fn agrees_with_a_model(actions in proptest::collection::vec(action(), 1..200)) {
        let machine = SimMachine::new();
        let table = table(5);
        let mut device: BTreeMap<u16, Command> = BTreeMap::new();
        // What a caller will be told: result, and whether with its memory.
        let mut ended: BTreeMap<u16, u8> = BTreeMap::new();
        let mut futures: BTreeMap<u16, Pin<Box<Submitted<'_, DmaLoan, u8>>>> = BTreeMap::new();
        let mut stale: Vec<u16> = Vec::new();
        let mut returned: Vec<DmaBuf> = Vec::new();
        for action in actions {
            match action {
                Action::Submit { deadline } => {
                    let reserved = table.try_reserve();
                    prop_assert_eq!(reserved.is_some(), device.len() + ended.len() < 5);
                    let Some(reserved) = reserved else { continue };
                    let id = reserved.id();
                    stale.retain(|&old| old != id.0);
                    let future = reserved.submit(buffer(&machine), Ticks(deadline));
                    futures.insert(id.0, Box::pin(future));
                    device.insert(id.0, Command { deadline, caller: Caller::Waits });
                }
                Action::Complete(which) => {
                    let Some(id) = pick(&device, which) else { continue };
                    let command = device.remove(&id).expect("picked");
                    let outcome = table.complete(CommandId(id), 1);
                    let expected = match command.caller {
                        Caller::Waits => { ended.insert(id, 1); Completed::Delivered }
                        Caller::Told(verdict) => { ended.insert(id, verdict); Completed::Delivered }
                        Caller::Gone => { stale.push(id); Completed::Orphan }
                    };
                    prop_assert_eq!(outcome, Ok(expected));
                }
                Action::CompleteStale(which) => {
                    if stale.is_empty() { continue }
                    let id = CommandId(stale[which % stale.len()]);
                    prop_assert!(table.complete(id, 2).is_err());
                }
                Action::GiveUp(which) => {
                    let Some(id) = pick(&device, which) else { continue };
                    let command = device.get_mut(&id).expect("picked");
                    let outcome = table.give_up(CommandId(id), 3);
                    prop_assert_eq!(outcome.is_ok(), command.caller == Caller::Waits);
                    if outcome.is_ok() {
                        command.caller = Caller::Told(3);
                    }
                }
                Action::Poll(which) => {
                    let Some(id) = pick(&futures, which) else { continue };
                    let result = futures.get_mut(&id).expect("picked").as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()));
                    let told = device.get(&id).map(|command| command.caller);
                    match (result, ended.get(&id), told) {
                        (Poll::Ready(finished), Some(&result), _) => {
                            prop_assert_eq!(finished.result, result);
                            returned.extend(finished.returned);
                            ended.remove(&id);
                            futures.remove(&id);
                            stale.push(id);
                        }
                        (Poll::Ready(finished), None, Some(Caller::Told(verdict))) => {
                            prop_assert_eq!(finished.result, verdict);
                            prop_assert!(finished.returned.is_none());
                            device.get_mut(&id).expect("told").caller = Caller::Gone;
                            futures.remove(&id);
                        }
                        (Poll::Pending, None, Some(Caller::Waits)) => {}
                        (result, ended, _) => prop_assert!(
                            false, "ready: {}, ended: {:?}", result.is_ready(), ended),
                    }
                }
                Action::Cancel(which) => {
                    let Some(id) = pick(&futures, which) else { continue };
                    futures.remove(&id);
                    if ended.remove(&id).is_some() {
                        stale.push(id);
                    }
                    if let Some(command) = device.get_mut(&id) {
                        command.caller = Caller::Gone;
                    }
                }
                Action::Overdue(now) => {
                    let overdue = table.overdue(Ticks(now));
                    let is_due = |command: &Command| command.deadline <= now;
                    match overdue {
                        Some(id) => prop_assert!(device.get(&id.0).is_some_and(is_due)),
                        None => prop_assert!(!device.values().any(is_due)),
                    }
                }
                Action::GiveUpOverdue(now) => {
                    table.give_up_overdue(Ticks(now), || 5);
                    for command in device.values_mut() {
                        if command.caller == Caller::Waits && command.deadline <= now {
                            command.caller = Caller::Told(5);
                        }
                    }
                }
                Action::Reset => {
                    table.reset(|| 4);
                    for (id, command) in std::mem::take(&mut device) {
                        match command.caller {
                            Caller::Waits => { ended.insert(id, 4); }
                            Caller::Told(verdict) => { ended.insert(id, verdict); }
                            Caller::Gone => stale.push(id),
                        }
                    }
                }
            }
            prop_assert_eq!(table.in_flight(), device.len());
            prop_assert_eq!(table.free(), 5 - device.len() - ended.len());
            let memory = machine.memory();
            prop_assert_eq!(memory.lent, device.len() + ended.len());
            prop_assert_eq!(memory.owned, returned.len());
        }
        drop(futures);
        table.reset(|| 0);
        drop(returned);
        prop_assert_eq!(machine.memory(), Default::default());
    }
}
