//! Interrupt lines of PCI functions: 82540EM network cards, which have no messages and whose
//! registers raise their own interrupts.

use super::Finding;
use crate::clock::frequency;
use crate::devices;
use crate::platform::Pollux;
use alloc::string::String;
use alloc::vec::Vec;
use executor::{Instant, Priority};
use hal::interrupt::Interrupt;
use hal::memory::heap;
use hal::mmio::{DeviceRegion, Register};
use hal::pci::{self, Function, InterruptKind};
use hal::x86_64::aml::trial::Misbehaviour;
use hal::x86_64::time::clock::now;

checks! { "lines", 60:
    reach_their_driver,
    are_shared,
    leave_out_who_polls,
    outlive_an_owner,
    carry_work_on_all_cores,
    survive_a_storm,
    survive_firmware,
}

/// Intel's 82540EM (software developer's manual 317453, 13.4.17 to 13.4.21).
const E1000: (u16, u16) = (0x8086, 0x100e);
/// Reading it takes all causes back, and with them the interrupt.
const CAUSE: Register<u32> = Register::at(0xc0);
const RAISE: Register<u32> = Register::at(0xc8);
const ENABLE: Register<u32> = Register::at(0xd0);
const DISABLE: Register<u32> = Register::at(0xd8);
/// The cause that is raised here: the link has changed.
const LINK: u32 = 1 << 2;

struct Card {
    function: Function,
    registers: DeviceRegion,
    interrupt: Interrupt,
}

impl Card {
    /// All that are there, taken from their drivers, each with its interrupt, masked.
    async fn all() -> Result<Vec<Self>, String> {
        devices::release(|one| (one.header().vendor, one.header().device) == E1000).await;
        let functions: Vec<Function> =
            devices::functions().into_iter().map(|(function, _)| function).collect();
        let mut cards = Vec::new();
        for function in pci::find(&functions, E1000.0, E1000.1) {
            cards.push(Self::open(function.clone(), Self::registers(function).await?)?);
        }
        if cards.is_empty() {
            log::info!("no 82540EM: interrupt lines are not tried");
        }
        Ok(cards)
    }

    /// Whoever used the driver may take a moment to notice that it has ended.
    async fn registers(function: &Function) -> Result<DeviceRegion, String> {
        let limit = now() + frequency() * 5;
        loop {
            match function.map_bar(0, 1 << 17) {
                Err(_) if now() < limit => executor::yield_now().await,
                mapped => {
                    return mapped.map_err(|error| alloc::format!("{function:?}: {error}"));
                }
            }
        }
    }

    fn open(function: Function, registers: DeviceRegion) -> Result<Self, String> {
        registers.write(DISABLE, u32::MAX);
        let _ = registers.read(CAUSE);
        let mut found = function.interrupts(&[0]);
        let interrupt = found.vectors.pop().filter(|_| found.kind == InterruptKind::Line);
        let interrupt = interrupt.ok_or_else(|| alloc::format!("{function:?}: no line"))?;
        registers.write(ENABLE, LINK);
        Ok(Self { function, registers, interrupt })
    }

    fn raise(&self) {
        self.registers.write(RAISE, LINK);
    }

    /// Whether it had raised an interrupt; it has not any more.
    fn silence(&self) -> bool {
        self.registers.read(CAUSE) & LINK != 0
    }

    async fn arrived(&mut self) -> Option<u32> {
        let deadline = Instant(now() + frequency() * 5);
        let came = executor::timeout::<Pollux, _>(deadline, self.interrupt.wait()).await;
        came.ok().map(u32::from)
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.registers.write(DISABLE, u32::MAX);
        let _ = self.registers.read(CAUSE);
        let _ = self.function.disable_bus_master();
    }
}

/// All look and wait again, for nothing: that opens their lines.
async fn wait_in_vain(cards: &mut [Card]) {
    for card in cards {
        let _ = card.interrupt.take();
        let short = Instant(now() + frequency() / 10_000);
        let _ = executor::timeout::<Pollux, _>(short, card.interrupt.wait()).await;
    }
}

async fn reach_their_driver() -> Finding {
    for mut card in Card::all().await? {
        card.interrupt.unmask();
        for round in 0..50 {
            ensure!(card.interrupt.take().is_none(), "round {round}: it came by itself");
            card.raise();
            let count = card.arrived().await;
            ensure!(count == Some(1), "round {round}: {count:?} of one interrupt arrived");
            ensure!(card.silence(), "round {round}: somebody else's interrupt");
        }
    }
    Ok(())
}

/// All raise, one after the other; whoever is woken for another's looks and waits again.
async fn are_shared() -> Finding {
    let mut cards = Card::all().await?;
    cards.iter_mut().for_each(|card| card.interrupt.unmask());
    for round in 0..50 {
        for raising in 0..cards.len() {
            cards[raising].raise();
            let came = cards[raising].arrived().await;
            ensure!(came.is_some(), "round {round}: card {raising}'s did not arrive");
            for (at, card) in cards.iter_mut().enumerate() {
                let mine = card.silence();
                ensure!(mine == (at == raising), "round {round}: card {at} raised it: {mine}");
            }
            wait_in_vain(&mut cards).await;
        }
    }
    Ok(())
}

/// A card that is polled asks for attention all the time: the others never notice.
async fn leave_out_who_polls() -> Finding {
    let mut cards = Card::all().await?;
    for polled in 0..cards.len() {
        cards.iter_mut().for_each(|card| card.interrupt.unmask());
        cards[polled].interrupt.mask();
        cards[polled].raise();
        for at in (0..cards.len()).filter(|at| *at != polled) {
            for round in 0..20 {
                cards[at].raise();
                let came = cards[at].arrived().await;
                ensure!(came.is_some(), "round {round}: card {at}'s did not arrive");
                ensure!(cards[at].silence(), "round {round}: woken for a card that is polled");
                wait_in_vain(&mut cards).await;
            }
        }
        let card = &mut cards[polled];
        ensure!(card.interrupt.take().is_none(), "it was masked");
        card.interrupt.unmask();
        ensure!(card.arrived().await.is_some(), "what it asked while masked is lost");
        ensure!(card.silence(), "it had not asked");
    }
    Ok(())
}

async fn outlive_an_owner() -> Finding {
    let mut cards = Card::all().await?;
    cards.iter_mut().for_each(|card| card.interrupt.unmask());
    while let Some(gone) = cards.pop() {
        // It goes while the line is closed, and it has not looked.
        gone.raise();
        executor::sleep::<Pollux>(frequency() / 1_000).await;
        drop(gone);
        wait_in_vain(&mut cards).await;
        for at in 0..cards.len() {
            cards[at].raise();
            ensure!(cards[at].arrived().await.is_some(), "card {at}'s did not arrive");
            ensure!(cards[at].silence(), "card {at} had not asked");
            wait_in_vain(&mut cards).await;
        }
    }
    Ok(())
}

/// Each card has a driver on a core of its own, and all are at work at once.
async fn carry_work_on_all_cores() -> Finding {
    const ROUNDS: u32 = 500;
    let mut at_work = Vec::new();
    for (mut card, core) in Card::all().await?.into_iter().zip(super::cores().cycle().skip(1)) {
        let driver = move || async move {
            card.interrupt.unmask();
            for round in 0..ROUNDS {
                card.raise();
                loop {
                    if card.arrived().await.is_none() {
                        return Err(round);
                    }
                    if card.silence() {
                        break card.interrupt.was_mine();
                    }
                }
            }
            Ok(())
        };
        at_work.push((
            core,
            executor::spawn_on::<Pollux, _, _>(core, "card", Priority::Normal, driver),
        ));
    }
    for (core, driver) in at_work {
        match driver.await {
            Ok(Ok(())) => {}
            Ok(Err(round)) => return Err(alloc::format!("{core}: round {round} did not arrive")),
            Err(lost) => return Err(alloc::format!("{core}: {lost}")),
        }
    }
    Ok(())
}

/// A card asks for attention and its driver does not see to it: the line is masked after a while,
/// its drivers are woken by the clock, and later it works again.
async fn survive_a_storm() -> Finding {
    let mut cards = Card::all().await?;
    let Some(card) = cards.first_mut() else { return Ok(()) };
    card.interrupt.unmask();
    card.raise();
    let (begin, mut times, mut slow) = (now(), 0u32, 0);
    // The clock's pace is a thousand times slower than the storm's.
    while slow < 10 {
        let last = now();
        let came = card.arrived().await;
        ensure!(came.is_some(), "no interrupt any more after {times}, not even by the clock");
        times += 1;
        slow = if now() - last > frequency() / 200 { slow + 1 } else { 0 };
        ensure!(now() - begin < frequency() * 50, "{times} interrupts, and still no end");
    }
    let ms = (now() - begin) * 1_000 / frequency();
    log::info!("the storm ended after {times} interrupts, {ms} ms");
    ensure!(card.silence(), "it had not asked");
    card.raise();
    ensure!(card.arrived().await.is_some() && card.silence(), "it cannot even be polled");
    Ok(())
}

/// Code that firmware might bring with it, in the place of the code that says where lines lead.
async fn survive_firmware() -> Finding {
    for misbehaviour in Misbehaviour::ALL {
        let (begin, heap) = (now(), heap::claimed_bytes());
        ensure!(misbehaviour.is_survived(), "{misbehaviour:?} was not noticed");
        let ms = (now() - begin) * 1_000 / frequency();
        let kib = (heap::claimed_bytes() - heap) >> 10;
        log::info!("firmware that {misbehaviour:?}: {ms} ms, {kib} KiB of heap lost");
        ensure!(kib < 100 << 10, "{misbehaviour:?} takes {kib} KiB");
        // What else runs here goes on.
        executor::sleep::<Pollux>(frequency() / 100).await;
    }
    Ok(())
}
