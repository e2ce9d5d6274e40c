//! What the controller reports unasked: a request for events is always outstanding. Reading the log
//! page that an event names lets the controller report the next of its kind.

use core::future::pending;
use core::sync::atomic::Ordering;

use executor::{Instant, Platform};
use futures_util::future::join;
use protocols::nvme::{
    AsyncEvent, CHANGED_BYTES, Changed, Command, Controller as Identity, EventKind, Health, LogPage,
};

use super::queue::Ended;
use super::{Controller, NvmeError};

impl Controller {
    /// Reports events, for ever. With two requests outstanding, if the controller takes as many,
    /// one that comes while the last is being dealt with is heard of at once.
    pub(super) async fn report_events<P: Platform>(&self, identity: &Identity) -> NvmeError {
        let second = async {
            if identity.event_requests_most > 1 {
                self.await_events::<P>(identity).await;
            }
        };
        join(self.await_events::<P>(identity), second).await;
        pending().await
    }

    async fn await_events<P: Platform>(&self, identity: &Identity) {
        loop {
            let queue = &self.admin;
            queue.standing.fetch_add(1, Ordering::Relaxed);
            let request = Command::await_event();
            let ended = queue.carry_out_until::<P>(request, None, Instant(u64::MAX)).await.result;
            queue.standing.fetch_sub(1, Ordering::Relaxed);
            // A polling reaper may have taken another command for this one, and sleep.
            queue.control.look_now();
            match ended {
                Ended::Done { status, result } if status.is_success() => {
                    self.report::<P>(AsyncEvent::read(result), identity).await;
                }
                Ended::Done { status, .. } => {
                    log::warn!("{}: reports no events: {status}", self.name);
                    return;
                }
                Ended::Gone => return,
                // It asks again once the queue is open again.
                Ended::Reset | Ended::TimedOut | Ended::NoMemory => {}
            }
        }
    }

    async fn report<P: Platform>(&self, event: AsyncEvent, identity: &Identity) {
        let name = &self.name;
        match event.kind {
            EventKind::Notice => log::info!("{name}: reports: {event}"),
            _ => log::warn!("{name}: reports: {event}"),
        }
        let told = match event.known_page() {
            Some(LogPage::Health) => self.health::<P>().await.map(|health| self.warn_of(&health)),
            Some(LogPage::Errors) => self.errors::<P>(identity).await.map(|errors| {
                if let Some(error) = errors.first() {
                    log::warn!("{name}: error {}: {}", error.number, error.status);
                }
            }),
            Some(LogPage::ChangedNamespaces) => self.namespaces_changed::<P>(identity).await,
            None => Ok(()),
        };
        if let Err(error) = told {
            log::warn!("{name}: what it reported could not be read: {error}");
        }
    }

    fn warn_of(&self, health: &Health) {
        for words in health.warnings.words() {
            log::error!("{}: health: {words}", self.name);
        }
        let (used, spare) = (health.used_percent, health.spare_percent);
        match health.celsius() {
            Some(degrees) => {
                log::warn!("{}: {degrees} degrees, {used} % used, {spare} % spare", self.name);
            }
            None => log::warn!("{}: {used} % used, {spare} % spare", self.name),
        }
    }

    async fn namespaces_changed<P: Platform>(&self, identity: &Identity) -> Result<(), NvmeError> {
        let page = LogPage::ChangedNamespaces;
        let page = self.log_page::<P>("the changed namespaces", page, CHANGED_BYTES).await?;
        let changed = Changed::read(&page);
        let mut concerned = self.known.lock().clone();
        concerned.retain(|known| changed.contains(known.id));
        for known in concerned {
            log::info!("{}: namespace {} changed", self.name, known.id);
        }
        self.look_again::<P>(identity).await
    }
}
