//! Slots that devices are plugged into and taken out of while the machine runs.

use super::drive;
use crate::platform::Pollux;
use alloc::format;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use drivers::hotplug::{self, Event};
use executor::Priority;
use hal::pci::Function;

static SLOTS: AtomicUsize = AtomicUsize::new(0);

/// Serves the slot behind `function`, if it is a port that has one.
pub fn serve(function: &Function) {
    let Some(port) = function.hot_plug_port() else { return };
    let name = format!("slot{}", SLOTS.fetch_add(1, Relaxed));
    let parts = match hotplug::attach(name.clone(), function, &[0]) {
        Ok(parts) => parts,
        Err(error) => return log::warn!("{name}: {function:?}: {error}"),
    };
    log::info!("{name}: {function:?}: devices may be plugged in here");
    let task = async move {
        let served = hotplug::run::<Pollux>(parts, async |event| match event {
            Event::Inserted(functions) => functions.into_iter().for_each(drive::add),
            Event::Removed | Event::Surprise => {
                drive::remove(|function| port.leads_to(function)).await;
            }
        });
        if let Err(error) = served.await {
            log::error!("{name}: {error}");
        }
    };
    executor::spawn::<Pollux, _>("slot", Priority::High, task).detach();
}
