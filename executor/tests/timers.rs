//! The timer heap against a model that keeps everything in one sorted map.
#![cfg(not(loom))]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Wake, Waker},
};

use executor::{
    Instant,
    timer::{TimerKey, Timers},
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Set(u64),
    /// Cancels the n-th key ever given out, dead ones too.
    Cancel(usize),
    /// Fires what is due at this time.
    Fire(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..200_u64).prop_map(Op::Set),
        3 => (0..100_usize).prop_map(Op::Cancel),
        1 => (0..200_u64).prop_map(Op::Fire),
    ];
    prop::collection::vec(op, 0..200)
}

/// A waker that notes its number when woken.
struct Note(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

proptest! {
    #[test]
    fn timers_behave_like_the_model(ops in ops()) {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut timers = Timers::new();
        let mut keys: Vec<(TimerKey, u64)> = Vec::new();
        // Deadline and order of setting, to the number of the key.
        let mut model: BTreeMap<(u64, usize), ()> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Set(at) => {
                    let n = keys.len();
                    let waker = Waker::from(Arc::new(Note(n, woken.clone())));
                    keys.push((timers.set(Instant(at), waker), at));
                    model.insert((at, n), ());
                }
                Op::Cancel(n) => {
                    if let Some((key, at)) = keys.get(n) {
                        let there = model.remove(&(*at, n)).is_some();
                        prop_assert_eq!(timers.waker(*key).is_some(), there);
                        match timers.cancel(*key) {
                            Some(waker) => {
                                prop_assert!(there);
                                waker.wake();
                                prop_assert_eq!(woken.lock().unwrap().pop(), Some(n));
                            }
                            None => prop_assert!(!there),
                        }
                    }
                }
                Op::Fire(now) => {
                    while let Some(waker) = timers.pop_due(Instant(now)) {
                        waker.wake();
                    }
                    let later = model.split_off(&(now + 1, 0));
                    let due: Vec<_> = model.into_keys().map(|(_, n)| n).collect();
                    model = later;
                    prop_assert_eq!(std::mem::take(&mut *woken.lock().unwrap()), due);
                }
            }
            prop_assert_eq!(timers.next().map(|at| at.0), model.keys().next().map(|key| key.0));
            prop_assert_eq!(timers.len(), model.len());
            prop_assert_eq!(timers.is_empty(), model.is_empty());
        }
    }
}
