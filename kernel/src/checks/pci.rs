//! PCI on the machine: functions are found, and interrupt the cores they were asked to.

use super::{Finding, cores};
use crate::clock::frequency;
use crate::devices;
use crate::platform::Pollux;
use alloc::vec::Vec;
use executor::Instant;
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, Register};
use hal::pci::{self, Function, InterruptKind, Interrupts};
use hal::x86_64::interrupt;
use hal::x86_64::time::clock::now;

checks! { "pci", 30:
    ports_show_what_windows_show,
    messages_reach_every_core,
    masked_messages_are_kept,
    vectors_come_back,
}

/// Intel's 82574L, whose registers raise its own interrupts (data sheet 10.2.4).
const E1000E: (u16, u16) = (0x8086, 0x10d3);
const CAUSE: Register<u32> = Register::at(0xc0);
const RAISE: Register<u32> = Register::at(0xc8);
const ENABLE: Register<u32> = Register::at(0xd0);
const DISABLE: Register<u32> = Register::at(0xd8);
/// Which cause is which message: four bits each, the highest says that it counts.
const VECTORS: Register<u32> = Register::at(0xe4);
/// The causes of messages 0 to 3: two receive queues, two transmit queues.
const CAUSES: [u32; 4] = [1 << 20, 1 << 21, 1 << 22, 1 << 23];

struct Card {
    function: Function,
    registers: DeviceRegion,
}

impl Card {
    /// Taken from its driver. `None`: there is none, and the check passes unseen.
    async fn find() -> Result<Option<Self>, alloc::string::String> {
        devices::release(|one| (one.header().vendor, one.header().device) == E1000E).await;
        let functions = known();
        let Some(function) = pci::find(&functions, E1000E.0, E1000E.1).next().cloned() else {
            log::info!("no 82574L: its messages are not tried");
            return Ok(None);
        };
        let registers = function.map_bar(0, 1 << 17);
        let registers = registers.map_err(|error| alloc::format!("{function:?}: {error}"))?;
        let obeys = function.enable_bus_master();
        obeys.map_err(|error| alloc::format!("{function:?}: {error}"))?;
        registers.write(DISABLE, u32::MAX);
        registers.write(VECTORS, 0x000_ba98);
        registers.write(CAUSE, u32::MAX);
        registers.write(ENABLE, CAUSES.iter().sum());
        Ok(Some(Self { function, registers }))
    }

    /// Raises one message, once. It sends none twice within 128 us (10.2.4.8), so that is waited
    /// for; QEMU does not survive its messages being turned off meanwhile.
    async fn raise(&self, message: usize) {
        self.settle().await;
        self.registers.write(CAUSE, u32::MAX);
        self.registers.write(ENABLE, CAUSES[message]);
        self.registers.write(RAISE, CAUSES[message]);
    }

    async fn settle(&self) {
        executor::sleep::<Pollux>(frequency() / 2_000).await;
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.registers.write(DISABLE, u32::MAX);
        self.registers.write(CAUSE, u32::MAX);
        let _ = self.function.disable_bus_master();
    }
}

/// The functions that were found at boot. (A bus is mapped once: they are not looked for again.)
fn known() -> Vec<Function> {
    devices::functions().into_iter().map(|(function, _)| function).collect()
}

async fn arrived(interrupt: &mut Interrupt) -> Option<u32> {
    let deadline = Instant(now() + frequency() * 5);
    executor::timeout::<Pollux, _>(deadline, interrupt.wait()).await.ok().map(u32::from)
}

async fn ports_show_what_windows_show() -> Finding {
    let ids = |found: &Function| {
        let header = found.header();
        (found.address(), header.vendor, header.device, header.class, header.kind)
    };
    let windows: Vec<_> = known().iter().map(ids).collect();
    let ports: Vec<_> = pci::scan_machine(&[]).iter().map(ids).collect();
    ensure!(!windows.is_empty(), "nothing is there");
    ensure!(windows == ports, "windows: {windows:?}; ports: {ports:?}");
    Ok(())
}

async fn messages_reach_every_core() -> Finding {
    let Some(card) = Card::find().await? else { return Ok(()) };
    let wanted: Vec<u16> = cores().map(|core| core.0).cycle().take(4).collect();
    let before: Vec<u32> = wanted.iter().map(|core| interrupt::in_use(*core)).collect();
    let Interrupts { kind, mut vectors } = card.function.interrupts(&wanted);
    ensure!(kind == InterruptKind::MsiX && vectors.len() == 4, "{kind:?}, {}", vectors.len());
    for (core, before) in wanted.iter().zip(before) {
        ensure!(interrupt::in_use(*core) > before, "core {core} has no vector more");
    }
    vectors.iter_mut().for_each(Interrupt::unmask);
    for round in 0..20 {
        for message in 0..4 {
            card.raise(message).await;
            let count = arrived(&mut vectors[message]).await;
            ensure!(count == Some(1), "round {round}: message {message} arrived {count:?}");
            let others = vectors.iter_mut().position(|other| other.take().is_some());
            ensure!(others.is_none(), "message {message} arrived as {others:?} too");
        }
    }
    card.settle().await;
    Ok(())
}

async fn masked_messages_are_kept() -> Finding {
    let Some(card) = Card::find().await? else { return Ok(()) };
    let mut vectors = card.function.interrupts(&[0]).vectors;
    let Some(interrupt) = vectors.first_mut() else { return Err("no interrupt".into()) };
    for _ in 0..20 {
        card.raise(0).await;
        executor::sleep::<Pollux>(frequency() / 200).await;
        ensure!(interrupt.take().is_none(), "it was masked");
        interrupt.unmask();
        ensure!(arrived(interrupt).await == Some(1), "what came while masked is lost");
        interrupt.mask();
    }
    card.settle().await;
    Ok(())
}

async fn vectors_come_back() -> Finding {
    let Some(card) = Card::find().await? else { return Ok(()) };
    let before = interrupt::in_use(0);
    for _ in 0..200 {
        let mut interrupts = card.function.interrupts(&[0, 0]);
        ensure!(interrupts.vectors.len() == 2, "{} vectors", interrupts.vectors.len());
        interrupts.vectors[1].unmask();
        card.raise(1).await;
        card.settle().await;
    }
    ensure!(interrupt::in_use(0) == before, "{} vectors are lost", interrupt::in_use(0) - before);
    Ok(())
}
