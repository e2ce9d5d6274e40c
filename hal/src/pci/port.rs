//! A port with a slot: what its registers say and are told. What to make of it is
//! `drivers::hotplug`'s.

use protocols::pci::HeaderKind;
use protocols::pci::express::{
    Express, LINK_ACTIVE, Offered, SlotCapabilities, SlotControl, SlotStatus, place,
};
use protocols::pci::id;

use super::Function;
use crate::mmio::Register;

/// A root or downstream port that a device can be plugged into.
#[derive(Clone, Debug)]
pub struct Port {
    bridge: Function,
    express: Express,
    slot: SlotCapabilities,
}

impl Function {
    /// The slot behind it, if it is a port that devices are plugged into and pulled out of.
    pub fn hot_plug_port(&self) -> Option<Port> {
        let capability = self.capability(id::EXPRESS)?;
        let express = Express::read(self.config(), capability);
        let slot = express.slot.filter(|slot| slot.contains(SlotCapabilities::HOT_PLUG))?;
        matches!(self.header().kind, HeaderKind::Bridge { .. }).then(|| {
            let bridge = self.clone();
            Port { bridge, express, slot }
        })
    }
}

impl Port {
    /// The bridge that leads to the slot.
    pub fn bridge(&self) -> &Function {
        &self.bridge
    }

    /// Whether `function` is on a bus behind it.
    pub fn leads_to(&self, function: &Function) -> bool {
        let (above, below) = (self.bridge.address(), function.address());
        let HeaderKind::Bridge { secondary, subordinate } = self.bridge.header().kind else {
            return false;
        };
        secondary != 0
            && above.segment == below.segment
            && (secondary..=subordinate).contains(&below.bus)
    }

    /// What the slot can do.
    pub fn slot(&self) -> SlotCapabilities {
        self.slot
    }

    /// What has happened at the slot, and how it is. `None`: the port itself is gone.
    pub fn status(&self) -> Option<SlotStatus> {
        let value = self.bridge.config().read(self.at(place::SLOT_STATUS));
        (value != u16::MAX).then(|| SlotStatus::from_bits_retain(value))
    }

    /// Forgets what has happened: these events.
    pub fn clear(&self, events: SlotStatus) {
        let events = (events & SlotStatus::EVENTS).bits();
        self.bridge.config().write(self.at(place::SLOT_STATUS), events);
    }

    /// What the slot was told.
    pub fn control(&self) -> SlotControl {
        SlotControl::from_bits_retain(self.bridge.config().read(self.at(place::SLOT_CONTROL)))
    }

    /// Tells the slot something. Unless it needs no waiting for, the next may be told once
    /// [`COMMAND_COMPLETED`](SlotStatus::COMMAND_COMPLETED) is seen.
    pub fn set_control(&self, control: SlotControl) {
        self.bridge.config().write(self.at(place::SLOT_CONTROL), control.bits());
    }

    /// Whether the link carries packets; `None`: the port does not say.
    pub fn link_is_active(&self) -> Option<bool> {
        if self.express.link_reports == Offered::No {
            return None;
        }
        let status = self.bridge.config().read(self.at(place::LINK_STATUS));
        Some(status != u16::MAX && status & LINK_ACTIVE != 0)
    }

    fn at(&self, place: u16) -> Register<u16> {
        Register::at(usize::from(self.express.offset + place))
    }
}
