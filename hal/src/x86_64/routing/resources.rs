//! Interrupts in resource templates: what a link device says it is set to (`_CRS`), what it could
//! be set to (`_PRS`), and what it is told (`_SRS`).
//!
//! Reading cannot panic on any bytes; what is no interrupt is passed over. A template names at most
//! as many interrupts as it has bytes, so it bounds what is kept.
//!
//! Source: ACPI 6.5, 6.4.2.1 (IRQ), 6.4.3.6 (extended interrupt), 6.4.2.8 (end tag).

use alloc::vec::Vec;

use crate::x86_64::madt::{Line, Polarity, Trigger};

/// Small items: bits 6:3 of the tag are the kind, bits 2:0 the length.
const SMALL_IRQ: u8 = 0x4;
const SMALL_END: u8 = 0xf;
/// Large items: the whole tag; two bytes of length follow.
const LARGE_INTERRUPT: u8 = 0x89;
const END_TAG: [u8; 2] = [0x79, 0];

/// One descriptor: the interrupts it names, all wired alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// How it is written down.
    pub form: Form,
    /// What it names. In `_CRS`, one or none; in `_PRS`, the choice.
    pub lines: Vec<Line>,
}

/// How a descriptor is written down. A link that is told what to do has to be told in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A mask of the 16 ISA interrupts, wired as ISA's are.
    Plain,
    /// The same, with a byte that says how they are wired.
    Flagged,
    /// A list of 32-bit numbers, with a byte that says how they are wired.
    Extended,
}

/// The interrupt descriptors of a template. Reading ends at its end tag, or where it makes no sense
/// any more.
pub fn descriptors(mut template: &[u8]) -> Vec<Descriptor> {
    let mut found = Vec::new();
    while let Some((descriptor, rest)) = item(template) {
        found.extend(descriptor);
        template = rest;
    }
    found
}

/// The first item, if it is an interrupt's, and what follows it. `None`: nothing follows.
fn item(bytes: &[u8]) -> Option<(Option<Descriptor>, &[u8])> {
    let tag = *bytes.first()?;
    let (header, length) = match tag & 0x80 {
        0 => (1, usize::from(tag & 7)),
        _ => (3, usize::from(u16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?]))),
    };
    let body = bytes.get(header..header + length)?;
    let rest = &bytes[header + length..];
    match tag {
        LARGE_INTERRUPT => Some((extended(body), rest)),
        _ if tag & 0x80 != 0 => Some((None, rest)),
        _ if tag >> 3 == SMALL_END => None,
        _ if tag >> 3 == SMALL_IRQ => Some((isa(body), rest)),
        _ => Some((None, rest)),
    }
}

fn isa(body: &[u8]) -> Option<Descriptor> {
    let mask = u16::from_le_bytes([*body.first()?, *body.get(1)?]);
    let (form, trigger, polarity) = match body.get(2) {
        None => (Form::Plain, Trigger::Edge, Polarity::High),
        // Bit 0: edge. Bit 3: active low.
        Some(flags) => (Form::Flagged, trigger(flags & 1), polarity(flags >> 3 & 1)),
    };
    let line = |gsi| Line { gsi, trigger, polarity };
    let lines = (0..16).filter(|irq| mask >> irq & 1 != 0).map(line).collect();
    Some(Descriptor { form, lines })
}

fn extended(body: &[u8]) -> Option<Descriptor> {
    // Bit 1: edge. Bit 2: active low.
    let (flags, count) = (*body.first()?, usize::from(*body.get(1)?));
    let (trigger, polarity) = (trigger(flags >> 1 & 1), polarity(flags >> 2 & 1));
    let numbers = body[2..].as_chunks::<4>().0.iter().take(count);
    let line = |number: &[u8; 4]| Line { gsi: u32::from_le_bytes(*number), trigger, polarity };
    Some(Descriptor { form: Form::Extended, lines: numbers.map(line).collect() })
}

fn trigger(edge: u8) -> Trigger {
    if edge == 0 { Trigger::Level } else { Trigger::Edge }
}

fn polarity(low: u8) -> Polarity {
    if low == 0 { Polarity::High } else { Polarity::Low }
}

/// The template that sets a link to `line`, shared with others. `None`: that form has no way to say
/// it.
pub fn template(form: Form, line: &Line) -> Option<Vec<u8>> {
    let edge = u8::from(line.trigger == Trigger::Edge);
    let low = u8::from(line.polarity == Polarity::Low);
    let mut bytes = Vec::new();
    match form {
        Form::Plain | Form::Flagged => {
            let mask = 1u16.checked_shl(line.gsi).filter(|_| line.gsi < 16)?;
            bytes.push(SMALL_IRQ << 3 | if form == Form::Plain { 2 } else { 3 });
            bytes.extend(mask.to_le_bytes());
            // Bit 4: shared.
            bytes.extend((form == Form::Flagged).then_some(edge | low << 3 | 1 << 4));
        }
        Form::Extended => {
            // Bit 0: a consumer. Bit 3: shared.
            bytes.extend([LARGE_INTERRUPT, 6, 0, 1 | edge << 1 | low << 2 | 1 << 3, 1]);
            bytes.extend(line.gsi.to_le_bytes());
        }
    }
    bytes.extend(END_TAG);
    Some(bytes)
}
