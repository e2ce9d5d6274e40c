//! The inbox: an intrusive, lock-free list that anybody pushes to and one core empties.
//!
//! ```text
//!   push:  link := head;  CAS head: link -> node          any core, any interrupt handler
//!   take:  swap head -> null, then reverse the chain      the owner: oldest first
//! ```
//!
//! Nothing is ever popped singly, so a CAS cannot be fooled by a node that left and came back
//! (ABA): if `head` still equals the link just written, that link is right, whatever happened
//! between. A push that is interrupted half-way blocks nobody; the interrupting handler's own push
//! merely makes the interrupted CAS retry.
//!
//! Relies on the caller: a node is pushed by one party at a time and stays allocated until taken
//! (the INBOX bit of [`super::state`] sees to both).

use core::ptr::{self, NonNull};

use super::shim::{AtomicPtr, Ordering, UnsafeCell};

/// The link inside a node.
pub struct Link<N> {
    next: UnsafeCell<*mut N>,
}

impl<N> Link<N> {
    /// A link that is in no list.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self { next: UnsafeCell::new(ptr::null_mut()) }
    }

    /// A link that is in no list.
    #[cfg(loom)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { next: UnsafeCell::new(ptr::null_mut()) }
    }
}

/// A node of an [`Inbox`].
///
/// # Safety
///
/// `link` always returns the same link of the node, used by nothing but the inbox.
pub unsafe trait Node: Sized {
    /// The node's link.
    ///
    /// # Safety
    ///
    /// `node` points to a live node; the reference is not used after the node may have gone.
    unsafe fn link<'a>(node: NonNull<Self>) -> &'a Link<Self>;
}

/// What the list looked like to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The list was empty: this push has to see to it that the owner looks.
    First,
    /// Something was there already, and whoever put it there sees to that.
    Behind,
}

/// The list.
pub struct Inbox<N> {
    head: AtomicPtr<N>,
}

impl<N: Node> Inbox<N> {
    /// An empty inbox.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// An empty inbox.
    #[cfg(loom)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Whether nothing waits: one load.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Adds `node`.
    ///
    /// # Safety
    ///
    /// `node` is live, in no inbox, nobody else is pushing it, and it stays live until the owner
    /// has taken it. The caller must not touch it afterwards unless it holds a reference of its
    /// own.
    pub unsafe fn push(&self, node: NonNull<N>) -> Pushed {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is live and ours until the exchange below succeeds.
            unsafe { N::link(node).next.with_mut(|next| *next = head) };
            match self.head.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(old) if old.is_null() => return Pushed::First,
                Ok(_) => return Pushed::Behind,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything, oldest first. Only the owner calls this.
    pub fn take(&self) -> Taken<N> {
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while let Some(node) = NonNull::new(newest) {
            // SAFETY: a node in the list stays live until it is taken, and the swap made the whole
            // chain ours; Acquire shows us the links that the pushers wrote.
            unsafe {
                N::link(node).next.with_mut(|next| {
                    newest = *next;
                    *next = oldest;
                });
            }
            oldest = node.as_ptr();
        }
        Taken { next: oldest }
    }
}

/// The nodes taken by [`Inbox::take`]. A node may be pushed again once the iterator gave it out.
pub struct Taken<N> {
    next: *mut N,
}

impl<N: Node> Iterator for Taken<N> {
    type Item = NonNull<N>;

    fn next(&mut self) -> Option<NonNull<N>> {
        let node = NonNull::new(self.next)?;
        // SAFETY: not given out yet, so still live and in nobody else's hands.
        self.next = unsafe { N::link(node).next.with(|next| *next) };
        Some(node)
    }
}
