//! What the program does with its device.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use bench::println;
use bench::runtime::executor::{Ring3, spawn};
use bench::runtime::{Env, device};
use drivers::completion::CompletionMode;
use drivers::edu::{self, Edu, OWN_BYTES};
use executor::sync::oneshot;
use executor::{Instant, Platform, timeout};
use hal::dma::{Direction, DmaBuf, leaked_bytes};
use hal::pci::InterruptKind;

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];
/// The most that QEMU 7.2 copies: asked for all that the device has, it gives up.
const MOST: usize = OWN_BYTES - 1;
const LENGTHS: [usize; 3] = [1, 1000, MOST];
/// Copies that are dropped in flight, and by how much later each.
const DROPPED: u64 = 6;

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Drives the device until all is tried.
pub async fn drive(mut env: Env) -> Result<(), String> {
    let lent = env.devices().next();
    let (name, tag) = lent.ok_or("no device: `run edu_driver --device edu` lends one")?;
    let handle = env.take(tag).ok_or("the device is not where its argument says")?;
    let function = device::open(handle).ok_or("that is no device")?;
    let registers = function.map_bar(0, edu::REGISTER_BYTES).map_err(text)?;
    let mut interrupts = device::interrupts(&function, 1).map_err(text)?;
    function.enable_bus_master().map_err(text)?;
    println!(
        "{name}: {function:?}, {} bytes of registers, interrupts: {:?}",
        registers.bytes(),
        interrupts.kind
    );

    let (sender, announced) = oneshot::channel();
    let (dma, interrupt) = (function.dma(), interrupts.vectors.pop());
    let driver = spawn("edu", async move {
        edu::run(registers, &dma, interrupt, MODES[0], |edu| drop(sender.send(edu))).await
    });
    let edu: Arc<Edu> = match announced.await {
        Ok(edu) => edu,
        Err(_) => return Err(driver.await.map_or_else(text, text)),
    };
    if env.has("leave") {
        return leave(&edu).await;
    }
    for mode in MODES {
        edu.control.set_mode(mode);
        let before = edu.control.interrupts();
        for length in LENGTHS {
            echo(&edu, length).await?;
        }
        let interrupted = edu.control.interrupts() - before;
        println!("{name}: {mode}: {} copies, {interrupted} interrupts", 2 * LENGTHS.len());
        if mode == CompletionMode::Msix
            && interrupts.kind != InterruptKind::None
            && interrupted == 0
        {
            return Err("no interrupt arrived".into());
        }
    }
    for number in 0..DROPPED {
        let limit = Ring3::now().after(Ring3::ticks_per_second() * number / 40);
        let copy = edu.copy::<Ring3>(buffer(&edu, 64, 0)?, Direction::FromDevice);
        drop(timeout::<Ring3, _>(limit, copy).await);
        echo(&edu, 64).await?;
    }
    println!("{name}: {DROPPED} copies dropped in flight, the next ones whole");
    match leaked_bytes() {
        0 => Ok(()),
        leaked => Err(format!("{leaked} bytes of DMA memory leaked")),
    }
}

/// A buffer of so many bytes, each another.
fn buffer(edu: &Edu, length: usize, seed: usize) -> Result<DmaBuf, String> {
    let mut buffer = edu.dma.buffer(length).map_err(text)?;
    buffer.iter_mut().zip(seed..).for_each(|(byte, number)| *byte = (number * 7) as u8);
    Ok(buffer)
}

/// Copies bytes there and back, and looks at them.
async fn echo(edu: &Edu, length: usize) -> Result<(), String> {
    let sent = buffer(edu, length, length)?;
    let expected = sent.to_vec();
    let mut buffer = edu.copy::<Ring3>(sent, Direction::ToDevice).await.map_err(text)?;
    buffer.fill(0xee);
    let buffer = edu.copy::<Ring3>(buffer, Direction::FromDevice).await.map_err(text)?;
    if *buffer == *expected { Ok(()) } else { Err(format!("of {length} bytes others came back")) }
}

/// Begins a copy into memory, and leaves while the device is at it.
async fn leave(edu: &Edu) -> Result<(), String> {
    let copy = edu.copy::<Ring3>(buffer(edu, MOST, 0)?, Direction::FromDevice);
    match timeout::<Ring3, _>(Instant(0), copy).await {
        Ok(_) => Err("the copy was done at once".into()),
        Err(_) => {
            println!("leaving while the device copies");
            bench::runtime::calls::process_exit(0)
        }
    }
}
