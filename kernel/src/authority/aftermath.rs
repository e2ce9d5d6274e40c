//! What a commit leaves to be done outside of the lock: threads that wait through a capability that
//! was taken away are sent back, memory mapped through it is unmapped, and every core passes a
//! quiescent point. Only then is a revoke complete.

use crate::ipc::Endpoint;
use crate::platform::Pollux;
use crate::process::exit::Event;
use crate::process::object::Object;
use crate::process::{Process, reclaim};
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::Priority;
use protocols::abi::PAGE;
use protocols::axiom::ObjectId;

/// What is under way, by what it is about.
static UNFINISHED: spin::Mutex<Vec<(ObjectId, Arc<Event<()>>)>> = spin::Mutex::new(Vec::new());

/// What is left to be done.
#[derive(Debug, Default)]
#[must_use = "somebody may still be waiting through what was taken away"]
pub struct Aftermath {
    /// What it is about: capabilities are taken away from one object at a time.
    object: Option<ObjectId>,
    /// Threads may wait there.
    endpoint: Option<Arc<Endpoint>>,
    mapped: Vec<(Arc<Process>, u64, u64)>,
    is_anything_gone: bool,
}

impl Aftermath {
    /// Capabilities to this are taken away.
    pub(super) fn about(&mut self, id: ObjectId, object: &Object) {
        self.object = Some(id);
        if let Object::Endpoint(endpoint) = object {
            self.endpoint = Some(endpoint.clone());
        }
    }

    /// One was.
    pub(super) fn taken_away(&mut self, id: ObjectId, object: &Object) {
        self.is_anything_gone = true;
        self.about(id, object);
    }

    /// Memory is to be taken away.
    pub(super) fn unmap(&mut self, process: &Arc<Process>, address: u64, pages: u64) {
        self.is_anything_gone = true;
        let bytes = pages * PAGE as u64;
        process.space.claim(address, bytes);
        self.mapped.push((process.clone(), address, bytes));
    }

    /// Has it done, and waits until nobody can use any of it: what earlier ones took from the same
    /// object included. It is done even if nobody waits.
    pub async fn settle(self) {
        let of = self.object;
        let earlier: Vec<Arc<Event<()>>> = {
            let unfinished = UNFINISHED.lock();
            let same = unfinished.iter().filter(|(object, _)| Some(*object) == of);
            same.map(|(_, done)| done.clone()).collect()
        };
        self.start().wait().await;
        for done in earlier {
            done.wait().await;
        }
    }

    /// Has it done, for those who cannot wait.
    pub fn detach(self) {
        if self.is_anything_gone {
            self.start();
        }
    }

    fn start(self) -> Arc<Event<()>> {
        let done = Arc::new(Event::new());
        if let Some(object) = self.object {
            UNFINISHED.lock().push((object, done.clone()));
        }
        let finished = done.clone();
        let carry_out = async move {
            self.carry_out().await;
            UNFINISHED.lock().retain(|(_, other)| !Arc::ptr_eq(other, &finished));
            finished.set(());
        };
        executor::spawn::<Pollux, _>("revoke", Priority::High, carry_out).detach();
        done
    }

    async fn carry_out(self) {
        for (process, address, bytes) in &self.mapped {
            process.space.take_claimed(*address, *bytes).await;
        }
        // Whoever read a table before has gone on, or waits in a queue by now.
        reclaim::quiesce().await;
        if let Some(endpoint) = self.endpoint {
            let home = endpoint.home;
            let sweep = move || async move { endpoint.sweep() };
            let _ = executor::spawn_on::<Pollux, _, _>(home, "sweep", Priority::High, sweep).await;
        }
    }
}
