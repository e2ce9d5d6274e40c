//! Two tasks hand a token to and fro on one thread: what a wake and a poll cost, here and
//! elsewhere.
//!
//! The same tasks run on Pollux' executor, tokio's `LocalSet`, async-executor's `LocalExecutor` and
//! futures' `LocalPool`, in the same run, twice: with a core-local primitive (cells) and with a
//! thread-safe one (`AtomicWaker`). `cargo bench -p executor [-- --quick] [-- --json FILE]`.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    future::{Future, poll_fn},
    ops::Deref,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use executor::{Priority, host::Host, spawn};
use futures::task::{AtomicWaker, LocalSpawnExt};

/// Where the token is, and who waits for it.
trait Baton: Default + 'static {
    const NAME: &'static str;
    /// How the two sides share it.
    type Pointer: Deref<Target = Self> + Clone + From<Self> + 'static;
    /// If it is `side`'s turn, makes it the other's and wakes it.
    fn pass(&self, side: usize) -> bool;
    /// Registers `side`'s waker.
    fn await_turn(&self, side: usize, cx: &Context<'_>);
    fn is_turn(&self, side: usize) -> bool;
}

#[derive(Default)]
struct Local {
    turn: Cell<usize>,
    waiting: [RefCell<Option<Waker>>; 2],
}

impl Baton for Local {
    const NAME: &'static str = "local";
    type Pointer = Rc<Self>;

    fn pass(&self, side: usize) -> bool {
        if !self.is_turn(side) {
            return false;
        }
        self.turn.set(1 - side);
        if let Some(waker) = &*self.waiting[1 - side].borrow() {
            waker.wake_by_ref();
        }
        true
    }

    fn await_turn(&self, side: usize, cx: &Context<'_>) {
        let mut waiting = self.waiting[side].borrow_mut();
        match &mut *waiting {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waiting => *waiting = Some(cx.waker().clone()),
        }
    }

    fn is_turn(&self, side: usize) -> bool {
        self.turn.get() == side
    }
}

#[derive(Default)]
struct Shared {
    turn: AtomicUsize,
    waiting: [AtomicWaker; 2],
}

impl Baton for Shared {
    const NAME: &'static str = "shared";
    type Pointer = Arc<Self>;

    fn pass(&self, side: usize) -> bool {
        if !self.is_turn(side) {
            return false;
        }
        self.turn.store(1 - side, Ordering::Release);
        self.waiting[1 - side].wake();
        true
    }

    fn await_turn(&self, side: usize, cx: &Context<'_>) {
        self.waiting[side].register(cx.waker());
    }

    fn is_turn(&self, side: usize) -> bool {
        self.turn.load(Ordering::Acquire) == side
    }
}

/// One side: passes the token on `rounds` times.
async fn player<B: Baton>(baton: B::Pointer, side: usize, rounds: usize) {
    for _ in 0..rounds {
        poll_fn(|cx| {
            if baton.pass(side) {
                return Poll::Ready(());
            }
            baton.await_turn(side, cx);
            if baton.pass(side) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What is run: the two sides.
type Pair<F> = (F, F);

fn pair<B: Baton>(rounds: usize) -> Pair<impl Future<Output = ()> + 'static> {
    let baton = B::Pointer::from(B::default());
    let side = |side| player::<B>(baton.clone(), side, rounds);
    (side(0), side(1))
}

fn pollux<F: Future<Output = ()> + 'static>((a, b): Pair<F>) {
    executor::host::block_on::<Host, _>(async {
        let a = spawn::<Host, _>("a", Priority::Normal, a);
        let b = spawn::<Host, _>("b", Priority::Normal, b);
        let _ = (a.await, b.await);
    });
}

fn tokio<F: Future<Output = ()> + 'static>((a, b): Pair<F>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let a = tokio::task::spawn_local(a);
        let b = tokio::task::spawn_local(b);
        let _ = (a.await, b.await);
    });
}

fn async_executor<F: Future<Output = ()> + 'static>((a, b): Pair<F>) {
    let executor = async_executor::LocalExecutor::new();
    let (a, b) = (executor.spawn(a), executor.spawn(b));
    futures::executor::block_on(executor.run(async {
        a.await;
        b.await;
    }));
}

fn local_pool<F: Future<Output = ()> + 'static>((a, b): Pair<F>) {
    let mut pool = futures::executor::LocalPool::new();
    pool.spawner().spawn_local(a).expect("a running pool");
    pool.spawner().spawn_local(b).expect("a running pool");
    pool.run();
}

type Contender<F> = (&'static str, fn(Pair<F>));

/// The contenders for the futures that `_make` makes.
fn contenders<F: Future<Output = ()> + 'static>(_make: impl Fn() -> Pair<F>) -> [Contender<F>; 4] {
    [
        ("pollux", pollux),
        ("tokio LocalSet", tokio),
        ("async-executor LocalExecutor", async_executor),
        ("futures LocalPool", local_pool),
    ]
}

struct Row {
    primitive: &'static str,
    name: &'static str,
    /// Nanoseconds per wake and poll, sorted.
    samples: Vec<f64>,
}

impl Row {
    fn median(&self) -> f64 {
        self.samples[self.samples.len() / 2]
    }
}

/// All contenders with one primitive, sample by sample in turn, so that they share the weather.
fn measure<B: Baton>(rounds: usize, samples: usize) -> Vec<Row> {
    let contenders = contenders(|| pair::<B>(rounds));
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|(name, _)| Row { primitive: B::NAME, name, samples: Vec::new() })
        .collect();
    for sample in 0..=samples {
        for (row, (_, run)) in rows.iter_mut().zip(&contenders) {
            let tasks = pair::<B>(rounds);
            let start = Instant::now();
            run(tasks);
            let ns = start.elapsed().as_nanos() as f64 / (2 * rounds) as f64;
            // The first is for warming up.
            if sample > 0 {
                row.samples.push(ns);
            }
        }
    }
    for row in &mut rows {
        row.samples.sort_by(f64::total_cmp);
    }
    rows
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let json = args.iter().position(|arg| arg == "--json").and_then(|at| args.get(at + 1));
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    let (rounds, samples) = if quick { (10_000, 5) } else { (20_000, 61) };

    let mut lines = String::new();
    println!("wake and poll, two tasks on one thread, ns");
    for rows in [measure::<Local>(rounds, samples), measure::<Shared>(rounds, samples)] {
        println!("\n{:<30} {:>8} {:>8} {:>8}", rows[0].primitive, "min", "median", "max");
        for row in &rows {
            let (min, max) = (row.samples[0], row.samples[row.samples.len() - 1]);
            println!("{:<30} {min:>8.1} {:>8.1} {max:>8.1}", row.name, row.median());
            let metric = row.name.split(' ').next().unwrap_or(row.name);
            let _ = writeln!(
                lines,
                "{{\"event\":\"metric\",\"name\":\"executor.wake_to_poll.{}.{metric}\",\"core\":null,\
                 \"peer\":null,\"unit\":\"ns\",\"mode\":\"host\",\"samples\":{},\"min\":{min:.1},\
                 \"median\":{:.1},\"p99\":{max:.1},\"max\":{max:.1}}}",
                row.primitive,
                row.samples.len(),
                row.median(),
            );
        }
        // By the minimum: what else the machine does only ever adds.
        let best = rows[1..]
            .iter()
            .min_by(|a, b| a.samples[0].total_cmp(&b.samples[0]))
            .expect("there are peers");
        let ratio = rows[0].samples[0] / best.samples[0];
        println!("pollux takes {ratio:.2} of the best of the others ({})", best.name);
    }
    if let Some(path) = json {
        std::fs::write(path, lines).expect("the JSON file can be written");
        println!("\nwrote {path}");
    }
}
