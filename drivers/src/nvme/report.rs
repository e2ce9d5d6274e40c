//! What can be asked of a controller: who it is, how it is, what went wrong, what its queues have
//! done, and how they are served.

use alloc::vec::Vec;

use executor::Platform;
use protocols::nvme::{
    Controller as Identity, ERROR_BYTES, ErrorEntry, HEALTH_BYTES, Health, LogPage, error_entries,
};

use super::{Controller, Namespace, NvmeError, QueueStatistics};
use crate::completion::CompletionMode;

/// Entries of the error log that are read.
const ERRORS_MOST: u16 = 64;

impl Controller {
    pub(super) async fn health<P: Platform>(&self) -> Result<Health, NvmeError> {
        let page = self.log_page::<P>("the health page", LogPage::Health, HEALTH_BYTES).await?;
        Ok(Health::new_checked(&page)?)
    }

    pub(super) async fn errors<P: Platform>(
        &self,
        identity: &Identity,
    ) -> Result<Vec<ErrorEntry>, NvmeError> {
        let entries = usize::from(identity.error_log_entries.min(ERRORS_MOST));
        let bytes = entries * ERROR_BYTES;
        let page = self.log_page::<P>("the error log", LogPage::Errors, bytes).await?;
        Ok(error_entries(&page).collect())
    }
}

/// What concerns the namespace's controller as a whole.
impl<P: Platform> Namespace<P> {
    /// What the controller says of itself: model, serial number, firmware, limits.
    pub fn identity(&self) -> Option<&Identity> {
        self.controller.identity.get()
    }

    /// Its health page, read anew.
    ///
    /// # Errors
    /// The controller refused, did not answer, was reset meanwhile, or is gone.
    pub async fn health(&self) -> Result<Health, NvmeError> {
        self.controller.health::<P>().await
    }

    /// The latest entries of its error log, the latest first.
    ///
    /// # Errors
    /// As [`health`](Self::health).
    pub async fn error_log(&self) -> Result<Vec<ErrorEntry>, NvmeError> {
        let identity = self.identity().ok_or(NvmeError::Gone)?;
        self.controller.errors::<P>(identity).await
    }

    /// What its queues have done: the admin queue, then the I/O queues in use.
    pub fn statistics(&self) -> Vec<QueueStatistics> {
        let Controller { admin, .. } = &*self.controller;
        let queues = core::iter::once(admin).chain(self.controller.in_use());
        queues.map(super::queue::Queue::statistics).collect()
    }

    /// How completion is noticed. Queues without an interrupt are polled whatever it is.
    pub fn completion_mode(&self) -> CompletionMode {
        self.controller.admin.control.mode()
    }

    /// Changes how completion is noticed, for all queues of the controller at once.
    pub fn set_completion_mode(&self, mode: CompletionMode) {
        self.controller.set_mode(mode);
    }
}
