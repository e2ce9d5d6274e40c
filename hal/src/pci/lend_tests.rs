//! Lending registers on the simulated machine.

use core::any::Any;
use core::ops::Range;
use std::sync::Arc;
use std::vec::Vec;

use super::endpoint::{BAR, BAR_BYTES, Endpoint, machine};
use super::{LentRegisters, Touch};
use crate::dma::PAGE;

fn mark() -> Arc<dyn Any + Send + Sync> {
    Arc::new(())
}

fn touches(registers: &LentRegisters) -> Vec<(Range<usize>, Touch)> {
    let next = |last: &(Range<usize>, Touch)| registers.alike(last.0.end);
    core::iter::successors(registers.alike(0), next).collect()
}

#[test]
fn message_tables_are_for_reading_only() {
    // The model has its pending bits in the first page, its table in the third.
    let (_machine, _device, function) = machine(Endpoint::new().with_msix(5, 0));
    let lent = function.lend_bar(0, mark()).unwrap();
    assert_eq!(lent.count(), BAR_BYTES / PAGE);
    let expected =
        [(0..1, Touch::Read), (1..2, Touch::Write), (2..3, Touch::Read), (3..4, Touch::Write)];
    assert_eq!(touches(&lent), expected);
    let part = lent.part(1..3).unwrap();
    assert_eq!(touches(&part), [(0..1, Touch::Write), (1..2, Touch::Read)]);
    assert_eq!(part.physical(0), Some(BAR + PAGE as u64));
    assert_eq!(part.physical(2), None);
    assert_eq!(part.part(1..3).map(|part| part.count()), None);
}

#[test]
fn a_table_in_other_registers_guards_nothing_here() {
    let (_machine, _device, function) = machine(Endpoint::new().with_msi(0));
    let lent = function.lend_bar(0, mark()).unwrap();
    assert_eq!(touches(&lent), [(0..4, Touch::Write)]);
    assert!(function.lend_bar(2, mark()).is_err(), "there are none");
}

#[test]
fn the_mark_goes_with_the_last_part() {
    let (_machine, _device, function) = machine(Endpoint::new());
    let mark = mark();
    let lent = function.lend_bar(0, mark.clone()).unwrap();
    let (low, high) = (lent.part(0..1).unwrap(), lent.part(1..4).unwrap());
    let both = low.joined(&high).unwrap();
    assert_eq!((both.count(), high.joined(&low).is_none()), (4, true));
    drop((lent, low, both));
    assert_eq!(Arc::strong_count(&mark), 2);
    drop(high);
    assert_eq!(Arc::strong_count(&mark), 1);
}
