//! Spawning, waking, joining, cancelling on the host's virtual clock.
#![cfg(all(feature = "host", not(loom)))]

use executor::{
    Priority,
    host::{Virtual, block_on},
    sleep, spawn, yield_now,
};

#[test]
fn a_task_runs_and_joins() {
    let sum = block_on::<Virtual, _>(async {
        let a = spawn::<Virtual, _>("a", Priority::Normal, async {
            yield_now().await;
            sleep::<Virtual>(1_000).await;
            20
        });
        let b = spawn::<Virtual, _>("b", Priority::High, async { 22 });
        a.await.unwrap() + b.await.unwrap()
    });
    assert_eq!(sum, 42);
}
