//! A 16550 for tests: sixteen bytes of FIFO, line errors, an edge-triggered interrupt.

use std::collections::VecDeque;

use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};

const DEPTH: usize = 16;

/// How a byte arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Good,
    FramingError,
}

#[derive(Default)]
pub(super) struct Uart {
    fifo: VecDeque<(u8, u8)>,
    enabled: u8,
    modem: u8,
    scratch: u8,
    overrun: bool,
    /// The level before; a rise is an edge.
    line: bool,
    /// Bytes that found the FIFO full.
    pub(super) lost: usize,
    /// Claims an interrupt that it does not have.
    pub(super) stuck: bool,
}

impl Uart {
    /// Something sends a byte.
    pub(super) fn arrive(&mut self, bus: &mut Bus<'_>, byte: u8, line: Line) {
        if self.fifo.len() == DEPTH {
            self.overrun = true;
            self.lost += 1;
        } else {
            self.fifo.push_back((byte, if line == Line::Good { 0 } else { 1 << 3 }));
        }
        self.update(bus);
    }

    pub(super) fn interrupts_enabled(&self) -> bool {
        self.enabled != 0
    }

    fn pending(&self) -> bool {
        self.stuck || (self.enabled & 1 != 0 && !self.fifo.is_empty())
    }

    fn update(&mut self, bus: &mut Bus<'_>) {
        let level = self.pending() && self.modem & 1 << 3 != 0;
        if level && !self.line {
            bus.raise(0);
        }
        self.line = level;
    }
}

impl DeviceModel for Uart {
    fn read(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        assert_eq!(width, Width::Bits8);
        let value = match offset {
            0 => self.fifo.pop_front().map_or(0, |(byte, _)| byte),
            1 => self.enabled,
            2 => 0xc0 | if self.pending() { 0x04 } else { 0x01 },
            4 => self.modem,
            5 => {
                let overrun = u8::from(std::mem::take(&mut self.overrun)) << 1;
                0x60 | overrun | self.fifo.front().map_or(0, |(_, errors)| 1 | errors)
            }
            7 => self.scratch,
            _ => 0,
        };
        self.update(bus);
        u64::from(value)
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        assert_eq!(width, Width::Bits8);
        match offset {
            1 => self.enabled = value as u8 & 0x0f,
            4 => self.modem = value as u8 & 0x1f,
            7 => self.scratch = value as u8,
            _ => {}
        }
        self.update(bus);
    }

    /// A byte arrives that was announced.
    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        self.arrive(bus, token as u8, Line::Good);
    }
}
