//! A process's handle table: slots with generations, read without a lock.
//!
//! What a process holds is in the authority's state ([`crate::authority`]); the table is what
//! follows from it, for those who only look. A slot is two words: what the capability is
//! (generation, kind, rights) and the object. Reading takes two loads and one comparison, so it can
//! stand on the IPC path. Slots are written under the authority's lock, and only by effects of
//! commits. One that is emptied first loses its generation, so no new reader gets in, and the
//! object behind it is let go only after every core has passed a quiescent point
//! ([`super::reclaim`]), so no reader that got in before is left with a dangling pointer.

use super::object::{Kernel, Object};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use protocols::abi::{Error, Handle, ObjectKind, Rights};
use protocols::axiom::Effect;
use protocols::axiom::state::SLOTS_MAX;

const CHUNK: usize = 64;
const CHUNKS: usize = SLOTS_MAX / CHUNK;

#[derive(Debug)]
struct Slot {
    /// Rights in bits 32-63, kind in 16-23, generation in 0-15. Kind zero: free.
    what: AtomicU64,
    object: AtomicPtr<()>,
}

type Chunk = [Slot; CHUNK];

/// The table.
#[derive(Debug)]
pub struct HandleTable {
    chunks: [AtomicPtr<Chunk>; CHUNKS],
}

const fn what(generation: u16, kind: u8, rights: u32) -> u64 {
    generation as u64 | (kind as u64) << 16 | (rights as u64) << 32
}

impl HandleTable {
    /// An empty table.
    pub const fn new() -> Self {
        Self { chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS] }
    }

    #[inline(always)]
    fn slot(&self, handle: Handle) -> Option<&Slot> {
        let chunk = self.chunks.get(handle.index() / CHUNK)?.load(Acquire);
        // SAFETY: a chunk, once installed, lives as long as the table.
        unsafe { chunk.as_ref() }.map(|chunk| &chunk[handle.index() % CHUNK])
    }

    /// The object `handle` names, if it is a `T` and the capability carries `rights`.
    ///
    /// The reference is good until this core next passes a quiescent point: within a system call
    /// answered on the spot, and in a task up to its next `await`.
    #[inline(always)]
    pub fn get<T: Kernel>(&self, handle: Handle, rights: Rights) -> Result<&T, Error> {
        let Some(slot) = self.slot(handle) else { return Err(Error::BadHandle) };
        let found = slot.what.load(Acquire);
        let object = slot.object.load(Acquire);
        let wanted = what(handle.generation(), T::KIND as u8, rights.bits());
        // Generation and kind must be equal, the rights wanted must all be there.
        if (found ^ wanted) as u32 != 0 || (wanted & !found) >> 32 != 0 {
            return Err(Self::refusal(found, handle, T::KIND));
        }
        // A guessed handle may come true between the two loads; then the words differ now.
        if slot.what.load(Relaxed) != found {
            return Err(Error::BadHandle);
        }
        // SAFETY: `what` was the same before and after, so the object read in between is of this
        // generation and of this kind: within an `Arc<T>`. When the last capability to it goes the
        // authority hands it to `reclaim`, which waits for this core's next quiescent point.
        Ok(unsafe { &*object.cast::<T>() })
    }

    #[cold]
    fn refusal(found: u64, handle: Handle, kind: ObjectKind) -> Error {
        if found as u16 != handle.generation() || (found >> 16) as u8 == 0 {
            Error::BadHandle
        } else if (found >> 16) as u8 != kind as u8 {
            Error::WrongKind
        } else {
            Error::NotPermitted
        }
    }

    /// Kind and rights of `handle`.
    pub fn inspect(&self, handle: Handle) -> Result<(ObjectKind, Rights), Error> {
        let found = self.slot(handle).ok_or(Error::BadHandle)?.what.load(Acquire);
        if found as u16 != handle.generation() {
            return Err(Error::BadHandle);
        }
        let kind = ObjectKind::from_raw((found >> 16) as u8).ok_or(Error::BadHandle)?;
        Ok((kind, Rights::from_bits_truncate((found >> 32) as u32)))
    }

    /// The object behind `handle`, counted, for work that waits.
    pub fn object(&self, handle: Handle, needed: Rights) -> Result<Object, Error> {
        let slot = self.slot(handle).ok_or(Error::BadHandle)?;
        let found = slot.what.load(Acquire);
        let object = slot.object.load(Acquire);
        let (kind, held) = self.inspect(handle)?;
        if !held.contains(needed) {
            return Err(Error::NotPermitted);
        }
        if slot.what.load(Relaxed) != found {
            return Err(Error::BadHandle);
        }
        // SAFETY: as for `get`: the object is of this kind and alive, and it is counted before this
        // core's next quiescent point.
        Ok(unsafe { Object::clone_raw(kind, object) })
    }

    /// Writes what a commit's effect says of a slot of this process. Under the authority's lock.
    /// `object` is what the effect names; it stays until its last capability is gone.
    pub fn write(&self, effect: &Effect, object: &Object) {
        match *effect {
            Effect::Filled { handle, kind, rights, .. } => {
                let chunk = &self.chunks[handle.index() / CHUNK];
                if chunk.load(Relaxed).is_null() {
                    chunk.store(Box::into_raw(Box::new(empty_chunk())), Release);
                }
                let Some(slot) = self.slot(handle) else { return };
                slot.object.store(object.as_ptr(), Release);
                let generation = handle.generation();
                slot.what.store(what(generation, kind as u8, rights.bits()), Release);
            }
            Effect::Emptied { handle, .. } => {
                let Some(slot) = self.slot(handle) else { return };
                // No handle has generation zero: whatever comes next, nobody can name it before.
                slot.what.store(0, Release);
            }
            _ => {}
        }
    }
}

fn empty_chunk() -> Chunk {
    [const { Slot { what: AtomicU64::new(0), object: AtomicPtr::new(core::ptr::null_mut()) } };
        CHUNK]
}

impl Drop for HandleTable {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Relaxed);
            if !chunk.is_null() {
                // SAFETY: installed by `write` from a Box, and nobody can reach the table any more.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
