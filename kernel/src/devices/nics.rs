//! Network devices: their drivers run on the network core, and what they announce becomes an
//! interface there.

use super::default_mode;
use super::drive::Driven;
use crate::platform::Pollux;
use crate::services::net;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Display;
use drivers::net::NetHandle;
use drivers::{e1000, rtl8139};
use executor::Priority;
use hal::dma::DmaDomain;
use hal::pci::Function;

static NICS: spin::Mutex<Vec<(Arc<str>, NetHandle)>> = spin::Mutex::new(Vec::new());

/// All network devices that are being served, and what each is called.
pub fn nics() -> Vec<(Arc<str>, NetHandle)> {
    NICS.lock().clone()
}

/// Drives one of Intel's.
pub async fn drive_e1000(driven: &Driven, function: &Function) {
    let interrupts = function.interrupts(&[net::core().0]);
    let name = driven.name.to_string();
    let dma = DmaDomain::machine();
    let mut parts = match e1000::attach(name, function, dma, interrupts, default_mode()) {
        Ok(parts) => parts,
        Err(error) => return log::error!("{}: {error}: not used", driven.name),
    };
    parts.stop = driven.stop.clone();
    let announced = driven.clone();
    let announce = move |nic| announce(&announced, NetHandle::E1000(nic));
    serve(driven, move || e1000::run::<Pollux>(parts, announce)).await;
}

/// Drives one of Realtek's.
pub async fn drive_rtl8139(driven: &Driven, function: &Function) {
    let interrupts = function.interrupts(&[net::core().0]);
    let name = driven.name.to_string();
    let dma = DmaDomain::machine();
    let mut parts = match rtl8139::attach(name, function, dma, interrupts, default_mode()) {
        Ok(parts) => parts,
        Err(error) => return log::error!("{}: {error}: not used", driven.name),
    };
    parts.stop = driven.stop.clone();
    let announced = driven.clone();
    let announce = move |nic| announce(&announced, NetHandle::Rtl8139(nic));
    serve(driven, move || rtl8139::run::<Pollux>(parts, announce)).await;
}

fn announce(driven: &Driven, handle: NetHandle) {
    log::info!("{}: {handle:?}", driven.name);
    NICS.lock().push((driven.name.clone(), handle.clone()));
    net::add(&driven.name, handle);
    driven.known.set(());
}

/// Runs a driver on the network core, to its end.
async fn serve<F, E>(driven: &Driven, run: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = Result<(), E>> + 'static,
    E: Display + Send + 'static,
{
    let running = executor::spawn_on::<Pollux, _, _>(net::core(), "driver", Priority::High, run);
    match running.await {
        Ok(Ok(())) => log::info!("{}: stopped", driven.name),
        Ok(Err(error)) => log::error!("{}: {error}", driven.name),
        // Nobody cancels it.
        Err(_) => {}
    }
    NICS.lock().retain(|(name, _)| *name != driven.name);
    net::remove(&driven.name);
}
