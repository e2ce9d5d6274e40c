//! A ring-3 program: prints a line a second, three times, from one task, while another counts what
//! it does meanwhile.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::cell::Cell;

use bench::println;
use bench::runtime::{Env, ExitCode, executor};

bench::main!(main);

async fn main(env: Env) -> ExitCode {
    println!("I am {:?} on a machine of {} cores", env.args(), env.cores);

    let turns = Rc::new(Cell::new(0u64));
    let counted = turns.clone();
    let counter = executor::spawn("counter", async move {
        loop {
            counted.set(counted.get() + 1);
            executor::sleep(10_000_000).await;
        }
    });

    for second in 1..=3 {
        executor::sleep(1_000_000_000).await;
        println!("{second} s, and the other task ran {} times", turns.get());
    }
    // Dropping its handle cancels a task.
    drop(counter);
    ExitCode::SUCCESS
}
