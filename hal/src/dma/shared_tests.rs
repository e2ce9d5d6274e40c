//! Memory in pages: listed buffers and shared pages, against the simulated machine.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::mmio::Width;
use crate::sim::{Bus, DeviceModel, DmaFault, MemoryReport, SimDevice, SimMachine, Violation};

/// A device that does nothing by itself.
struct Idle;

impl DeviceModel for Idle {
    fn read(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width) -> u64 {
        0
    }
    fn write(&mut self, _bus: &mut Bus<'_>, _offset: usize, _width: Width, _value: u64) {}
}

fn write(device: &SimDevice<Idle>, address: DeviceAddress, bytes: &[u8]) -> bool {
    device.act(|_, bus| bus.dma_write(address, bytes)).is_ok()
}

fn faults(machine: &SimMachine) -> Vec<DmaFault> {
    let fault = |violation| match violation {
        Violation::Dma { fault, .. } => fault,
        other => panic!("{other}"),
    };
    machine.take_violations().into_iter().map(fault).collect()
}

#[test]
fn a_listed_buffer_is_one_slice_and_many_places() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle);
    let mut buffer = machine.dma().listed(3 * PAGE + 100).expect("memory");
    assert_eq!(buffer.len(), 3 * PAGE + 100);
    assert!(buffer.iter().all(|byte| *byte == 0));
    buffer[PAGE] = 7;
    let loan = buffer.lend(Direction::Both);
    assert!(!loan.is_contiguous());
    assert_eq!(loan.page(0), loan.address());
    assert_eq!(loan.page(9), loan.page(3), "beyond the end: the last");
    let mut seven = [0];
    assert!(device.act(|_, bus| bus.dma_read(loan.page(1), &mut seven)).is_ok());
    assert_eq!(seven, [7]);
    for page in 0..4 {
        let bytes = if page == 3 { 100 } else { PAGE };
        assert!(write(&device, loan.page(page), &vec![page as u8 + 1; bytes]));
    }
    let buffer = loan.reclaim();
    assert!(buffer.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at / PAGE + 1));
    drop(buffer);
    assert_eq!(machine.memory(), MemoryReport::default());
    assert!(machine.take_violations().is_empty());
}

#[test]
fn a_device_that_runs_on_from_a_page_is_found() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle);
    let domain = machine.dma();
    let other = domain.buffer(PAGE).expect("memory");
    let loan = domain.listed(2 * PAGE + 1).expect("memory").lend(Direction::FromDevice);
    assert!(!write(&device, loan.address(), &vec![1; PAGE + 1]), "across the page's end");
    assert!(!write(&device, loan.address().plus(PAGE as u64), &[1]), "behind it");
    assert!(!write(&device, loan.page(1).plus(PAGE as u64), &[1]), "behind the second");
    assert!(!write(&device, loan.page(2), &[1, 1]), "the last has one byte");
    let expected = [DmaFault::PastEnd, DmaFault::Nowhere, DmaFault::Nowhere, DmaFault::PastEnd];
    assert_eq!(faults(&machine), expected);
    let pages: Vec<_> = (0..3).map(|index| loan.page(index)).collect();
    assert!(loan.reclaim().iter().all(|byte| *byte == 0), "nothing of it arrived");
    assert!(!write(&device, pages[1], &[1]));
    assert_eq!(faults(&machine), [DmaFault::Freed]);
    drop(other);
}

#[test]
fn a_listed_loan_that_is_dropped_stays() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle);
    let loan = machine.dma().listed(2 * PAGE).expect("memory").lend(Direction::FromDevice);
    let second = loan.page(1);
    drop(loan);
    assert!(write(&device, second, &[1]), "the device may still write there");
    let report = machine.memory();
    assert_eq!((report.owned, report.lent, report.bytes), (0, 1, 2 * PAGE));
}

#[test]
fn limits_and_shortage_hold_for_each_page() {
    let machine = SimMachine::new();
    let low = machine.dma().limited(AddressLimit::bits(28));
    let loan = low.listed(20 * PAGE).expect("memory").lend(Direction::Both);
    assert!((0..20).all(|index| loan.page(index).0 + PAGE as u64 <= 1 << 28));
    drop(loan.reclaim());
    machine.set_dma_available(5 * PAGE);
    assert_eq!(machine.dma().listed(6 * PAGE).err(), Some(DmaError::OutOfMemory));
    assert_eq!(machine.memory(), MemoryReport::default(), "what it had is free again");
    assert_eq!(machine.dma().listed(5 * PAGE).map(|buffer| buffer.len()), Ok(5 * PAGE));
    assert_eq!(machine.dma().listed(0).err(), Some(DmaError::BadSize));
    assert_eq!(machine.dma().listed(LARGEST + 1).err(), Some(DmaError::BadSize));
    let buffer = machine.dma().buffer(2 * PAGE).expect("memory").lend(Direction::Both);
    assert!(buffer.is_contiguous() && buffer.page(1) == buffer.address().plus(PAGE as u64));
    drop(buffer.reclaim());
}

#[test]
fn shared_pages_are_everybodys_at_once() {
    let machine = SimMachine::new();
    let device = machine.add("idle", Idle);
    let pages = machine.dma().shared_pages(3).expect("memory");
    assert_eq!((pages.count(), pages.bytes()), (3, 3 * PAGE));
    pages.store(512, 0x1122_3344_5566_7788);
    let part = pages.part(1..3).expect("inside");
    assert_eq!(part.load(0), 0x1122_3344_5566_7788);
    assert_eq!((part.page(0), part.page(2)), (pages.page(1), None));
    assert!(pages.part(2..4).is_none() && pages.part(1..1).is_none());
    let loan = part.lend(Direction::FromDevice);
    let memory: Loan = Loan::Shared(loan);
    assert_eq!((memory.bytes(), memory.page(1), memory.page(7)), {
        let last = pages.page(2).expect("there");
        (2 * PAGE, last, last)
    });
    assert!(write(&device, memory.page(1), &5u64.to_le_bytes()));
    assert_eq!(pages.load(1024), 5, "seen while it is lent");
    pages.store(3 * 512, 9);
    assert_eq!((pages.load(3 * 512), pages.swap(1024, 6)), (0, 5), "nothing beyond the end");
    drop(pages);
    assert_eq!(machine.memory().rings, 3, "a loan keeps them");
    drop(memory.reclaim());
    assert_eq!(machine.memory(), MemoryReport::default());
}

#[test]
fn a_shared_loan_that_is_dropped_keeps_them_for_good() {
    let machine = SimMachine::new();
    let pages = machine.dma().shared_pages(2).expect("memory");
    drop(pages.clone().lend(Direction::FromDevice));
    drop(pages);
    assert_eq!(machine.memory().rings, 2);
    assert_eq!(machine.dma().shared_pages(0).err(), Some(DmaError::BadSize));
    machine.set_dma_available(PAGE);
    assert_eq!(machine.dma().shared_pages(2).err(), Some(DmaError::OutOfMemory));
    assert_eq!(machine.memory().rings, 2, "the one it had is free again");
}

proptest! {
    /// What a device writes through the pages is what the driver reads, whatever the size.
    #[test]
    fn pages_are_where_they_say(bytes in 1usize..40_000, seed: u8) {
        let machine = SimMachine::new();
        let device = machine.add("idle", Idle);
        for listed in [true, false] {
            let domain = machine.dma();
            let buffer = if listed { domain.listed(bytes) } else { domain.buffer(bytes) };
            let loan = buffer.expect("memory").lend(Direction::FromDevice);
            let content: Vec<u8> = (0..bytes).map(|at| (at as u8).wrapping_mul(seed)).collect();
            for (index, piece) in content.chunks(PAGE).enumerate() {
                prop_assert!(write(&device, loan.page(index), piece));
            }
            prop_assert_eq!(&loan.reclaim()[..], &content[..]);
        }
        prop_assert_eq!(machine.memory(), MemoryReport::default());
    }
}

proptest! {
    /// Across pages, in a part that begins anywhere, with nothing beyond its end.
    #[test]
    fn shared_bytes_are_copied(first in 0usize..3, at in 0usize..13_000, len in 0usize..13_000) {
        let machine = SimMachine::new();
        let pages = machine.dma().shared_pages(4).expect("memory");
        let part = pages.part(first..3).expect("inside");
        let bytes: Vec<u8> = (0..len).map(|at| at as u8 | 1).collect();
        part.write(at, &bytes);
        let there = part.bytes().saturating_sub(at).min(len);
        let mut back = vec![0xee; len];
        part.read(at, &mut back);
        prop_assert_eq!(&back[..there], &bytes[..there]);
        prop_assert!(back[there..].iter().all(|byte| *byte == 0));
        let mut all = vec![0; pages.bytes()];
        pages.read(0, &mut all);
        let begin = first * PAGE + at;
        let outside = |place: usize| place < begin || place >= begin + there;
        prop_assert!(all.iter().enumerate().all(|(place, byte)| *byte == 0 || !outside(place)));
    }
}
