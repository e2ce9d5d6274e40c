//! Which namespaces a controller has, when it is brought to work and whenever that may have
//! changed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use executor::Platform;
use protocols::nvme::{Command, Controller as Identity, Namespace as Identified, namespace_ids};

use super::namespace::Known;
use super::{Controller, Namespace, NvmeError};

/// Namespaces looked at.
const NAMESPACES_MOST: usize = 16;

impl Controller {
    /// The namespaces that can be used. What is to be said of others is in the log.
    pub(super) async fn namespaces<P: Platform>(
        self: &Arc<Self>,
        identity: &Identity,
    ) -> Result<Vec<Namespace<P>>, NvmeError> {
        let name = &self.name;
        let mut namespaces = Vec::new();
        for id in self.namespace_ids::<P>(identity).await? {
            match self.look_at::<P>(id).await {
                Ok(Ok(what)) => {
                    let (blocks, size) = (what.blocks, what.block_bytes);
                    log::info!("{name}: namespace {id}: {blocks} blocks of {size} bytes");
                    let is_there = Arc::new(AtomicBool::new(true));
                    self.known.lock().push(Known { id, what, is_there: is_there.clone() });
                    namespaces.push(Namespace::new(self.clone(), id, &what, identity, is_there));
                }
                Ok(Err(error)) => log::warn!("{name}: namespace {id} is not used: {error}"),
                Err(error @ NvmeError::Refused(_)) => {
                    log::warn!("{name}: namespace {id} is not used: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(namespaces)
    }

    async fn namespace_ids<P: Platform>(&self, identity: &Identity) -> Result<Vec<u32>, NvmeError> {
        let listed = self.identify::<P>("a list of namespaces", Command::identify_active()).await;
        match listed {
            Ok(list) => {
                let count = namespace_ids(&list).count();
                if count > NAMESPACES_MOST {
                    let name = &self.name;
                    log::warn!("{name}: {count} namespaces: {NAMESPACES_MOST} are used");
                }
                Ok(namespace_ids(&list).take(NAMESPACES_MOST).collect())
            }
            // Controllers of version 1.0 number them from 1 on.
            Err(NvmeError::Refused(_)) => {
                Ok((1..=identity.namespaces).take(NAMESPACES_MOST).collect())
            }
            Err(error) => Err(error),
        }
    }

    async fn look_at<P: Platform>(
        &self,
        id: u32,
    ) -> Result<Result<Identified, protocols::nvme::IdentifyError>, NvmeError> {
        let command = Command::identify_namespace(id);
        let page = self.identify::<P>("identify for a namespace", command).await?;
        Ok(Identified::new_checked(&page))
    }

    /// Looks whether the namespaces that were announced are still what they were; those that are
    /// not are gone from now on. A disk that was larger or smaller all along is another disk.
    pub(super) async fn look_again<P: Platform>(
        &self,
        identity: &Identity,
    ) -> Result<(), NvmeError> {
        let name = &self.name;
        let listed = self.namespace_ids::<P>(identity).await?;
        let known: Vec<Known> = self.known.lock().clone();
        for id in listed.iter().filter(|id| known.iter().all(|known| known.id != **id)) {
            log::info!("{name}: namespace {id} is new, and used from the next start on");
        }
        for Known { id, what, is_there } in known {
            let now = match self.look_at::<P>(id).await {
                Ok(now) => now.ok().filter(|_| listed.contains(&id)),
                Err(NvmeError::Refused(_)) => None,
                Err(error) => return Err(error),
            };
            match now {
                Some(now) if now == what => {}
                Some(now) if now.block_bytes == what.block_bytes && now.blocks > what.blocks => {
                    let (blocks, more) = (what.blocks, now.blocks);
                    log::info!(
                        "{name}: namespace {id} has grown from {blocks} to {more} blocks; those are used from the next start on"
                    );
                }
                _ => {
                    if is_there.swap(false, Ordering::Relaxed) {
                        log::error!("{name}: namespace {id} is no longer what it was: not used");
                    }
                }
            }
        }
        Ok(())
    }
}
