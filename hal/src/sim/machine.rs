//! The simulated machine itself, and the handle a test has on each device.

use std::boxed::Box;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::vec::Vec;

use super::arena::MemoryReport;
use super::device::{Bus, DeviceModel};
use super::faults::{FaultPlan, Faults};
use super::line::{Control, MaskedEdges};
use super::seam::{ClockSource, DmaSpace, Window};
use super::violation::Violation;
use super::wire::Wire;
use super::world::{Device, Event, World, lock};
use crate::clock::{Clock, Ticks};
use crate::dma::{AddressLimit, DmaDomain};
use crate::interrupt::Interrupt;
use crate::mmio::DeviceRegion;

/// What polling once costs a future that wakes itself: 100 ns.
const TURN: Ticks = Ticks(100);

/// A future that does not finish: it waits and nothing is going to happen, or its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// When it got stuck.
    pub at: Ticks,
}

/// A machine to run drivers on. Dropping it panics if there were violations nobody took.
pub struct SimMachine {
    world: Arc<World>,
}

impl Default for SimMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl SimMachine {
    /// A machine with no devices, at time 0.
    pub fn new() -> Self {
        Self { world: Arc::new(World::new(None)) }
    }

    /// A machine whose time is somebody else's: an executor's virtual clock. A task of that
    /// executor must [`serve`](Self::serve) it.
    pub fn following(time: fn() -> Ticks) -> Self {
        Self { world: Arc::new(World::new(Some(time))) }
    }

    /// Lets happen what is due, for ever. `sleep_until` is the executor's.
    ///
    /// ```text
    /// let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
    /// let served = machine.clone();
    /// spawn::<Virtual, _>("machine", Priority::High, async move {
    ///     served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
    /// }).detach();
    /// ```
    pub async fn serve<S: Future>(&self, mut sleep_until: impl FnMut(Ticks) -> S) -> ! {
        loop {
            self.world.advance_to(self.world.now());
            let mut sleep = pin!(self.world.next_event().map(&mut sleep_until));
            std::future::poll_fn(|context| {
                if self.world.scheduled.poll_take(context).is_ready() {
                    return Poll::Ready(());
                }
                match sleep.as_mut().as_pin_mut() {
                    Some(sleep) => sleep.poll(context).map(drop),
                    None => Poll::Pending,
                }
            })
            .await;
        }
    }

    /// Adds a device. The test keeps the model's handle to look inside it.
    pub fn add<M: DeviceModel + 'static>(&self, name: &'static str, model: M) -> SimDevice<M> {
        let model = Arc::new(Mutex::new(model));
        let device = Device::new(name, Box::new(Shared(model.clone())), Box::new(FaultPlan::new()));
        SimDevice { world: self.world.clone(), device: Arc::new(device), model }
    }

    /// A wire to join pins to.
    pub fn wire(&self) -> Wire {
        Wire::new()
    }

    /// The virtual clock; a tick is a nanosecond.
    pub fn clock(&self) -> Clock {
        Clock::new(ClockSource(self.world.clone()))
    }

    /// All of the machine's DMA memory.
    pub fn dma(&self) -> DmaDomain {
        DmaDomain::new(DmaSpace(self.world.clone()), AddressLimit::NONE)
    }

    /// Leaves only so many bytes of DMA memory to be had.
    pub fn set_dma_available(&self, bytes: usize) {
        lock(&self.world.arena).set_available(bytes);
    }

    /// How much DMA memory is in use, and by whom.
    pub fn memory(&self) -> MemoryReport {
        lock(&self.world.arena).report()
    }

    /// How many interrupt vectors are in use.
    pub fn vectors_in_use(&self) -> usize {
        lock(&self.world.vectors).in_use()
    }

    /// Moves time on, and lets happen on the way what is due.
    pub fn advance(&self, span: Ticks) {
        self.world.advance_to(self.world.now().plus(span));
    }

    /// Moves time to the next thing due and lets it happen. `false` if there is none.
    pub fn step(&self) -> bool {
        let Some(at) = self.world.next_event() else { return false };
        self.world.advance_to(at);
        true
    }

    /// Resolves at `deadline`. Time does not move by waiting, but [`run`](Self::run) moves it.
    pub async fn sleep_until(&self, deadline: Ticks) {
        std::future::poll_fn(|context| {
            if self.world.now() >= deadline {
                return Poll::Ready(());
            }
            self.world.schedule(deadline, Event::Wake(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Runs a future to its end. Time moves when it waits, to the next thing due, and a little
    /// whenever it asks to be polled again at once, so that polling gets somewhere.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        self.run_until(Ticks(u64::MAX), future)
    }

    /// As [`run`](Self::run), but gives up at `deadline`: for futures that might poll for ever.
    pub fn run_until<F: Future>(&self, deadline: Ticks, future: F) -> Result<F::Output, Stuck> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if woken.0.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Ok(output);
                }
                if woken.0.load(Ordering::Acquire) {
                    self.advance(TURN);
                }
            } else if !self.step() {
                return Err(Stuck { at: self.world.now() });
            }
            if self.world.now() > deadline {
                return Err(Stuck { at: self.world.now() });
            }
        }
    }

    /// What went wrong since the last time; a test that expects violations takes them.
    pub fn take_violations(&self) -> Vec<Violation> {
        self.world.take_violations()
    }
}

impl Drop for SimMachine {
    fn drop(&mut self) {
        self.world.forget_events();
        if let Some(complaint) = self.world.complaint() {
            assert!(thread::panicking(), "the simulated machine saw violations:{complaint}");
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// A model the machine and the test both hold.
struct Shared<M>(Arc<Mutex<M>>);

impl<M: DeviceModel> DeviceModel for Shared<M> {
    fn read(&mut self, bus: &mut Bus<'_>, offset: usize, width: crate::mmio::Width) -> u64 {
        lock(&self.0).read(bus, offset, width)
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: crate::mmio::Width, value: u64) {
        lock(&self.0).write(bus, offset, width, value);
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        lock(&self.0).event(bus, token);
    }

    fn address_limit(&self) -> AddressLimit {
        lock(&self.0).address_limit()
    }
}

/// A device in a simulated machine, as its test sees it.
pub struct SimDevice<M> {
    world: Arc<World>,
    device: Arc<Device>,
    model: Arc<Mutex<M>>,
}

impl<M: DeviceModel + 'static> SimDevice<M> {
    /// Its first `bytes` bytes of registers: what a driver is given.
    pub fn region(&self, bytes: usize) -> DeviceRegion {
        let window = Window { world: self.world.clone(), device: self.device.clone() };
        DeviceRegion::new(window, bytes)
    }

    /// Its interrupt `line`: what a driver is given. It begins masked; an edge that comes while it
    /// is masked stays pending, as with MSI-X.
    pub fn interrupt(&self, line: u32) -> Interrupt {
        self.interrupt_with(line, MaskedEdges::StayPending)
    }

    /// As [`interrupt`](Self::interrupt), but an edge that comes while it is masked is lost, as
    /// behind an I/O APIC: ISA devices.
    pub fn isa_interrupt(&self, line: u32) -> Interrupt {
        self.interrupt_with(line, MaskedEdges::AreLost)
    }

    fn interrupt_with(&self, line: u32, masked_edges: MaskedEdges) -> Interrupt {
        let line = self.device.line(line);
        line.set_masked_edges(masked_edges);
        Interrupt::new(line.latch.clone(), Box::new(Control(line)))
    }

    /// Joins the pin of its PCI function to a wire, which other devices may be on. `line` is the
    /// line that the device sets the level of; it is not to be had as one of its own any more.
    /// [`Function::interrupts`](crate::pci::Function::interrupts) finds the wire if the function has
    /// no messages, and says in its configuration space that it has a pin.
    pub fn join_pin(&self, line: u32, wire: &Wire) {
        self.device.join_pin(line, wire);
    }

    /// Looks at the model or changes it, as something outside the machine would: a key is pressed,
    /// a frame arrives.
    pub fn act<R>(&self, act: impl FnOnce(&mut M, &mut Bus<'_>) -> R) -> R {
        self.device.with_bus(&self.world, |bus| {
            let mut model = lock(&self.model);
            bus.limit = model.address_limit();
            act(&mut model, bus)
        })
    }

    /// Raises `line` by hand, past the faults set.
    pub fn raise(&self, line: u32) {
        self.device.raise(&self.world, line);
    }

    /// How many interrupts have reached the driver on `line`.
    pub fn delivered(&self, line: u32) -> u64 {
        self.device.line(line).delivered()
    }

    /// Whether the driver has `line` masked.
    pub fn is_masked(&self, line: u32) -> bool {
        self.device.line(line).is_masked()
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: impl Faults + 'static) {
        self.device.set_faults(Box::new(faults));
    }

    /// Takes the device out of the machine: reads give all ones, writes are lost, it does no DMA
    /// and raises nothing.
    pub fn unplug(&self) {
        self.device.unplug();
    }

    /// Puts it back, in the state it was in.
    pub fn plug_in(&self) {
        self.device.plug_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::Register;
    use crate::sim::Script;
    use std::panic;

    #[test]
    fn time_goes_by_events_in_order() {
        let machine = SimMachine::new();
        let clock = machine.clock();
        let slept = machine.run(async {
            machine.sleep_until(Ticks(30)).await;
            let first = clock.now();
            machine.sleep_until(Ticks(20)).await;
            machine.sleep_until(Ticks(31)).await;
            (first, clock.now())
        });
        assert_eq!(slept, Ok((Ticks(30), Ticks(31))));
        assert_eq!(machine.run(std::future::pending::<()>()), Err(Stuck { at: Ticks(31) }));
        assert!(!machine.step());
    }

    #[test]
    fn violations_nobody_took_fail_the_test() {
        let outcome = panic::catch_unwind(|| {
            let machine = SimMachine::new();
            machine.add("nobody", Script::new()).region(4).read(Register::<u32>::at(4))
        });
        let message = outcome.expect_err("the machine must object");
        let text = message.downcast_ref::<std::string::String>().expect("a formatted message");
        assert!(text.contains("nobody: stray Bits32 access at 0x4"), "{text}");
    }
}
