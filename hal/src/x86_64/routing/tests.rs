//! Routing tables, links and resource templates on made-up boards.

use alloc::vec::Vec;
use std::string::String;

use proptest::prelude::*;
use protocols::pci::Address;
use protocols::pci::intx::Pin;

use super::resources::{Descriptor, Form, descriptors, template};
use super::*;

fn at(bus: u8, device: u8, function: u8) -> Address {
    Address { segment: 0, bus, device, function }
}

fn gsi(device: u8, pin: Pin, gsi: u32) -> Entry {
    Entry { device, pin, source: Source::Gsi(gsi) }
}

fn table(bus: u8, bridges: &[(u8, u8)], entries: &[Entry]) -> Table {
    Table { segment: 0, bus, bridges: bridges.to_vec(), entries: entries.to_vec() }
}

fn line(gsi: u32, trigger: Trigger, polarity: Polarity) -> Line {
    Line { gsi, trigger, polarity }
}

fn low(gsi: u32) -> Line {
    line(gsi, Trigger::Level, Polarity::Low)
}

/// A board with a link behind pin A of device 3.
fn linked(current: &[u32], possible: &[u32]) -> Routing {
    let descriptor = |lines: &[u32]| {
        let lines = lines.iter().map(|gsi| low(*gsi)).collect();
        std::vec![Descriptor { form: Form::Extended, lines }]
    };
    let link = Link {
        name: String::from("\\_SB.LNKA"),
        current: descriptor(current),
        possible: descriptor(possible),
    };
    let source = Source::Link { link: 0, index: 0 };
    let tables = std::vec![table(0, &[], &[Entry { device: 3, pin: Pin::A, source }])];
    Routing { tables, links: std::vec![link] }
}

#[test]
fn the_root_buss_table_names_the_line() {
    let entries = [gsi(3, Pin::A, 16), gsi(3, Pin::B, 17), gsi(4, Pin::A, 18)];
    let routing = Routing { tables: std::vec![table(0, &[], &entries)], links: Vec::new() };
    let find = |device, pin| routing.find(&Path::new(at(0, device, 2), pin, []));
    assert_eq!(find(3, Pin::B), Ok(Route::Line(low(17))));
    assert_eq!(find(4, Pin::A), Ok(Route::Line(low(18))));
    assert_eq!(find(4, Pin::B), Err(RouteError::NoEntry));
    assert_eq!(
        Routing::default().find(&Path::new(at(0, 3, 0), Pin::A, [])),
        Err(RouteError::NoEntry)
    );
}

#[test]
fn bridges_without_a_table_turn_the_pin() {
    let entries = [Pin::A, Pin::B, Pin::C, Pin::D].map(|pin| gsi(2, pin, 20 + pin as u32));
    let routing = Routing { tables: std::vec![table(0, &[], &entries)], links: Vec::new() };
    // Device 5 on bus 3, behind device 1 on bus 2, behind device 2 on the root bus.
    let path = Path::new(at(3, 5, 0), Pin::A, [at(2, 1, 0), at(0, 2, 0)]);
    let pins: Vec<Pin> = path.hops().iter().map(|hop| hop.pin).collect();
    assert_eq!(pins, [Pin::A, Pin::B, Pin::C]);
    assert_eq!(routing.find(&path), Ok(Route::Line(low(22))));
}

#[test]
fn a_bridges_own_table_comes_first() {
    let root = table(0, &[], &[gsi(2, Pin::B, 20), gsi(2, Pin::A, 21)]);
    let below = table(0, &[(2, 0)], &[gsi(1, Pin::A, 40)]);
    let other = table(0, &[(2, 1)], &[gsi(1, Pin::A, 50)]);
    let routing = Routing { tables: std::vec![root, other, below], links: Vec::new() };
    let find = |device| routing.find(&Path::new(at(4, device, 0), Pin::A, [at(0, 2, 0)]));
    assert_eq!(find(1), Ok(Route::Line(low(40))));
    assert_eq!(find(4), Ok(Route::Line(low(21))), "what it does not name goes on up");
    assert_eq!(find(5), Ok(Route::Line(low(20))));
}

#[test]
fn roots_are_told_apart_by_number_but_one_alone_may_be_wrong() {
    let alone =
        Routing { tables: std::vec![table(9, &[], &[gsi(1, Pin::A, 16)])], links: Vec::new() };
    let path = |bus| Path::new(at(bus, 1, 0), Pin::A, []);
    assert_eq!(alone.find(&path(0)), Ok(Route::Line(low(16))));
    let mut two = alone;
    two.tables.push(table(0x40, &[], &[gsi(1, Pin::A, 17)]));
    assert_eq!(two.find(&path(0x40)), Ok(Route::Line(low(17))));
    assert_eq!(two.find(&path(9)), Ok(Route::Line(low(16))));
    assert_eq!(two.find(&path(0)), Err(RouteError::NoEntry));
    two.tables[0].segment = 1;
    assert_eq!(two.find(&path(9)), Ok(Route::Line(low(17))), "the other is elsewhere");
}

#[test]
fn links_are_believed_or_told() {
    let path = Path::new(at(0, 3, 0), Pin::A, []);
    let set = linked(&[11], &[5, 10]);
    assert_eq!(set.find(&path), Ok(Route::Line(low(11))));
    for unset in [linked(&[], &[5, 10, 11, 16, 20]), linked(&[0], &[5, 10, 11, 16, 20])] {
        let chosen = Route::Choice { link: 0, line: low(16), form: Form::Extended };
        assert_eq!(unset.find(&path), Ok(chosen));
    }
    let none = [linked(&[], &[]), linked(&[0], &[]), linked(&[], &[0, 2, 8, 13])];
    assert!(none.iter().all(|routing| routing.find(&path) == Err(RouteError::BadLink)));
    let mut gone = linked(&[11], &[]);
    gone.links.clear();
    assert_eq!(gone.find(&path), Err(RouteError::BadLink));
}

#[test]
fn the_best_line_is_one_that_is_shared_already() {
    let path = Path::new(at(0, 3, 0), Pin::A, []);
    let mut routing = linked(&[], &[3, 5, 10]);
    let choice = |routing: &Routing| match routing.find(&path) {
        Ok(Route::Choice { line, .. }) => line.gsi,
        other => panic!("{other:?}"),
    };
    assert_eq!(choice(&routing), 10);
    routing.links.push(linked(&[5], &[]).links.remove(0));
    assert_eq!(choice(&routing), 5);
}

#[test]
fn i440fx_boards_turn_pins_from_slot_to_slot() {
    let entries = i440fx(&[7, 8, 9, 10]);
    assert_eq!(entries.len(), 127);
    let link = |device, pin| {
        let found = entries.iter().find(|entry| (entry.device, entry.pin) == (device, pin));
        found.map(|entry| entry.source)
    };
    assert_eq!(link(1, Pin::A), None);
    assert_eq!(link(2, Pin::A), Some(Source::Link { link: 8, index: 0 }));
    assert_eq!(link(3, Pin::A), Some(Source::Link { link: 9, index: 0 }));
    assert_eq!(link(5, Pin::D), Some(Source::Link { link: 10, index: 0 }));
    assert!(i440fx(&[]).is_empty());
}

#[test]
fn templates_are_read() {
    // As QEMU's links have it: extended, level, active high, shared.
    let qemu = b"\x89\x06\x00\x09\x01\x0a\x00\x00\x00\x79\x00";
    let high = line(10, Trigger::Level, Polarity::High);
    let expected = Descriptor { form: Form::Extended, lines: std::vec![high] };
    assert_eq!(descriptors(qemu), [expected]);
    // As older boards have it: a choice of 3, 4 and 5, level, active low; then one edge.
    let old = b"\x23\x38\x00\x18\x22\x40\x00\x79\x00\x22\x01\x00";
    let found = descriptors(old);
    assert_eq!(found[0].lines, [low(3), low(4), low(5)]);
    assert_eq!(found[1].lines, [line(6, Trigger::Edge, Polarity::High)]);
    assert_eq!((found.len(), found[0].form, found[1].form), (2, Form::Flagged, Form::Plain));
    // Ports before, and an interrupt that is cut short.
    assert_eq!(
        descriptors(b"\x47\x01\0\0\0\0\0\0\x89\x06\x00\x09\x02\x0a\x00\x00\x00")[0].lines.len(),
        1
    );
    assert!(descriptors(b"\x89\x06\x00\x09\x01\x0a").is_empty());
    assert!(descriptors(b"").is_empty() && descriptors(b"\x89").is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let found = descriptors(&bytes);
        let lines: usize = found.iter().map(|descriptor| descriptor.lines.len()).sum();
        prop_assert!(lines <= 8 * bytes.len());
    }

    #[test]
    fn what_is_told_is_what_is_read(number in 0u32..40, edge: bool, active_low: bool, extended: bool) {
        let form = if extended { Form::Extended } else { Form::Flagged };
        let trigger = if edge { Trigger::Edge } else { Trigger::Level };
        let polarity = if active_low { Polarity::Low } else { Polarity::High };
        let line = line(number, trigger, polarity);
        match template(form, &line) {
            Some(bytes) => prop_assert_eq!(
                descriptors(&bytes),
                std::vec![Descriptor { form, lines: std::vec![line] }]
            ),
            None => prop_assert!(!extended && number >= 16),
        }
    }

    /// Tables of any kind never lead astray: the answer is one of the lines that they name.
    #[test]
    fn no_table_leads_astray(
        entries in prop::collection::vec((0u8..4, 0u8..4, 16u32..24), 0..20),
        path in prop::collection::vec(0u8..4, 1..6),
    ) {
        let entry = |(device, pin, line)| Some(gsi(device, Pin::from_index(pin)?, line));
        let entries: Vec<Entry> = entries.into_iter().filter_map(entry).collect();
        let routing = Routing { tables: std::vec![table(0, &[], &entries)], links: Vec::new() };
        let mut hops = path.iter().enumerate().map(|(up, device)| at(5 - up as u8, *device, 0));
        let function = hops.next().unwrap();
        if let Ok(Route::Line(found)) = routing.find(&Path::new(function, Pin::A, hops)) {
            prop_assert!(entries.contains(&gsi(path[path.len() - 1], Path::new(
                function, Pin::A, path.iter().enumerate().skip(1).map(|(up, device)| at(5 - up as u8, *device, 0))
            ).hops().last().unwrap().pin, found.gsi)));
        }
    }
}
