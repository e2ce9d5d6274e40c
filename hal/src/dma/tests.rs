//! DMA memory against the simulated machine: who may touch what, and that nothing is lost.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::mmio::Width;
use crate::sim::{
    Bus, BusError, DeviceModel, DmaFault, FaultPlan, SimDevice, SimMachine, Violation,
};

/// A device that does nothing by itself; tests act on its bus.
struct Idle(AddressLimit);

impl DeviceModel for Idle {
    fn read(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width) -> u64 {
        0
    }
    fn write(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width, _value: u64) {}
    fn address_limit(&self) -> AddressLimit {
        self.0
    }
}

fn write(device: &SimDevice<Idle>, address: DeviceAddress, bytes: &[u8]) -> Result<(), BusError> {
    device.act(|_, bus| bus.dma_write(address, bytes))
}

fn read(device: &SimDevice<Idle>, address: DeviceAddress, bytes: usize) -> Option<Vec<u8>> {
    let mut into = vec![0; bytes];
    device.act(|_, bus| bus.dma_read(address, &mut into)).ok()?;
    Some(into)
}

fn faults(machine: &SimMachine) -> Vec<DmaFault> {
    let fault = |violation| match violation {
        Violation::Dma { fault, .. } => fault,
        other => panic!("{other}"),
    };
    machine.take_violations().into_iter().map(fault).collect()
}

#[test]
fn a_buffer_goes_to_the_device_and_comes_back() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle(AddressLimit::NONE));
    let mut buffer = machine.dma().buffer(600).expect("there is memory");
    assert!(buffer.iter().all(|&byte| byte == 0));
    buffer[..4].copy_from_slice(b"ping");
    let loan = buffer.lend(Direction::Both);
    assert_eq!((loan.bytes(), loan.address().0 % ALIGNMENT as u64), (600, 0));
    assert_eq!(read(&device, loan.address(), 4).as_deref(), Some(&b"ping"[..]));
    write(&device, loan.address().plus(596), b"pong").expect("it was lent");
    let buffer = loan.reclaim();
    assert_eq!(&buffer[596..], b"pong");
    drop(buffer);
    assert_eq!(machine.memory(), Default::default());
}

#[test]
fn the_device_touches_only_what_it_was_lent() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle(AddressLimit::NONE));
    let domain = machine.dma();
    let first = domain.buffer(100).expect("memory").lend(Direction::FromDevice);
    let second = domain.buffer(4096).expect("memory").lend(Direction::ToDevice);
    let at = first.address();

    assert!(write(&device, at.plus(97), b"abcd").is_err(), "past the end");
    assert!(write(&device, at.plus(100), b"a").is_err(), "in the guard");
    assert!(write(&device, DeviceAddress(0), b"a").is_err(), "null");
    assert!(write(&device, DeviceAddress(u64::MAX), b"ab").is_err(), "wraps");
    assert!(read(&device, at, 1).is_none(), "lent for writing");
    assert!(write(&device, second.address(), b"a").is_err(), "lent for reading");
    assert_eq!(
        faults(&machine),
        [
            DmaFault::PastEnd,
            DmaFault::Nowhere,
            DmaFault::Nowhere,
            DmaFault::BeyondLimit,
            DmaFault::Direction,
            DmaFault::Direction,
        ]
    );

    let buffer = first.reclaim();
    assert!(buffer.iter().all(|&byte| byte == 0));
    assert!(write(&device, at, b"late").is_err());
    drop(buffer);
    assert!(write(&device, at, b"later").is_err());
    assert_eq!(faults(&machine), [DmaFault::NotLent, DmaFault::Freed]);
    drop(second.reclaim());
}

#[test]
fn address_limits_hold_on_both_sides() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Idle(AddressLimit::bits(28)));
    let low = machine.dma().limited(AddressLimit::bits(28));
    let loan =
        low.limited(AddressLimit::bits(64)).buffer(4096).expect("memory").lend(Direction::Both);
    assert!(loan.address().0 < 1 << 28);
    assert_eq!(low.limited(AddressLimit::bits(40)).limit(), AddressLimit::bits(28));
    assert!(write(&device, DeviceAddress((1 << 28) - 1), b"ab").is_err());
    assert_eq!(faults(&machine), [DmaFault::BeyondLimit]);
    drop(loan.reclaim());
    assert_eq!(AddressLimit::bits(0).highest(), 0);
    assert_eq!(AddressLimit::bits(64), AddressLimit::NONE);
}

#[test]
fn what_a_device_may_reach_is_leaked_not_freed() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle(AddressLimit::NONE));
    let before = leaked_bytes();
    let loan = machine.dma().buffer(512).expect("memory").lend(Direction::FromDevice);
    let mut ring = machine.dma().ring::<2>(16).expect("memory");
    let unseen = machine.dma().ring::<2>(16).expect("memory");
    let (at, ring_at) = (loan.address(), ring.address());
    drop((loan, ring, unseen));
    write(&device, at, b"still here").expect("leaked, not freed");
    write(&device, ring_at, b"and here").expect("leaked, not freed");
    let report = machine.memory();
    assert_eq!((report.owned, report.lent, report.rings), (0, 1, 1));
    // Other tests leak too, at the same time.
    assert!(leaked_bytes() >= before + 512 + 256);
}

#[test]
fn a_ring_is_shared_until_retired() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle(AddressLimit::NONE));
    let mut ring = machine.dma().ring::<2>(4).expect("memory");
    let at = ring.address();
    ring.set_entry(1, [0x0102_0304_0506_0708, 9]);
    assert_eq!(read(&device, at.plus(16), 3).as_deref(), Some(&[8, 7, 6][..]));
    write(&device, at.plus(31), &[0x80]).expect("rings are lent");
    assert_eq!(ring.word(1, 1), 9 | 0x80 << 56);
    assert_eq!(ring.entry(5), [0x0102_0304_0506_0708, 9 | 0x80 << 56], "indices wrap");
    let mut out = [0; 4];
    write(&device, at.plus(62), &[1, 2]).expect("rings are lent");
    write(&device, at, &[3, 4]).expect("rings are lent");
    ring.copy_out(62, &mut out);
    assert_eq!(out, [1, 2, 3, 4]);
    assert!(write(&device, at.plus(60), b"12345").is_err());
    ring.retire();
    assert!(write(&device, at, b"1").is_err());
    assert_eq!(faults(&machine), [DmaFault::PastEnd, DmaFault::Freed]);
    assert_eq!(machine.memory(), Default::default());
}

proptest! {
    /// Whatever begins and ends where, it is what lies there, byte by byte.
    #[test]
    fn streams_are_copied_out_of_a_ring(offset in 0usize..200, length in 0usize..300) {
        let machine = SimMachine::new();
        let ring = machine.dma().ring::<1>(9).expect("memory");
        for word in 0..9u64 {
            ring.set_word(word as usize, 0, u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| byte + 8 * word as u8)));
        }
        let mut out = vec![0xff; length];
        ring.copy_out(offset, &mut out);
        let expected: Vec<u8> = (offset..offset + length).map(|place| (place % 72) as u8).collect();
        prop_assert_eq!(out, expected);
    }
}

#[test]
fn sizes_and_shortage_are_errors() {
    let machine = SimMachine::new();
    let domain = machine.dma();
    assert_eq!(domain.buffer(0).err(), Some(DmaError::BadSize));
    assert_eq!(domain.buffer(LARGEST + 1).err(), Some(DmaError::BadSize));
    assert_eq!(domain.ring::<8>(usize::MAX).err(), Some(DmaError::BadSize));
    assert_eq!(domain.ring::<8>(usize::MAX / 8).err(), Some(DmaError::BadSize));
    assert_eq!(domain.ring::<0>(8).err(), Some(DmaError::BadSize));
    machine.set_dma_available(4096);
    let one = domain.buffer(4096).expect("exactly enough");
    assert_eq!(domain.buffer(1).err(), Some(DmaError::OutOfMemory));
    drop(one);
    domain.buffer(1).expect("there is some again");
}

#[test]
fn addresses_under_a_limit_are_used_again_only_when_they_run_out() {
    let machine = SimMachine::new();
    // Room above 1 MiB for 128 buffers and their guards.
    let domain = machine.dma().limited(AddressLimit::bits(21));
    let mut held = Vec::new();
    while let Ok(buffer) = domain.buffer(4096) {
        held.push(buffer);
    }
    assert_eq!(held.len(), 128);
    let freed = held.swap_remove(17).lend(Direction::Both);
    let at = freed.address();
    drop(freed.reclaim());
    assert_eq!(
        domain.buffer(4096).expect("one is free").lend(Direction::Both).reclaim().len(),
        4096
    );
    let again = domain.buffer(1).expect("one is free").lend(Direction::Both);
    assert_eq!(again.address(), at);
    assert_eq!(domain.buffer(1).err(), Some(DmaError::OutOfMemory));
    drop(again.reclaim());
}

#[test]
fn lost_transfers_and_unplugged_devices_change_nothing() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle(AddressLimit::NONE));
    let loan = machine.dma().buffer(8).expect("memory").lend(Direction::Both);
    device.set_faults(FaultPlan::new().on_dma(|_| false));
    assert!(write(&device, loan.address(), b"lost").is_err());
    device.set_faults(FaultPlan::new());
    device.unplug();
    assert!(write(&device, loan.address(), b"gone").is_err());
    device.plug_in();
    write(&device, loan.address(), b"here").expect("back again");
    assert_eq!(&loan.reclaim()[..], b"here\0\0\0\0");
}

#[derive(Clone, Debug)]
enum Action {
    Allocate(usize),
    Lend(usize),
    Reclaim(usize),
    Free(usize),
    DeviceWrites { which: usize, offset: usize, bytes: Vec<u8> },
    DriverWrites { which: usize, offset: usize, value: u8 },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1usize..9000).prop_map(Action::Allocate),
        any::<usize>().prop_map(Action::Lend),
        any::<usize>().prop_map(Action::Reclaim),
        any::<usize>().prop_map(Action::Free),
        (any::<usize>(), any::<usize>(), proptest::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(which, offset, bytes)| Action::DeviceWrites { which, offset, bytes }),
        (any::<usize>(), any::<usize>(), any::<u8>())
            .prop_map(|(which, offset, value)| Action::DriverWrites { which, offset, value }),
    ]
}

enum Held {
    Owned(DmaBuf),
    Lent(DmaLoan),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever driver and device do, each buffer holds exactly what was rightly written to it.
    #[test]
    fn buffers_agree_with_a_model(actions in proptest::collection::vec(action(), 1..120)) {
        let machine = SimMachine::new();
        let device = machine.add("idle", Idle(AddressLimit::NONE));
        let mut held: Vec<(Held, Vec<u8>)> = Vec::new();
        for action in actions {
            match action {
                Action::Allocate(bytes) => {
                    let buffer = machine.dma().buffer(bytes).expect("plenty");
                    held.push((Held::Owned(buffer), vec![0; bytes]));
                }
                Action::Lend(which) | Action::Reclaim(which) if !held.is_empty() => {
                    let (buffer, model) = held.swap_remove(which % held.len());
                    let buffer = match buffer {
                        Held::Owned(buffer) => Held::Lent(buffer.lend(Direction::FromDevice)),
                        Held::Lent(loan) => Held::Owned(loan.reclaim()),
                    };
                    held.push((buffer, model));
                }
                Action::Free(which) if !held.is_empty() => {
                    match held.swap_remove(which % held.len()).0 {
                        Held::Owned(buffer) => drop(buffer),
                        Held::Lent(loan) => drop(loan.reclaim()),
                    }
                }
                Action::DeviceWrites { which, offset, bytes } if !held.is_empty() => {
                    let place = which % held.len();
                    let (buffer, model) = &mut held[place];
                    if let Held::Lent(loan) = buffer {
                        // In the buffer or its guard, not in a neighbour.
                        let offset = offset % (model.len() + ALIGNMENT);
                        let fits = offset + bytes.len() <= model.len();
                        let result = write(&device, loan.address().plus(offset as u64), &bytes);
                        prop_assert_eq!(result.is_ok(), fits);
                        if fits {
                            model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                }
                Action::DriverWrites { which, offset, value } if !held.is_empty() => {
                    let place = which % held.len();
                    let (buffer, model) = &mut held[place];
                    if let Held::Owned(buffer) = buffer {
                        let offset = offset % model.len();
                        buffer[offset] = value;
                        model[offset] = value;
                    }
                }
                _ => {}
            }
            let report = machine.memory();
            prop_assert_eq!(report.owned + report.lent, held.len());
            prop_assert_eq!(report.bytes, held.iter().map(|(_, model)| model.len()).sum::<usize>());
        }
        for (buffer, model) in held {
            let buffer = match buffer {
                Held::Owned(buffer) => buffer,
                Held::Lent(loan) => loan.reclaim(),
            };
            prop_assert_eq!(&buffer[..], &model[..]);
        }
        machine.take_violations();
        prop_assert_eq!(machine.memory(), Default::default());
    }
}
