//! What is done with capabilities: each operation finds what the handle names, chooses the slots,
//! and commits. The checks that matter are the state's.

use super::aftermath::Aftermath;
use super::{AUTHORITY, Authority};
use crate::process::object::Object;
use protocols::abi::message::CAPABILITIES_MAX;
use protocols::abi::{Error, Handle, Rights};
use protocols::axiom::{CapabilityId, Cause, Commit};

impl Authority {
    fn find(&self, process: u32, handle: Handle) -> Result<(CapabilityId, Rights), Error> {
        let (id, held) = self.state.find(process, handle).ok_or(Error::BadHandle)?;
        Ok((id, held.rights))
    }

    /// A commit after which nothing is left to be done.
    pub(super) fn plain(&mut self, cause: Cause, commit: Commit) -> Result<(), Error> {
        let mut after = Aftermath::default();
        let done = self.commit(cause, commit, &mut after);
        after.detach();
        done
    }

    pub(super) fn create(
        &mut self,
        process: u32,
        object: Object,
        detail: u64,
        cause: Cause,
    ) -> Result<Handle, Error> {
        let handle = self.vacant(process)?;
        let (id, kind) = (self.state.next_object(), object.kind());
        let capability = self.state.next_capability();
        self.objects.insert(id, object);
        let made = Commit::ObjectCreated { object: id, kind, detail, capability, process, handle };
        let made = self.plain(cause, made);
        if made.is_err() {
            self.objects.remove(&id);
        }
        made.map(|()| handle)
    }

    pub(super) fn derive(
        &mut self,
        of: (u32, Handle),
        rights: Rights,
        process: u32,
        cause: Cause,
    ) -> Result<Handle, Error> {
        let (from, _) = self.find(of.0, of.1)?;
        let handle = self.vacant(process)?;
        let capability = self.state.next_capability();
        self.plain(cause, Commit::Derived { capability, from, rights, process, handle })?;
        Ok(handle)
    }

    pub(super) fn grant(
        &mut self,
        from: (u32, Handle),
        process: u32,
        cause: Cause,
    ) -> Result<Handle, Error> {
        let (capability, rights) = self.find(from.0, from.1)?;
        if from.0 == process {
            // It is there already.
            let may_move = rights.contains(Rights::TRANSFER);
            return if may_move { Ok(from.1) } else { Err(Error::NotPermitted) };
        }
        let handle = self.vacant(process)?;
        self.plain(cause, Commit::Granted { capability, process, handle })?;
        Ok(handle)
    }

    pub(super) fn revoke(
        &mut self,
        process: u32,
        handle: Handle,
        cause: Cause,
    ) -> Result<Aftermath, Error> {
        let mut after = Aftermath::default();
        let (capability, held) = self.state.find(process, handle).ok_or(Error::BadHandle)?;
        let of = held.object;
        // Also if nothing is taken: who gave a capability up may still wait through it.
        self.objects.get(&of).into_iter().for_each(|object| after.about(of, object));
        self.commit(cause, Commit::Revoked { capability }, &mut after)?;
        Ok(after)
    }
}

/// A new object of a process's, with all rights. `detail` as in [`Commit::ObjectCreated`].
pub fn create(process: u32, object: Object, detail: u64, cause: Cause) -> Result<Handle, Error> {
    // Freed by us if it is refused, and not under the lock.
    let kept = object.clone();
    let made = AUTHORITY.lock().create(process, object, detail, cause);
    drop(kept);
    made
}

/// A second capability out of one of a process's own, with `rights` (a subset).
pub fn derive(process: u32, handle: Handle, rights: Rights, cause: Cause) -> Result<Handle, Error> {
    AUTHORITY.lock().derive((process, handle), rights, process, cause)
}

/// Moves a capability to another process.
pub fn grant(from: u32, handle: Handle, to: u32, cause: Cause) -> Result<Handle, Error> {
    AUTHORITY.lock().grant((from, handle), to, cause)
}

/// Moves capabilities to another process, each named once: all of them, or none.
pub fn grant_all(
    from: u32,
    handles: &[Handle],
    to: u32,
    cause: Cause,
) -> Result<[Handle; CAPABILITIES_MAX], Error> {
    let mut authority = AUTHORITY.lock();
    for (at, handle) in handles.iter().enumerate() {
        let (_, rights) = authority.find(from, *handle)?;
        if !rights.contains(Rights::TRANSFER) {
            return Err(Error::NotPermitted);
        }
        if handles[..at].contains(handle) {
            return Err(Error::InvalidArgument);
        }
    }
    let receiver = authority.state.process(to).ok_or(Error::PeerGone)?;
    if from != to && authority.state.room(receiver) < handles.len() {
        return Err(Error::LimitReached);
    }
    let mut moved = [Handle::NONE; CAPABILITIES_MAX];
    for (place, handle) in moved.iter_mut().zip(handles) {
        // Checked above; slots that rest may still be too many.
        match authority.grant((from, *handle), to, cause) {
            Ok(there) => *place = there,
            Err(error) => {
                let done = moved.iter().filter(|there| **there != Handle::NONE);
                for there in done {
                    let _ = authority.grant((to, *there), from, cause);
                }
                return Err(error);
            }
        }
    }
    Ok(moved)
}

/// Gives a capability up.
pub fn remove(process: u32, handle: Handle, cause: Cause) -> Result<(), Error> {
    let mut authority = AUTHORITY.lock();
    let (capability, _) = authority.find(process, handle)?;
    authority.plain(cause, Commit::Removed { capability })
}

/// Takes away all that was derived from a capability. Complete once the aftermath is settled.
pub fn revoke(process: u32, handle: Handle, cause: Cause) -> Result<Aftermath, Error> {
    AUTHORITY.lock().revoke(process, handle, cause)
}

/// A first capability to a living process, for that process or its parent.
pub fn hold_process(
    holder: u32,
    process: u32,
    rights: Rights,
    cause: Cause,
) -> Result<Handle, Error> {
    let mut authority = AUTHORITY.lock();
    let object = authority.state.process(process).ok_or(Error::PeerGone)?.object;
    let handle = authority.vacant(holder)?;
    let capability = authority.state.next_capability();
    let held = Commit::Inserted { capability, object, rights, process: holder, handle };
    authority.plain(cause, held)?;
    Ok(handle)
}

/// A first capability to a living thread, for its process.
pub fn hold_thread(process: u32, thread: u32, cause: Cause) -> Result<Handle, Error> {
    let mut authority = AUTHORITY.lock();
    let of = authority.state.process(process).ok_or(Error::PeerGone)?;
    let object = *of.threads.get(&thread).ok_or(Error::PeerGone)?;
    let handle = authority.vacant(process)?;
    let capability = authority.state.next_capability();
    let rights = Rights::all();
    authority.plain(cause, Commit::Inserted { capability, object, rights, process, handle })?;
    Ok(handle)
}

/// Pages of a memory object are mapped at `address`.
pub fn share(
    process: u32,
    handle: Handle,
    address: u64,
    pages: u64,
    rights: Rights,
    cause: Cause,
) -> Result<(), Error> {
    let mut authority = AUTHORITY.lock();
    let (capability, _) = authority.find(process, handle)?;
    authority.plain(cause, Commit::Shared { capability, address, pages, rights })
}

/// Whatever of memory objects was mapped there no longer is. Nothing was: nothing happens.
pub fn unshare(process: u32, address: u64, pages: u64, cause: Cause) {
    // Refused if nothing was, and if it is being taken away: then that is a commit of its own.
    let _ = AUTHORITY.lock().plain(cause, Commit::Unshared { process, address, pages });
}
