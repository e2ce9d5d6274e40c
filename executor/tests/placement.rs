//! Placement of new tasks. Alone in its process: it looks at all cores that are up.
#![cfg(not(loom))]

use std::{collections::BTreeMap, sync::Arc};

use executor::{
    Priority,
    host::{Host, block_on, start_cores},
    least_loaded, spawn_on,
    sync::Semaphore,
};

#[test]
fn a_burst_spreads_over_the_cores() {
    let cores = start_cores::<Host>(2);
    block_on::<Host, _>(async {
        let gate = Arc::new(Semaphore::new(0));
        let mut tasks = Vec::new();
        let mut hits = BTreeMap::new();
        for _ in 0..200 {
            let core = least_loaded::<Host>();
            *hits.entry(core).or_insert(0_u32) += 1;
            let gate = gate.clone();
            let task = || async move { drop(gate.acquire(1).await) };
            tasks.push(spawn_on::<Host, _, _>(core, "test", Priority::Normal, task));
        }
        // A task counts for more while it wants to run, and how long it does is the host's affair:
        // so not evenly, but nobody is left out.
        assert!(cores.iter().all(|core| hits.contains_key(core)), "{hits:?}");
        gate.release(1);
        for task in tasks {
            task.await.unwrap();
        }
    });
}
