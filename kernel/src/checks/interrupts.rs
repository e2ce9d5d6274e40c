//! Interrupts: from core to core, by message as PCI devices do, and over the I/O APIC from a real
//! device.

use super::{Finding, cores};
use crate::clock::frequency;
use crate::platform::Pollux;
use executor::{Instant, Priority, spawn_on};
use hal::interrupt::Interrupt;
use hal::mmio::Register;
use hal::serial::{self, Port};
use hal::x86_64::time::clock::now;
use hal::x86_64::{exceptions, interrupt, ipi, probe};

checks! { "interrupts", 30:
    by_message_reach_every_core,
    raised_before_anybody_waits_are_kept,
    vectors_are_given_back,
    come_over_the_io_apic,
    kicks_are_harmless,
}

/// Waits for one, 5 s at most; how many came.
async fn arrived(interrupt: &mut Interrupt) -> Option<u32> {
    let deadline = Instant(now() + frequency() * 5);
    executor::timeout::<Pollux, _>(deadline, interrupt.wait()).await.ok().map(u32::from)
}

async fn by_message_reach_every_core() -> Finding {
    for core in cores() {
        let (mut interrupt, message) =
            interrupt::message_signalled(core.0).map_err(|error| alloc::format!("{error}"))?;
        interrupt.unmask();
        for round in 0..50 {
            // Raised from each core in turn.
            let from = cores().cycle().nth(round).unwrap_or(core);
            let raise = move || async move { probe::deliver(&message) };
            let raised = spawn_on::<Pollux, _, _>(from, "device", Priority::Normal, raise).await;
            ensure!(raised == Ok(true), "the message {message:x?} names no core or vector");
            let count = arrived(&mut interrupt).await;
            ensure!(count == Some(1), "{from} to {core}: one interrupt, {count:?} arrived");
        }
    }
    Ok(())
}

async fn raised_before_anybody_waits_are_kept() -> Finding {
    let (mut interrupt, message) =
        interrupt::message_signalled(0).map_err(|error| alloc::format!("{error}"))?;
    interrupt.unmask();
    ensure!(interrupt.take().is_none(), "a fresh interrupt was raised");
    probe::deliver(&message);
    executor::sleep::<Pollux>(frequency() / 100).await;
    ensure!(arrived(&mut interrupt).await.is_some(), "an early interrupt was lost");
    ensure!(interrupt.take().is_none(), "one interrupt was told twice");
    Ok(())
}

async fn vectors_are_given_back() -> Finding {
    let before = interrupt::in_use(0);
    for round in 0..1_000 {
        let found = interrupt::message_signalled(0);
        ensure!(found.is_ok(), "round {round}: {:?}", found.err());
    }
    ensure!(interrupt::in_use(0) == before, "{} vectors are lost", interrupt::in_use(0) - before);
    ensure!(interrupt::message_signalled(u16::MAX).is_err(), "a core that is not there was given");
    Ok(())
}

/// COM2's transmitter is empty: as soon as it may say so, it does, over its ISA line.
async fn come_over_the_io_apic() -> Finding {
    const INTERRUPT_ENABLE: Register<u8> = Register::at(1);
    const IDENTIFICATION: Register<u8> = Register::at(2);
    const MODEM_CONTROL: Register<u8> = Register::at(4);
    const TRANSMITTER_EMPTY: u8 = 1 << 1;
    const INTERRUPT_LINE: u8 = 1 << 3;
    if !serial::is_present(Port::Com2) {
        log::info!("no COM2: its interrupt is not tried");
        return Ok(());
    }
    let uart = Port::Com2.registers();
    let mut line = interrupt::isa(Port::Com2.irq()).map_err(|error| alloc::format!("{error}"))?;
    ensure!(interrupt::isa(Port::Com2.irq()).is_err(), "a line was given out twice");
    uart.modify(MODEM_CONTROL, |control| control | INTERRUPT_LINE);
    line.unmask();
    let mut found = Ok(());
    for round in 0..20 {
        uart.write(INTERRUPT_ENABLE, TRANSMITTER_EMPTY);
        let count = arrived(&mut line).await;
        // Reading the reason ends it; disabling lets the next enabling raise a new edge.
        let _reason = uart.read(IDENTIFICATION);
        uart.write(INTERRUPT_ENABLE, 0);
        if count.is_none() {
            found = Err(alloc::format!("round {round}: COM2's interrupt did not arrive"));
            break;
        }
    }
    // What came late must not count for the next user of the line.
    line.mask();
    found
}

async fn kicks_are_harmless() -> Finding {
    let unexpected = exceptions::unexpected_interrupts();
    for core in cores() {
        let kick = || async {
            for target in cores() {
                for _ in 0..100 {
                    ipi::kick(target.0);
                }
            }
        };
        let done = spawn_on::<Pollux, _, _>(core, "kicks", Priority::Normal, kick).await;
        ensure!(done.is_ok(), "{core} was lost");
    }
    ensure!(ipi::unsent() == 0, "{} interrupts between cores were not sent", ipi::unsent());
    let since = exceptions::unexpected_interrupts() - unexpected;
    ensure!(since == 0, "{since} interrupts came that nobody owns");
    Ok(())
}
