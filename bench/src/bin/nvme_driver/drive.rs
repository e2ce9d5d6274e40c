//! What the program does with its controller.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;

use bench::runtime::executor::{Ring3, spawn};
use bench::runtime::{Env, device};
use bench::{pattern, println};
use drivers::completion::CompletionMode;
use drivers::nvme::{self, Namespace};
use drivers::storage::{Lba, StorageDevice, Writable};
use executor::Platform;
use executor::sync::oneshot;
use hal::dma::{DmaDomain, leaked_bytes};

/// Reads in flight.
const DEPTH: usize = 8;
/// Blocks of a read.
const PIECE: u64 = 8;
/// The admin queue's interrupt, and the I/O queue's.
const INTERRUPTS: usize = 2;

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// What to read, and what it has to be.
#[derive(Clone, Copy)]
struct Asked {
    blocks: u64,
    seed: Option<u64>,
}

/// Drives the controller until all is read.
pub async fn drive(mut env: Env) -> Result<(), String> {
    let number = |key| env.value(key).and_then(|text| text.parse().ok());
    let asked = Asked { blocks: number("blocks").unwrap_or(256), seed: number("seed") };
    let lent = env.devices().next();
    let (name, tag) = lent.ok_or("no device: `run nvme_driver --device nvme1` lends one")?;
    let handle = env.take(tag).ok_or("the device is not where its argument says")?;
    let function = device::open(handle).ok_or("that is no device")?;
    for mode in [CompletionMode::Poll, CompletionMode::Msix] {
        serve(name, &function, mode, asked).await?;
    }
    match leaked_bytes() {
        0 => Ok(()),
        leaked => Err(format!("{leaked} bytes of DMA memory leaked")),
    }
}

/// Runs the driver from its start to its orderly end, with reads between.
async fn serve(
    name: &str,
    function: &device::Function,
    mode: CompletionMode,
    asked: Asked,
) -> Result<(), String> {
    let device::Interrupts { kind, vectors, bells } =
        device::interrupts(function, INTERRUPTS).map_err(text)?;
    let (had, dma) = (vectors.len(), function.dma());
    let cores: Vec<u16> = Ring3::current().iter().map(|core| core.0).collect();
    let parts =
        nvme::attach(name.into(), function, dma.clone(), Writable::No, vectors, &cores, mode);
    let parts = parts.map_err(text)?;
    let stop = parts.stop.clone();
    let (sender, announced) = oneshot::channel();
    let driver = spawn("nvme", nvme::run::<Ring3>(parts, |found| drop(sender.send(found))));
    let found: Vec<Namespace<Ring3>> = match announced.await {
        Ok(found) => found,
        Err(_) => return Err(driver.await.map_or_else(text, |ended| format!("{ended:?}"))),
    };
    let namespace = Rc::new(found.into_iter().next().ok_or("it has no namespace")?);
    let info = namespace.info();
    println!("{name}: {mode}, {kind:?} x {had}: {} blocks of {}", info.blocks, info.block_size);
    let asked = Asked { blocks: asked.blocks.min(info.blocks), ..asked };
    let read = read(&namespace, &dma, asked).await;
    drop(namespace);
    stop.notify();
    let ended = driver.await.map_err(text)?;
    drop(bells);
    println!("{name}: {mode}: {} blocks read", read?);
    ended.map_err(text)
}

/// Reads the blocks, several pieces at a time; how many were read.
async fn read(
    namespace: &Rc<Namespace<Ring3>>,
    dma: &DmaDomain,
    asked: Asked,
) -> Result<u64, String> {
    let next = Rc::new(Cell::new(0));
    let readers: Vec<_> = (0..DEPTH)
        .map(|_| {
            let (namespace, dma, next) = (namespace.clone(), dma.clone(), next.clone());
            spawn("reader", async move {
                let mut done = 0;
                while next.get() < asked.blocks {
                    let lba = next.replace(next.get() + PIECE);
                    let blocks = PIECE.min(asked.blocks - lba);
                    piece(&namespace, &dma, asked.seed, lba, blocks).await?;
                    done += blocks;
                }
                Ok::<u64, String>(done)
            })
        })
        .collect();
    let mut done = 0;
    for reader in readers {
        done += reader.await.map_err(text)??;
    }
    Ok(done)
}

async fn piece(
    namespace: &Namespace<Ring3>,
    dma: &DmaDomain,
    seed: Option<u64>,
    lba: u64,
    blocks: u64,
) -> Result<(), String> {
    let size = u64::from(namespace.info().block_size);
    let buffer = dma.buffer((blocks * size) as usize).map_err(text)?;
    let done = namespace.read(Lba(lba), buffer).await;
    done.result.map_err(|error| format!("block {lba}: {error}"))?;
    let bytes = done.buf.ok_or("the buffer did not come back")?;
    match seed.and_then(|seed| pattern::check(seed, lba * size, &bytes)) {
        None => Ok(()),
        Some(place) => Err(format!("other bytes than they should be at {place:#x}")),
    }
}
