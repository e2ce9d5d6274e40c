//! A PCI function lent to a program: the kernel's driver has let go of it, and the program drives it
//! by system calls (`gateway/device.rs`) through a capability to a [`Lent`].
//!
//! ```text
//!   registry ──lend──> open ──last capability gone, unplugged, power off──> closing ──> registry
//!                       │ registers mapped, interrupts wired, memory given      │
//!                       └───────────────────────────────────────────────────────┘
//!   closing: no call gets in ─> interrupts off ─> bus master off ─> reset, or rest
//!            ─> registers unmapped everywhere ─> its memory free
//! ```
//!
//! Memory that the function was told of stays until it cannot write there any more; a function that
//! cannot be cut off keeps it for good. Nothing confines it before that: there is no IOMMU yet, so a
//! function that does DMA reaches all memory, and so does who programs it. Lending one is trust.

mod wire;

use super::drive::{self, Driven};
use crate::authority::Capability;
use crate::clock;
use crate::platform::Pollux;
use crate::process::exit::Event;
use crate::process::memory::Charge;
use crate::process::object::Object;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use executor::Priority;
use executor::sync::{Notify, Semaphore};
use futures_util::future::select;
use hal::dma::SharedPages;
use hal::pci::{Function, InterruptKind, LentRegisters, ResetError};
use protocols::abi::device::PIECES_MAX;
use protocols::abi::{Error, Rights};
use protocols::pci::Address;
use thiserror_no_std::Error;
pub use wire::Bell;
use wire::Wire;

/// A function that cannot be reset is left alone so long, for what it was doing to come to nothing.
const REST: Duration = Duration::from_millis(250);

/// Why a function cannot be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LendError {
    /// There is none of that name.
    #[error("no such device: name it by its driver (`edu`) or its place (`00:1a.0`)")]
    Unknown,
    /// The kernel's table of capabilities is full.
    #[error("no capability to it can be made: {0}")]
    Refused(Error),
    /// It leads to others.
    #[error("a bridge is not lent")]
    Bridge,
    /// Somebody has it.
    #[error("it is lent already, or its driver does not let go of it")]
    Taken,
}

/// What capabilities to a lent function name. With the last one that a program has the loan ends.
#[derive(Debug)]
pub struct Lent {
    loan: Arc<Loan>,
    /// Capabilities, with the kernel's own.
    capabilities: AtomicUsize,
}

/// Registers are mapped somewhere, or may be, as long as one of these is there.
#[derive(Debug)]
struct Mark(Arc<Event<()>>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.set(());
    }
}

/// A function, and what a program has of it.
pub struct Loan {
    driven: Driven,
    function: Function,
    state: spin::Mutex<State>,
    /// One at a time changes what takes long.
    turn: Semaphore,
    over: Notify,
    /// Nobody has its registers mapped any more.
    unmapped: Arc<Event<()>>,
}

impl core::fmt::Debug for Loan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Loan({}: {:?})", self.driven.name, self.function)
    }
}

/// `None` in its place: the loan is over.
type State = Option<Open>;

struct Open {
    mark: Arc<Mark>,
    pieces: Vec<Piece>,
    wires: Option<(InterruptKind, Vec<Arc<Wire>>)>,
}

/// Memory that the function was told of.
struct Piece {
    pages: SharedPages,
    _charge: Charge,
}

/// Takes the function that `word` names from its driver: a capability for a program.
///
/// # Errors
/// There is none, or it cannot be had.
pub async fn lend(word: &str) -> Result<(Capability, Arc<Loan>), LendError> {
    let (driven, function) = drive::take(word).await?;
    log::info!("{}: {function:?}: lent to a program", driven.name);
    let unmapped = Arc::new(Event::new());
    let open = Open { mark: Arc::new(Mark(unmapped.clone())), pieces: Vec::new(), wires: None };
    let state = spin::Mutex::new(Some(open));
    let (turn, over) = (Semaphore::new(1), Notify::new());
    let loan = Arc::new(Loan { driven, function, state, turn, over, unmapped });
    let given = offer(&loan);
    let (root, given) = match given {
        Ok((root, given)) => (Some(root), Ok(given)),
        Err(error) => (None, Err(LendError::Refused(error))),
    };
    executor::spawn::<Pollux, _>("loan", Priority::High, keep(loan.clone(), root)).detach();
    given.map(|given| (given, loan))
}

/// The kernel's own capability to a function that is lent, and the one for the program.
fn offer(loan: &Arc<Loan>) -> Result<(Capability, Capability), Error> {
    let Address { segment, bus, device, function } = loan.function.address();
    // As PCI writes it: segment, bus, device, function.
    let place = u32::from(segment) << 16 | u32::from(bus) << 8;
    let place = place | u32::from(device) << 3 | u32::from(function);
    let lent = Lent { loan: loan.clone(), capabilities: AtomicUsize::new(0) };
    let root = Capability::create(Object::Device(Arc::new(lent)), u64::from(place))?;
    let rights = Rights::SEND | Rights::RECEIVE | Rights::DUPLICATE | Rights::TRANSFER;
    let given = root.derive(rights)?;
    Ok((root, given))
}

/// Waits for the loan's end and brings the function back.
async fn keep(loan: Arc<Loan>, root: Option<Capability>) {
    if root.is_some() {
        select(pin!(loan.over.wait()), pin!(loan.driven.stop.wait())).await;
    }
    loan.close(root).await;
    log::info!("{}: {:?}: back", loan.driven.name, loan.function);
    drive::give_back(&loan.driven, &loan.function);
}

async fn sleep(span: Duration) {
    let ticks = clock::frequency().saturating_mul(span.as_millis() as u64) / 1000;
    executor::sleep::<Pollux>(ticks).await;
}

impl Lent {
    /// The loan, for work that may outlive the capability.
    pub fn loan(&self) -> &Arc<Loan> {
        &self.loan
    }

    /// One more capability to it.
    pub fn capability_made(&self) {
        self.capabilities.fetch_add(1, Relaxed);
    }

    /// One fewer.
    pub fn capability_gone(&self) {
        // What is left is the kernel's own.
        if self.capabilities.fetch_sub(1, Relaxed) == 2 {
            self.loan.over.notify();
        }
    }
}

impl Loan {
    /// Waits until the function is back, if it comes soon: one that was passed on may stay away.
    pub async fn ended(&self) {
        drive::came_back(&self.driven).await;
    }

    /// Its function. Reading what it is does no harm, whoever has it.
    pub fn function(&self) -> &Function {
        &self.function
    }

    fn open<T>(&self, work: impl FnOnce(&mut Open) -> Result<T, Error>) -> Result<T, Error> {
        work(self.state.lock().as_mut().ok_or(Error::PeerGone)?)
    }

    /// Lets it reach memory.
    pub fn connect(&self) -> Result<(), Error> {
        self.open(|_| self.function.enable_bus_master().map_err(|_| Error::PeerGone))
    }

    /// Cuts it off from memory.
    pub fn cut_off(&self) -> Result<(), Error> {
        self.open(|_| self.function.disable_bus_master().map_err(|_| Error::PeerGone))
    }

    /// Its registers behind base address register `index`, to be mapped.
    pub fn registers(&self, index: u8) -> Result<LentRegisters, Error> {
        self.open(|open| {
            let lent = self.function.lend_bar(index, open.mark.clone());
            lent.map_err(|error| {
                log::warn!("{}: registers {index} cannot be lent: {error}", self.driven.name);
                Error::NotSupported
            })
        })
    }

    /// Its interrupts: as many of `count` as it has, arriving on `core`. The same ones each time.
    pub async fn interrupts(
        self: &Arc<Self>,
        count: usize,
        core: u16,
    ) -> Result<(usize, InterruptKind), Error> {
        let _turn = self.turn.acquire(1).await.map_err(|_| Error::PeerGone)?;
        let known =
            self.open(|open| Ok(open.wires.as_ref().map(|(kind, all)| (all.len(), *kind))))?;
        if let Some((had, kind)) = known {
            return Ok((had.min(count), kind));
        }
        let found = self.function.interrupts(&alloc::vec![core; count]);
        let begin = |interrupt| Wire::begin(interrupt, found.kind);
        let wires: Vec<_> = found.vectors.into_iter().map(begin).collect();
        let had = (wires.len(), found.kind);
        // `close` waits for its turn, so the loan is still open, or was closed before this.
        match self.state.lock().as_mut() {
            Some(open) => open.wires = Some((found.kind, wires)),
            None => wires.iter().for_each(|wire| wire.end()),
        }
        Ok(had)
    }

    /// Interrupt `index`.
    pub fn wire(&self, index: usize) -> Result<Arc<Wire>, Error> {
        self.open(|open| {
            let (_, wires) = open.wires.as_ref().ok_or(Error::InvalidArgument)?;
            wires.get(index).cloned().ok_or(Error::InvalidArgument)
        })
    }

    /// Keeps memory that the function will be told of.
    pub fn pin(&self, pages: SharedPages, charge: Charge) -> Result<(), Error> {
        self.open(|open| {
            if open.pieces.len() >= PIECES_MAX {
                return Err(Error::LimitReached);
            }
            open.pieces.push(Piece { pages, _charge: charge });
            Ok(())
        })
    }

    /// Keeps the memory that begins there no longer.
    pub fn unpin(&self, place: u64) -> Result<(), Error> {
        let found = self.open(|open| {
            let begins = |piece: &Piece| piece.pages.page(0).is_some_and(|page| page.0 == place);
            let at = open.pieces.iter().position(begins).ok_or(Error::InvalidArgument)?;
            Ok(open.pieces.swap_remove(at))
        })?;
        drop(found);
        Ok(())
    }

    /// Resets the function, even if whoever wants it is killed meanwhile.
    pub async fn reset(self: &Arc<Self>) -> Result<(), Error> {
        if !self.function.can_reset() {
            return Err(Error::NotSupported);
        }
        let (this, done) = (self.clone(), Arc::new(Event::new()));
        let told = done.clone();
        let work = async move {
            told.set(this.reset_in_turn().await);
        };
        executor::spawn::<Pollux, _>("reset", Priority::Normal, work).detach();
        done.wait().await
    }

    async fn reset_in_turn(&self) -> Result<(), Error> {
        let _turn = self.turn.acquire(1).await.map_err(|_| Error::PeerGone)?;
        self.cut_off()?;
        self.function.reset(sleep).await.map_err(|_| Error::PeerGone)
    }

    /// Ends the loan: see the module's picture.
    async fn close(&self, root: Option<Capability>) {
        // A reset under way comes to its end first.
        let _turn = self.turn.acquire(1).await;
        let Some(open) = self.state.lock().take() else { return };
        let Open { mark, pieces, wires } = open;
        let name = &self.driven.name;
        for wire in wires.into_iter().flat_map(|(_, wires)| wires) {
            wire.end();
        }
        let cut_off = self.function.disable_bus_master();
        match self.function.can_reset() {
            true => match self.function.reset(sleep).await {
                Ok(()) | Err(ResetError::NotOffered) => {}
                Err(error) => log::warn!("{name}: {error}"),
            },
            false => sleep(REST).await,
        }
        // Whoever still has a capability loses it, and what is mapped through any is unmapped.
        if let Some(root) = root {
            root.destroy();
        }
        drop(mark);
        self.unmapped.wait().await;
        if cut_off.is_err() && self.function.is_there() {
            let bytes: usize = pieces.iter().map(|piece| piece.pages.bytes()).sum();
            log::error!("{name}: not to be cut off from memory: {bytes} bytes are lost to it");
            pieces.into_iter().for_each(core::mem::forget);
        }
    }
}

/// What a person calls a function: its driver's name, with or without a number, or its place.
pub(super) fn is_called(word: &str, function: &Function, driver: Option<&str>) -> bool {
    let place = alloc::format!("{}", function.address());
    let by_name = driver.is_some_and(|name| {
        name == word || name.trim_end_matches(|letter: char| letter.is_ascii_digit()) == word
    });
    by_name || place == word || place.split_once(':').is_some_and(|(_, place)| place == word)
}
