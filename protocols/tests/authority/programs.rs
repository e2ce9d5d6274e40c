//! Random programs on the state, the model and the mirror at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use protocols::axiom::replay::Replay;
use protocols::axiom::{Cause, Commit, Effect, Hash, Record, State};

use crate::generator::{self, Style};
use crate::mirror::Mirror;
use crate::model::Model;
use crate::random::{Random, asked};

/// Steps of a program.
const STEPS: u64 = 4000;

/// One program as it runs.
struct Program {
    random: Random,
    style: Style,
    state: State,
    model: Model,
    mirror: Mirror,
    /// Records of what was carried out.
    records: Vec<Vec<u8>>,
    /// A checkpoint on the way: the state's encoding, and the number of its record.
    checkpoint: Option<(Vec<u8>, u64)>,
    effects: Vec<Effect>,
    /// What was tried last, and whether it could be.
    last: Vec<(Commit, bool)>,
}

impl Program {
    fn new(seed: u64, style: Style) -> Self {
        Self {
            random: Random::new(seed),
            style,
            state: State::new(),
            model: Model::default(),
            mirror: Mirror::default(),
            records: Vec::new(),
            checkpoint: None,
            effects: Vec::new(),
            last: Vec::new(),
        }
    }

    fn step(&mut self, looks: u64) {
        let commit = generator::commit(&mut self.random, &self.state, self.style);
        let is_looked_at = self.random.one_in(looks);
        let before = is_looked_at.then(|| (self.state.clone(), encoded(&self.state)));
        if self.last.len() == 8 {
            self.last.remove(0);
        }
        let can_be = self.model.apply(&commit);
        self.last.push((commit.clone(), can_be));
        let Self { state, effects, .. } = self;
        effects.clear();
        let result = state.apply(&commit, &mut |effect| effects.push(effect));
        assert_eq!(result.is_ok(), can_be, "the model says otherwise than {result:?}");
        if result.is_ok() {
            self.mirror.follow(&commit, &self.effects, &self.state);
            self.record(commit);
        } else {
            assert!(self.effects.is_empty(), "refused, and yet something follows");
            if let Some((state, bytes)) = &before {
                assert!(self.state == *state, "refused, and yet something changed");
                assert_eq!(encoded(&self.state), *bytes);
            }
        }
        if is_looked_at {
            self.look();
        }
    }

    fn record(&mut self, commit: Commit) {
        let sequence = self.records.len() as u64;
        if matches!(commit, Commit::Checkpoint { .. }) && self.random.one_in(4) {
            self.checkpoint = Some((encoded(&self.state), sequence));
        }
        let cause = match self.random.below(3) {
            0 => Cause::Kernel,
            core => Cause::Call { core: core as u16, sequence: self.random.next() },
        };
        let record = Record { sequence, time_us: self.random.next() >> 20, cause, commit };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.records.push(bytes);
    }

    fn look(&self) {
        self.model.check(&self.state);
        self.mirror.check(&self.model);
        assert_eq!(self.state.verify(), Ok(()));
        let bytes = encoded(&self.state);
        let decoded = State::decode(&bytes).expect("what was encoded is decoded");
        assert!(decoded == self.state, "another state is decoded");
        assert_eq!(encoded(&decoded), bytes);
        assert_eq!(Hash::of(&bytes), decoded.hash());
    }

    /// The log alone, from its beginning and from a checkpoint, leads to the same state.
    fn replay(&self) {
        let mut from = self.checkpoint.as_ref();
        let mut replays = vec![Replay::new()];
        let mut hash = Hash::default();
        for (sequence, bytes) in self.records.iter().enumerate() {
            let sequence = sequence as u64;
            if let Some((state, _)) = from.take_if(|(_, next)| *next == sequence) {
                let hash = replays[0].hash();
                replays.push(Replay::from_checkpoint(state, sequence, hash).unwrap());
            }
            for replay in &mut replays {
                let record = replay.push(bytes, &mut |_| ()).unwrap();
                assert_eq!(record.sequence, sequence);
            }
            hash = Hash::of(&[&hash.0[..], bytes].concat());
            assert_eq!(replays[0].hash(), hash, "after {sequence}");
        }
        assert!(replays.iter().all(|replay| *replay == replays[0]));
        assert_eq!(replays[0].next(), self.records.len() as u64);
        assert_eq!(replays[0].state().hash(), self.state.hash());
        assert!(*replays[0].state() == self.state);
    }
}

fn encoded(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// Runs programs of a style until `steps` are done. How many commits were carried out.
fn run(first_seed: u64, style: Style, steps: u64, looks: u64) -> u64 {
    let mut carried_out = 0;
    for number in 0..steps.div_ceil(STEPS) {
        let seed = first_seed.wrapping_mul(1_000_003).wrapping_add(number);
        let mut program = Program::new(seed, style);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| program.step(looks));
            program.look();
            program.replay();
        }));
        if outcome.is_err() {
            let (last, done) = (&program.last, program.records.len());
            panic!("program of seed {seed} ({style:?}) after {done} commits: {last:#?}");
        }
        carried_out += program.records.len() as u64;
    }
    carried_out
}

/// Of each so many steps, this many are of that style.
fn share(percent: u64) -> u64 {
    asked("AUTHORITY_STEPS", 2_000_000) * percent / 100
}

#[test]
fn small_programs_agree_with_the_model() {
    let style = Style { handles: 30, bent: 5, boots: 900 };
    let steps = share(60);
    let done = run(asked("AUTHORITY_SEED", 1), style, steps, 40);
    assert!(done > steps / 3, "only {done} of {steps} commits could be");
}

#[test]
fn large_programs_agree_with_the_model() {
    let style = Style { handles: 200, bent: 8, boots: 3000 };
    let steps = share(30);
    let done = run(asked("AUTHORITY_SEED", 1) ^ 0xa5, style, steps, 200);
    assert!(done > steps / 3, "only {done} of {steps} commits could be");
}

#[test]
fn every_step_of_some_programs_is_looked_at() {
    let style = Style { handles: 40, bent: 3, boots: 700 };
    run(asked("AUTHORITY_SEED", 1) ^ 0x5a, style, share(10), 1);
}
