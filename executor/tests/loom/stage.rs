//! What the scenes are played with: a task and a core, put together as `raw/task.rs` does.

use core::ptr::NonNull;

use executor::raw::{
    inbox::{Inbox, Link, Node, Pushed},
    presence::{Presence, Published},
    state::{Found, Queue, Shared},
};
use loom::{
    cell::UnsafeCell,
    sync::{Arc, Notify, atomic::AtomicBool},
};

/// What `Header` has, as far as other cores matter.
pub struct Task {
    pub shared: Shared,
    pub link: Link<Task>,
    pub owner: UnsafeCell<Owner>,
    /// Written by the owner when it frees the task.
    pub freed: UnsafeCell<bool>,
    /// Present until taken by the handle or cleared by the owner.
    pub output: UnsafeCell<Option<u32>>,
    /// What wakers tell the task, one slot each.
    pub told: [AtomicBool; 2],
}

/// The owner's cells.
pub struct Owner {
    pub references: isize,
    pub done: bool,
    pub cancelled: bool,
    pub queued: bool,
}

// SAFETY: the link belongs to the inbox alone.
unsafe impl Node for Task {
    unsafe fn link<'a>(node: NonNull<Self>) -> &'a Link<Self> {
        // SAFETY: live for the whole scene.
        unsafe { &(*node.as_ptr()).link }
    }
}

#[derive(Clone, Copy)]
pub struct Ref(pub NonNull<Task>);

// SAFETY: the scenes are about just this.
unsafe impl Send for Ref {}

impl Ref {
    /// With the scheduler's reference in the owner's count and `shared` others.
    pub fn new(shared: usize) -> Self {
        let task = Task {
            shared: Shared::new(shared),
            link: Link::new(),
            owner: UnsafeCell::new(Owner {
                references: 1,
                done: false,
                cancelled: false,
                queued: false,
            }),
            freed: UnsafeCell::new(false),
            output: UnsafeCell::new(None),
            told: [AtomicBool::new(false), AtomicBool::new(false)],
        };
        Self(NonNull::from(Box::leak(Box::new(task))))
    }

    pub fn task<'a>(self) -> &'a Task {
        // SAFETY: really freed only by `end`, when the scene is over.
        let task = unsafe { self.0.as_ref() };
        // SAFETY: loom checks.
        task.freed.with(|freed| assert!(!unsafe { *freed }, "used after free"));
        task
    }

    pub fn owner<R>(self, f: impl FnOnce(&mut Owner) -> R) -> R {
        // SAFETY: loom checks.
        self.task().owner.with_mut(|owner| f(unsafe { &mut *owner }))
    }

    pub fn free(self) {
        self.task().freed.with_mut(|freed| {
            // SAFETY: loom checks.
            let freed = unsafe { &mut *freed };
            assert!(!*freed, "freed twice");
            *freed = true;
        });
    }

    /// After the scene: it must have been freed.
    pub fn end(self) {
        // SAFETY: all threads are joined.
        let task = unsafe { Box::from_raw(self.0.as_ptr()) };
        // SAFETY: as above.
        task.freed.with(|freed| assert!(unsafe { *freed }, "leaked"));
    }

    pub fn drop_output(self) -> Option<u32> {
        // SAFETY: loom checks.
        self.task().output.with_mut(|output| unsafe { (*output).take() })
    }
}

/// What `Core` has.
pub struct Core {
    pub inbox: Inbox<Task>,
    pub published: Published,
    pub kick: Notify,
}

impl Core {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inbox: Inbox::new(), published: Published::new(), kick: Notify::new() })
    }

    // Elsewhere.

    pub fn post(&self, task: Ref) {
        // SAFETY: the caller set INBOX.
        if unsafe { self.inbox.push(task.0) } == Pushed::First && self.published.needs_kick() {
            self.kick.notify();
        }
    }

    pub fn wake_away(&self, task: Ref) {
        if task.task().shared.wake() == Queue::Push {
            self.post(task);
        }
    }

    pub fn release_away(&self, task: Ref) {
        if task.task().shared.release() == Queue::Push {
            self.post(task);
        }
    }

    /// What dropping a join handle does.
    pub fn abandon_away(&self, task: Ref) -> Option<u32> {
        if task.task().shared.cancel() == Queue::Push {
            self.post(task);
        }
        let output = task.task().shared.handle_gone().then(|| task.drop_output());
        self.release_away(task);
        output.flatten()
    }

    // On the owner.

    pub fn finish(&self, task: Ref, output: Option<u32>) -> Option<u32> {
        // SAFETY: loom checks.
        task.task().output.with_mut(|slot| unsafe { *slot = output });
        let dropped = task.task().shared.complete().then(|| task.drop_output());
        let references = task.owner(|owner| {
            owner.done = true;
            owner.references
        });
        if task.task().shared.merge(references - 1) {
            task.free();
        }
        dropped.flatten()
    }

    pub fn take_inbox(&self) {
        for node in self.inbox.take() {
            let task = Ref(node);
            match task.task().shared.taken() {
                Found::Dead => task.free(),
                found => task.owner(|owner| {
                    owner.queued |= !owner.done;
                    owner.cancelled |= found == Found::Cancelled;
                }),
            }
        }
    }

    pub fn park(&self) {
        if self.published.leave(Presence::Sleeping, || !self.inbox.is_empty()) {
            self.kick.wait();
        }
        self.published.back();
    }
}

/// Explores a scene. Three threads that also park have too many interleavings to see all; those
/// with up to three preemptions (a thread interrupted where it could have gone on) hold the known
/// bugs of such protocols.
pub fn explore(preemptions: Option<usize>, scene: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(preemptions);
    model.check(scene);
}
