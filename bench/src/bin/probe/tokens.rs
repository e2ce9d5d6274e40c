//! Two tasks on one executor of this process hand a token to and fro: what a wake and a poll cost.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use bench::abi::Error;
use bench::runtime::executor;

use crate::work::Work;

/// A flag that one task of this thread waits for and another sets: plain cells, so that nothing
/// but the executor is measured.
#[derive(Default)]
struct Token {
    here: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Token {
    fn hand_over(&self) {
        self.here.set(true);
        if let Some(waiter) = &*self.waiter.borrow() {
            waiter.wake_by_ref();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            if self.here.take() {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(context.waker())) {
                *waiter = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

#[derive(Default)]
struct Table {
    rounds: Cell<u64>,
    begin: Token,
    there: Token,
    back: Token,
    end: Token,
}

/// A round is two wakes and two polls.
pub fn wake_to_poll() -> Result<Work, Error> {
    let table = Rc::new(Table::default());
    let partner = table.clone();
    let answer = async move {
        loop {
            partner.there.wait().await;
            partner.back.hand_over();
        }
    };
    let driver = table.clone();
    let drive = async move {
        loop {
            driver.begin.wait().await;
            for _ in 0..driver.rounds.get() {
                driver.there.hand_over();
                driver.back.wait().await;
            }
            driver.end.hand_over();
        }
    };
    executor::spawn("answer", answer).detach();
    executor::spawn("drive", drive).detach();
    let run = move |rounds| {
        table.rounds.set(rounds);
        table.begin.hand_over();
        executor::block_on(table.end.wait());
        Ok(())
    };
    Ok(Work::new(run).counting(2))
}
