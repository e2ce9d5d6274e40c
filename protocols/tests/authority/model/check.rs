//! Whether a state is what the model says, in everything that can be asked of one.

use protocols::abi::{Handle, Rights};
use protocols::axiom::State;

use super::{Model, numbers};

impl Model {
    /// Objects that are there.
    pub fn objects(&self) -> Vec<u64> {
        (0..self.objects.len() as u64).filter(|id| self.object_is_there(*id)).collect()
    }

    /// Who holds what where, sorted: process, handle, object, rights.
    pub fn table(&self) -> Vec<(u32, u32, u64, u32)> {
        let each = self
            .held()
            .map(|(_, held)| (held.process, held.handle.0, held.object, held.rights.bits()));
        let mut all: Vec<_> = each.collect();
        all.sort_unstable();
        all
    }

    /// Mapped pages, sorted: process, number.
    pub fn pages(&self) -> Vec<(u32, u64)> {
        let mut all: Vec<_> = self.pages.iter().map(|page| (page.process, page.number)).collect();
        all.sort_unstable();
        all
    }

    /// Whether it is this state, in everything that can be asked of one.
    pub fn check(&self, state: &State) {
        assert_eq!((state.log(), state.epoch()), (self.log, self.epoch));
        if self.epoch == 0 {
            assert_eq!(state.processes().count(), 0);
            return;
        }
        assert_eq!(state.next_process() as usize, self.processes.len());
        assert_eq!(state.next_object().0 as usize, self.objects.len());
        assert_eq!(state.next_capability().0 as usize, self.capabilities.len());
        assert!(state.processes().map(|(id, _)| id).eq(self.living()));
        for (id, process) in state.processes() {
            let known = &self.processes[id as usize];
            assert_eq!(process.object.0, known.object);
            assert_eq!(process.parent, if id == 0 { 0 } else { self.parent(id) }, "of {id}");
            assert_eq!((process.budget, process.given), (known.budget, self.given(id)), "of {id}");
            let threads = (1..).zip(&known.threads).filter(|(_, thread)| thread.1);
            let threads = threads.map(|(number, thread)| (number, thread.0));
            assert!(process.threads.iter().map(|(a, b)| (*a, b.0)).eq(threads), "of {id}");
        }
        let objects: Vec<u64> = state.objects().map(|(id, _)| id.0).collect();
        assert_eq!(objects, self.objects());
        for (id, object) in state.objects() {
            let known = &self.objects[id.0 as usize];
            assert_eq!((object.kind, object.process), (known.kind, known.process));
            assert_eq!(object.detail, known.detail);
            assert_eq!(object.is_alive, self.object_lives(id.0));
        }
        assert!(state.capabilities().map(|(id, _)| id.0).eq(self.held().map(|(id, _)| id)));
        for (id, held) in state.capabilities() {
            let known = &self.capabilities[id.0 as usize];
            assert_eq!((held.object.0, held.rights), (known.object, known.rights));
            assert_eq!((held.process, held.handle), (known.process, known.handle));
            assert_eq!(held.parent.map(|id| id.0), self.origin(id.0));
            assert_eq!(state.find(held.process, held.handle).map(|found| found.0), Some(id));
            self.check_descent(id.0);
        }
        self.check_handles(state);
        let mut pages = self.pages.iter().collect::<Vec<_>>();
        pages.sort_unstable_by_key(|page| (page.process, page.number));
        let mut pages = pages.into_iter();
        for (process, address, mapping) in state.mappings() {
            for number in numbers(address, mapping.pages).unwrap() {
                let page = pages.next().expect("more is mapped than should be");
                assert_eq!((process, number), (page.process, page.number));
                assert_eq!((mapping.object.0, mapping.rights), (page.object, page.rights));
                let is_alive = self.capabilities[page.through as usize].is_alive;
                let through = if is_alive { Some(page.through) } else { self.origin(page.through) };
                assert_eq!(mapping.parent.map(|id| id.0), through);
            }
        }
        assert!(pages.next().is_none(), "less is mapped than should be");
    }

    /// Handles of other generations name nothing.
    fn check_handles(&self, state: &State) {
        for process in self.living() {
            let generations = &self.processes[process as usize].generations;
            for (index, generation) in generations.iter().enumerate() {
                for other in [generation.wrapping_sub(1), *generation, generation.wrapping_add(1)] {
                    let handle = Handle::new(index as u16, other);
                    let named = self
                        .held()
                        .find(|(_, held)| (held.process, held.handle) == (process, handle));
                    let found = state.find(process, handle).map(|(id, _)| id.0);
                    assert_eq!(found, named.map(|(id, _)| id));
                }
            }
        }
    }

    /// No more rights than any forebear, dead or alive, and to the same object.
    fn check_descent(&self, id: u64) {
        let held = &self.capabilities[id as usize];
        let mut from = held.from;
        while let Some(id) = from {
            let forebear = &self.capabilities[id as usize];
            assert!(forebear.rights.contains(held.rights | Rights::DUPLICATE));
            assert_eq!(forebear.object, held.object);
            from = forebear.from;
        }
    }
}
