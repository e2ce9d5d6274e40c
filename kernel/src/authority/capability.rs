//! Capabilities that the kernel itself holds, for its services; and what it gives to programs.

use super::aftermath::Aftermath;
use super::{AUTHORITY, Authority, KERNEL_TABLE};
use crate::process::object::Object;
use alloc::sync::Arc;
use alloc::vec::Vec;
use protocols::abi::{Error, Handle, Rights};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{CapabilityId, Cause, Commit};

/// A capability in the kernel's own table. Dropped, it is given up.
#[derive(Debug)]
pub struct Capability {
    /// Which one: its slot may have another by now, if it was revoked. `None`: it was given away.
    id: Option<CapabilityId>,
    handle: Handle,
    object: Object,
    rights: Rights,
}

impl Authority {
    /// What the kernel holds there.
    fn held(&self, handle: Handle) -> Result<Capability, Error> {
        let (id, held) = self.state.find(KERNEL, handle).ok_or(Error::BadHandle)?;
        let object = self.objects.get(&held.object).ok_or(Error::BadHandle)?.clone();
        Ok(Capability { id: Some(id), handle, object, rights: held.rights })
    }
}

impl Capability {
    /// Makes `object` one that capabilities can name, and the first of them. `detail` as in
    /// [`Commit::ObjectCreated`].
    pub fn create(object: Object, detail: u64) -> Result<Self, Error> {
        let handle = super::create(KERNEL, object, detail, Cause::Kernel)?;
        AUTHORITY.lock().held(handle)
    }

    /// Does what needs it to be there still.
    fn with<T>(&self, act: impl FnOnce(&mut Authority) -> Result<T, Error>) -> Result<T, Error> {
        let mut authority = AUTHORITY.lock();
        match authority.state.find(KERNEL, self.handle) {
            Some((id, _)) if Some(id) == self.id => act(&mut authority),
            _ => Err(Error::BadHandle),
        }
    }

    fn derive_for(&self, rights: Rights, process: u32, cause: Cause) -> Result<Handle, Error> {
        self.with(|authority| authority.derive((KERNEL, self.handle), rights, process, cause))
    }

    /// Another one, with `rights` (a subset).
    pub fn derive(&self, rights: Rights) -> Result<Self, Error> {
        self.with(|authority| {
            let from = (KERNEL, self.handle);
            let handle = authority.derive(from, rights, KERNEL, Cause::Kernel)?;
            authority.held(handle)
        })
    }

    /// Takes those that a process gives, each named once: all of them, or none of them moves. One
    /// that is revoked at that moment is lost with the others.
    pub fn take_all(from: u32, handles: &[Handle], cause: Cause) -> Result<Vec<Self>, Error> {
        let moved = super::grant_all(from, handles, KERNEL, cause)?;
        let authority = AUTHORITY.lock();
        let taken = moved[..handles.len()].iter().map(|&handle| authority.held(handle));
        let taken: Vec<Result<Self, Error>> = taken.collect();
        drop(authority);
        // On an error the others are given up here.
        taken.into_iter().collect()
    }

    /// Gives it to a process. On error it comes back.
    pub fn give(mut self, process: u32, cause: Cause) -> Result<Handle, (Self, Error)> {
        match self.with(|authority| authority.grant((KERNEL, self.handle), process, cause)) {
            Ok(handle) => {
                // No longer ours to give up.
                self.id = None;
                Ok(handle)
            }
            Err(error) => Err((self, error)),
        }
    }

    /// Its place in the kernel's own table.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// What it names, if it allows `needed`.
    pub fn object(&self, needed: Rights) -> Result<&Object, Error> {
        if self.rights.contains(needed) { Ok(&self.object) } else { Err(Error::NotPermitted) }
    }

    /// Whether it has not been revoked. Without the lock: at worst its slot has another capability
    /// to the same object by now, which somebody gave the kernel as well.
    pub fn is_live(&self) -> bool {
        let named = KERNEL_TABLE.object(self.handle, self.rights);
        named.is_ok_and(|named| named.as_ptr() == self.object.as_ptr())
    }

    /// Takes away all that was derived from it.
    pub fn revoke(&self) -> Result<Aftermath, Error> {
        self.with(|authority| authority.revoke(KERNEL, self.handle, Cause::Kernel))
    }

    /// Ends its object: nobody can name it any more.
    pub fn destroy(self) {
        let destroyed = self.with(|authority| {
            let mut after = Aftermath::default();
            let (_, held) = authority.state.find(KERNEL, self.handle).ok_or(Error::BadHandle)?;
            let destroyed = Commit::ObjectDestroyed { object: held.object };
            authority.commit(Cause::Kernel, destroyed, &mut after).map(|()| after)
        });
        if let Ok(after) = destroyed {
            after.detach();
        }
    }
}

impl Drop for Capability {
    fn drop(&mut self) {
        if let Some(capability) = self.id {
            // A revoked one is gone already.
            let removed = Commit::Removed { capability };
            let _ = self.with(|authority| authority.plain(Cause::Kernel, removed));
        }
    }
}

/// What a new process is to have.
#[derive(Debug)]
pub enum Gift {
    /// A capability of the kernel's.
    Whole(Capability),
    /// One derived from a capability of the kernel's.
    Derived(Arc<Capability>, Rights),
    /// One of another process's, which moves.
    Of(u32, Handle),
}

impl Gift {
    /// Gives it.
    pub fn give(self, process: u32, cause: Cause) -> Result<Handle, Error> {
        match self {
            Self::Whole(capability) => {
                capability.give(process, cause).map_err(|(_back, error)| error)
            }
            Self::Derived(from, rights) => from.derive_for(rights, process, cause),
            Self::Of(other, handle) => super::grant(other, handle, process, cause),
        }
    }
}
