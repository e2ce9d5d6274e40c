//! What a kernel holds that only does what effects say: handle tables, mapped pages, objects.

use std::collections::{BTreeMap, BTreeSet};

use protocols::abi::{ObjectKind, PAGE, Rights};
use protocols::axiom::{Commit, Effect, ObjectId, State, Why};

use crate::model::Model;

#[derive(Default)]
pub struct Mirror {
    /// By process and handle.
    table: BTreeMap<(u32, u32), (ObjectId, ObjectKind, Rights)>,
    pages: BTreeSet<(u32, u64)>,
    objects: BTreeSet<u64>,
}

impl Mirror {
    /// A commit that was carried out, with what followed from it.
    pub fn follow(&mut self, commit: &Commit, effects: &[Effect], state: &State) {
        match *commit {
            Commit::Booted { .. } => {
                *self = Self::default();
                self.objects.insert(0);
            }
            Commit::ProcessCreated { object, .. }
            | Commit::ThreadCreated { object, .. }
            | Commit::ObjectCreated { object, .. } => assert!(self.objects.insert(object.0)),
            Commit::ProcessExited { process, .. }
            | Commit::ProcessFaulted { process, .. }
            | Commit::ProcessKilled { process } => self.pages.retain(|page| page.0 != process),
            Commit::Unshared { process, address, pages } => {
                let first = address / PAGE as u64;
                self.pages
                    .retain(|page| page.0 != process || !(first..first + pages).contains(&page.1));
            }
            Commit::Shared { capability, address, pages, .. } => {
                let process = state.capability(capability).unwrap().process;
                let first = address / PAGE as u64;
                for number in first..first + pages {
                    assert!(self.pages.insert((process, number)));
                }
            }
            _ => {}
        }
        effects.iter().for_each(|effect| self.obey(commit, effect));
    }

    fn obey(&mut self, commit: &Commit, effect: &Effect) {
        match *effect {
            Effect::Filled { process, handle, object, kind, rights, .. } => {
                let before = self.table.insert((process, handle.0), (object, kind, rights));
                assert_eq!(before, None, "a slot is filled that is not empty");
            }
            Effect::Emptied { process, handle, object, rights, why, .. } => {
                let held = self.table.remove(&(process, handle.0));
                let held = held.expect("a slot is emptied that is empty");
                assert_eq!((held.0, held.2), (object, rights));
                assert_eq!(why, reason(commit));
            }
            Effect::Unmapped { process, address, pages, .. } => {
                let first = address / PAGE as u64;
                for number in first..first + pages {
                    assert!(self.pages.remove(&(process, number)), "it was not mapped");
                }
            }
            Effect::Gone { object, .. } => {
                assert!(self.objects.remove(&object.0), "it was gone already");
            }
        }
    }

    /// Whether the effects, and nothing else, led to what the model has.
    pub fn check(&self, model: &Model) {
        let table = self.table.iter().map(|(at, held)| (at.0, at.1, held.0.0, held.2.bits()));
        assert_eq!(table.collect::<Vec<_>>(), model.table());
        assert_eq!(self.pages.iter().copied().collect::<Vec<_>>(), model.pages());
        assert_eq!(self.objects.iter().copied().collect::<Vec<_>>(), model.objects());
    }
}

fn reason(commit: &Commit) -> Why {
    match commit {
        Commit::Granted { .. } => Why::Granted,
        Commit::Removed { .. } => Why::Removed,
        Commit::Revoked { .. } => Why::Revoked,
        Commit::ObjectDestroyed { .. } => Why::Destroyed,
        _ => Why::Ended,
    }
}
