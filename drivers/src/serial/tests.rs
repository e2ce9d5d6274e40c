//! The driver against a modelled UART.

use std::vec::Vec;

use executor::sync::mpsc;
use futures_util::future::{Either, select};
use hal::clock::Ticks;
use hal::sim::{FaultPlan, InterruptFate, SimDevice, SimMachine, Stuck};
use proptest::prelude::*;
use std::pin::pin;

use super::model::{Line, Uart};
use super::*;

fn uart(machine: &SimMachine) -> SimDevice<Uart> {
    machine.add("uart", Uart::default())
}

/// Reads until nothing more is going to happen, `pause` after each byte.
fn read_all(
    machine: &SimMachine,
    device: &SimDevice<Uart>,
    room: usize,
    pause: Ticks,
) -> (Vec<u8>, Option<Result<(), SerialError>>) {
    let (sender, mut receiver) = mpsc::channel(room);
    let driver = receive("uart", device.region(REGISTER_BYTES), device.isa_interrupt(0), sender);
    let mut bytes = Vec::new();
    let mut end = None;
    let outcome: Result<(), Stuck> = machine.run(async {
        let reader = async {
            while let Some(byte) = receiver.receive().await {
                bytes.push(byte);
                machine.sleep_until(machine.clock().now().plus(pause)).await;
            }
        };
        let reader = pin!(reader);
        let driver = pin!(driver);
        match select(driver, reader).await {
            Either::Left((result, reader)) => {
                end = Some(result);
                reader.await;
            }
            Either::Right(_) => unreachable!("the driver holds the sender"),
        }
    });
    assert_eq!(outcome.is_ok(), end.is_some());
    (bytes, end)
}

fn announce(device: &SimDevice<Uart>, times: impl IntoIterator<Item = (u64, u8)>) {
    device.act(|_, bus| {
        for (at, byte) in times {
            bus.call_after(Ticks(at), u64::from(byte));
        }
    });
}

#[test]
fn what_is_typed_arrives() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    let text = b"help\rcores\r";
    announce(&device, (1000..).step_by(1000).zip(*text));
    let (bytes, end) = read_all(&machine, &device, 4, Ticks(0));
    assert_eq!((bytes.as_slice(), end), (&text[..], None));
    assert_eq!(device.delivered(0), text.len() as u64, "one edge for each");
}

#[test]
fn what_was_typed_before_the_driver_started_arrives() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    announce(&device, [(1, b'a'), (2, b'b')]);
    machine.advance(Ticks(10));
    announce(&device, [(5, b'c')]);
    assert_eq!(read_all(&machine, &device, 4, Ticks(0)).0, b"abc");
}

#[test]
fn a_slow_reader_loses_only_what_overruns_the_uart() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    announce(&device, (0..60).map(|index| (index, index as u8)));
    let (bytes, _) = read_all(&machine, &device, 2, Ticks(1000));
    let lost = device.act(|uart, _| uart.lost);
    assert!(lost > 0);
    assert_eq!(bytes.len() + lost, 60);
    assert!(bytes.is_sorted());
}

#[test]
fn broken_bytes_are_left_out() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    device.act(|uart, bus| {
        uart.arrive(bus, b'x', Line::FramingError);
        uart.arrive(bus, b'y', Line::Good);
    });
    assert_eq!(read_all(&machine, &device, 4, Ticks(0)).0, b"y");
}

#[test]
fn nobody_there() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    device.unplug();
    assert_eq!(read_all(&machine, &device, 4, Ticks(0)).1, Some(Err(SerialError::NotPresent)));
}

#[test]
fn gone_while_running() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    // From the third read of the line status on, nobody answers.
    let mut reads = 0;
    device.set_faults(FaultPlan::new().on_read(move |offset, _, value| {
        reads += u32::from(offset == 5);
        if reads > 2 { u64::MAX } else { value }
    }));
    announce(&device, [(50, b'a')]);
    assert_eq!(read_all(&machine, &device, 4, Ticks(0)).1, Some(Err(SerialError::Gone)));
}

#[test]
fn an_interrupt_without_a_reason_ends_the_driver_not_the_core() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    device.act(|uart, _| uart.stuck = true);
    assert_eq!(read_all(&machine, &device, 4, Ticks(0)).1, Some(Err(SerialError::Stuck)));
}

#[test]
fn ends_when_nobody_reads_and_leaves_the_uart_silent() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    let (sender, receiver) = mpsc::channel(4);
    let driver = receive("uart", device.region(REGISTER_BYTES), device.isa_interrupt(0), sender);
    drop(receiver);
    announce(&device, [(50, b'a')]);
    assert_eq!(machine.run(driver), Ok(Ok(())));
    assert!(!device.act(|uart, _| uart.interrupts_enabled()));
    assert!(device.is_masked(0));
}

#[test]
fn dropped_while_waiting_leaves_the_uart_silent() {
    let machine = SimMachine::new();
    let device = uart(&machine);
    read_all(&machine, &device, 4, Ticks(0));
    assert!(!device.act(|uart, _| uart.interrupts_enabled()));
}

proptest! {
    /// Interrupts late, repeated, or both: every byte that the UART kept arrives, in order.
    #[test]
    fn interrupts_may_come_late_and_often(
        gaps in proptest::collection::vec(0u64..50, 1..200),
        fates in proptest::collection::vec(0u64..40, 1..50),
        room in 1usize..8,
        pause in 0u64..60,
    ) {
        let machine = SimMachine::new();
        let device = uart(&machine);
        let mut fates = fates.into_iter().cycle();
        device.set_faults(FaultPlan::new().on_interrupt(move |_| match fates.next() {
            Some(0..10) | None => InterruptFate::Deliver,
            Some(times @ 10..14) => InterruptFate::Repeat(times as u32 - 9),
            Some(delay) => InterruptFate::Delay(Ticks(delay)),
        }));
        let mut now = 0;
        let count = gaps.len();
        announce(&device, gaps.into_iter().zip(0..).map(|(gap, byte)| {
            now += gap;
            (now, byte)
        }));
        let (bytes, end) = read_all(&machine, &device, room, Ticks(pause));
        prop_assert_eq!(end, None);
        prop_assert!(bytes.is_sorted_by(|earlier, later| earlier < later));
        prop_assert_eq!(bytes.len() + device.act(|uart, _| uart.lost), count);
    }
}

/// The driver as a task of the real executor, on a machine that follows its clock.
#[test]
fn as_a_task_with_time_limits() {
    use executor::host::{Virtual, block_on};
    use executor::{Instant, Platform, Priority, TimedOut, sleep_until, spawn, timeout};
    use std::rc::Rc;

    block_on::<Virtual, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
        let served = machine.clone();
        let service = spawn::<Virtual, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
        });
        let device = uart(&machine);
        let (sender, mut receiver) = mpsc::channel(4);
        let (registers, interrupt) = (device.region(REGISTER_BYTES), device.isa_interrupt(0));
        let driver = spawn::<Virtual, _>(
            "uart",
            Priority::High,
            receive("uart", registers, interrupt, sender),
        );
        announce(&device, [(1000, b'a'), (2_000_000, b'b')]);
        let start = Virtual::now();
        assert_eq!(receiver.receive().await, Some(b'a'));
        assert_eq!(Virtual::now().since(start), 1000);
        let limit = start.after(1_000_000);
        assert_eq!(timeout::<Virtual, _>(limit, receiver.receive()).await, Err(TimedOut));
        assert_eq!(receiver.receive().await, Some(b'b'));
        assert_eq!(Virtual::now().since(start), 2_000_000);
        driver.cancel();
        assert!(driver.await.is_err());
        assert!(!device.act(|uart, _| uart.interrupts_enabled()));
        service.cancel();
        assert!(service.await.is_err());
    });
}
