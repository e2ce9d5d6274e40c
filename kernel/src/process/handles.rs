//! A process's capability table: slots with generations, read without a lock.
//!
//! A slot is two words: what the capability is (generation, kind, rights) and the object. Reading
//! takes two loads and one comparison, so it can stand on the IPC path. Changes go under the
//! table's lock; a slot that is emptied first loses its generation, so no new reader gets in, and
//! the object behind it is let go only after every core has passed a quiescent point
//! ([`super::reclaim`]), so no reader that got in before is left with a dangling pointer.
//! Generations begin again after 65,535 uses of a slot, else a client could wear out its server's
//! table; before that the slot rests until every core has passed by, so no reader sees the same
//! generation twice.

use super::object::{Capability, Kernel, Object};
use super::reclaim;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use protocols::abi::{Error, Handle, ObjectKind, Rights};

const CHUNK: usize = 64;
const CHUNKS: usize = 16;

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
    writer: spin::Mutex<Writer>,
}

/// What only writers need: the free slots, newest first, and how many are taken.
#[derive(Debug)]
struct Writer {
    free: alloc::vec::Vec<u16>,
    /// Slots whose generations begin again after that round of [`reclaim`].
    resting: alloc::vec::Vec<(u16, u64)>,
    used_chunks: usize,
    live: usize,
    /// The process has ended: nothing comes in any more, or it would stay for ever (its own
    /// process, say).
    closed: bool,
}

impl Writer {
    fn wake_rested(&mut self) {
        while let Some((index, round)) = self.resting.first().copied()
            && reclaim::is_past(round)
        {
            self.resting.remove(0);
            self.free.push(index);
        }
    }
}

const fn what(generation: u16, kind: u8, rights: u32) -> u64 {
    generation as u64 | (kind as u64) << 16 | (rights as u64) << 32
}

impl HandleTable {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS],
            writer: spin::Mutex::new(Writer {
                free: alloc::vec::Vec::new(),
                resting: alloc::vec::Vec::new(),
                used_chunks: 0,
                live: 0,
                closed: false,
            }),
        }
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
        // generation and of this kind: an `Arc<T>`. Whoever empties the slot hands the object to
        // `reclaim`, which waits for this core's next quiescent point.
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

    /// Puts a capability into a free slot. Full, or closed: it comes back.
    pub fn insert(&self, capability: Capability) -> Result<Handle, Capability> {
        let mut writer = self.writer.lock();
        if writer.closed {
            return Err(capability);
        }
        writer.wake_rested();
        let index = match writer.free.pop() {
            Some(index) => index,
            None => {
                if writer.used_chunks == CHUNKS {
                    return Err(capability);
                }
                let first = writer.used_chunks * CHUNK;
                let chunk: Box<Chunk> = Box::new(
                    [const {
                        Slot {
                            what: AtomicU64::new(1),
                            object: AtomicPtr::new(core::ptr::null_mut()),
                        }
                    }; CHUNK],
                );
                self.chunks[writer.used_chunks].store(Box::into_raw(chunk), Release);
                writer.used_chunks += 1;
                writer.free.extend((first + 1..first + CHUNK).rev().map(|index| index as u16));
                first as u16
            }
        };
        writer.live += 1;
        let rights = capability.rights();
        let (kind, object) = capability.into_raw();
        let slot = &self.chunk_slot(index);
        let generation = slot.what.load(Relaxed) as u16;
        slot.object.store(object, Release);
        slot.what.store(what(generation, kind as u8, rights.bits()), Release);
        Ok(Handle::new(index, generation))
    }

    fn chunk_slot(&self, index: u16) -> &Slot {
        let chunk = self.chunks[usize::from(index) / CHUNK].load(Acquire);
        // SAFETY: only called with indices that `insert` handed out, whose chunk is installed.
        unsafe { &(&*chunk)[usize::from(index) % CHUNK] }
    }

    /// Takes a capability out: the handle is dead from here on. `needed` rights must be there.
    pub fn remove(&self, handle: Handle, needed: Rights) -> Result<Capability, Error> {
        let mut writer = self.writer.lock();
        let (kind, rights) = self.inspect(handle)?;
        if !rights.contains(needed) {
            return Err(Error::NotPermitted);
        }
        Ok(self.clear(&mut writer, handle.index() as u16, kind, rights))
    }

    fn clear(
        &self,
        writer: &mut Writer,
        index: u16,
        kind: ObjectKind,
        rights: Rights,
    ) -> Capability {
        let slot = self.chunk_slot(index);
        // Generation zero is skipped: handle 0 is never valid.
        let next = (slot.what.load(Relaxed) as u16).wrapping_add(1).max(1);
        slot.what.store(what(next, 0, 0), Release);
        let object = slot.object.load(Relaxed);
        writer.live -= 1;
        if next != 1 {
            writer.free.push(index);
        } else {
            writer.resting.push((index, reclaim::ask_for_round()));
        }
        // SAFETY: kind and pointer are what `insert` took apart; the slot no longer names them.
        unsafe { Capability::from_raw(kind, object, rights) }
    }

    /// A second capability to the same object, with `rights` (a subset).
    pub fn duplicate(&self, handle: Handle, rights: Rights) -> Result<Capability, Error> {
        let _writer = self.writer.lock();
        let (kind, held) = self.inspect(handle)?;
        if !held.contains(rights | Rights::DUPLICATE) {
            return Err(Error::NotPermitted);
        }
        let object = self.chunk_slot(handle.index() as u16).object.load(Relaxed);
        // SAFETY: under the writer's lock the slot keeps its object alive.
        let object = unsafe { Object::clone_raw(kind, object) };
        Ok(Capability::new(object, rights))
    }

    /// The object behind `handle`, owned, for work that waits.
    pub fn object(&self, handle: Handle, needed: Rights) -> Result<Object, Error> {
        let _writer = self.writer.lock();
        let (kind, held) = self.inspect(handle)?;
        if !held.contains(needed) {
            return Err(Error::NotPermitted);
        }
        let object = self.chunk_slot(handle.index() as u16).object.load(Relaxed);
        // SAFETY: under the writer's lock the slot keeps its object alive.
        Ok(unsafe { Object::clone_raw(kind, object) })
    }

    /// Whether the process has ended.
    pub fn is_closed(&self) -> bool {
        self.writer.lock().closed
    }

    /// How many more it can take.
    pub fn room(&self) -> usize {
        let mut writer = self.writer.lock();
        if writer.closed {
            return 0;
        }
        writer.wake_rested();
        writer.free.len() + (CHUNKS - writer.used_chunks) * CHUNK
    }

    /// Takes everything out and closes the table, at the process's end.
    pub fn drain(&self) -> alloc::vec::Vec<Capability> {
        let mut writer = self.writer.lock();
        writer.closed = true;
        let slots = writer.used_chunks * CHUNK;
        let mut taken = alloc::vec::Vec::with_capacity(writer.live);
        for index in 0..slots as u16 {
            let found = self.chunk_slot(index).what.load(Relaxed);
            if let Some(kind) = ObjectKind::from_raw((found >> 16) as u8) {
                let rights = Rights::from_bits_truncate((found >> 32) as u32);
                taken.push(self.clear(&mut writer, index, kind, rights));
            }
        }
        taken
    }
}

impl Drop for HandleTable {
    fn drop(&mut self) {
        drop(self.drain());
        for chunk in &self.chunks {
            let chunk = chunk.load(Relaxed);
            if !chunk.is_null() {
                // SAFETY: installed by `insert` from a Box, and nobody can reach the table any
                // more.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
