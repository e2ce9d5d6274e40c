//! The controller's registers: enabling and disabling it, within the limits it sets itself.

use alloc::string::{String, ToString};
use core::time::Duration;

use executor::{Platform, sleep};
use hal::mmio::{DeviceRegion, Register};
use protocols::nvme::{
    Capabilities, Configuration, ControllerStatus, PAGE_BYTES, QueueDoorbell, ShutdownStatus,
    Version, doorbell, offset,
};

use super::queue::Queue;
use super::{NvmeError, after, ticks};

const CAP: Register<u64> = Register::at(offset::CAP);
const VS: Register<u32> = Register::at(offset::VS);
const INTMS: Register<u32> = Register::at(offset::INTMS);
const CC: Register<u32> = Register::at(offset::CC);
const CSTS: Register<u32> = Register::at(offset::CSTS);
const AQA: Register<u32> = Register::at(offset::AQA);
const ASQ: Register<u64> = Register::at(offset::ASQ);
const ACQ: Register<u64> = Register::at(offset::ACQ);

/// Between two looks at the status.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// How long a shutdown may take (the specification leaves it to the device).
const SHUTDOWN_LIMIT_MS: u64 = 5_000;
/// I/O queue pairs used at most.
const QUEUES_MOST: u16 = 256;

pub(super) struct Registers {
    name: String,
    region: DeviceRegion,
    capabilities: Capabilities,
}

impl Registers {
    /// Looks whether this is a controller that can be used.
    pub(super) fn new_checked(name: &str, region: DeviceRegion) -> Result<Self, NvmeError> {
        if region.bytes() < offset::DOORBELLS {
            return Err(NvmeError::Unsupported("it has too few registers"));
        }
        let capabilities = Capabilities(region.read(CAP));
        if capabilities.0 == u64::MAX {
            return Err(NvmeError::Gone);
        }
        let stride = capabilities.doorbell_stride();
        // The admin queue's and one more.
        if region.bytes() < doorbell(2, QueueDoorbell::SubmissionTail, stride) {
            return Err(NvmeError::Unsupported("it has too few doorbells"));
        }
        if capabilities.min_page_bytes() > PAGE_BYTES as u64 {
            return Err(NvmeError::Unsupported("it wants memory pages larger than 4 KiB"));
        }
        if !capabilities.has_nvm_commands() {
            return Err(NvmeError::Unsupported("it does not know the NVM command set"));
        }
        if capabilities.max_entries() < 2 {
            return Err(NvmeError::Unsupported("its queues hold no entry"));
        }
        Ok(Self { name: name.to_string(), region, capabilities })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// For how many I/O queue pairs there are doorbells; at least 1.
    pub(super) fn io_queues_most(&self) -> u16 {
        let room = self.region.bytes().saturating_sub(offset::DOORBELLS);
        let pairs = room / (2 * self.capabilities.doorbell_stride());
        pairs.saturating_sub(1).clamp(1, usize::from(QUEUES_MOST)) as u16
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn version(&self) -> Version {
        Version(self.region.read(VS))
    }

    /// A queue's doorbell: the registers that hold it, and which it is.
    pub(super) fn doorbell(&self, queue: u16, which: QueueDoorbell) -> Register<u32> {
        Register::at(doorbell(queue, which, self.capabilities.doorbell_stride()))
    }

    pub(super) fn region(&self) -> &DeviceRegion {
        &self.region
    }

    /// Whether the controller is there and well.
    pub(super) fn healthy(&self) -> Result<(), NvmeError> {
        let status = ControllerStatus(self.region.read(CSTS));
        if status.is_gone() {
            Err(NvmeError::Gone)
        } else if status.is_fatal() {
            Err(NvmeError::Fatal)
        } else {
            Ok(())
        }
    }

    /// Resets the controller: it stops using memory and forgets its queues.
    pub(super) async fn disable<P: Platform>(&self) -> Result<(), NvmeError> {
        let before = Configuration(self.region.read(CC));
        if before.is_enabled() {
            // A controller that is still on its way to ready takes no disabling before (3.1.5).
            let on = self.wait::<P>("ready before its reset", self.limit(), |status| {
                status.is_ready() || status.is_fatal()
            });
            match on.await {
                Ok(()) => {}
                Err(NvmeError::Gone) => return Err(NvmeError::Gone),
                Err(error) => log::warn!("{}: {error}; resetting it anyway", self.name),
            }
        }
        self.disable_unseen();
        self.wait::<P>("reset", self.limit(), |status| !status.is_ready()).await
    }

    /// Tells the controller to stop, and does not look whether it does.
    pub(super) fn disable_unseen(&self) {
        let before = Configuration(self.region.read(CC));
        self.region.write(CC, before.disabled().0);
    }

    /// Enables the controller with this admin queue.
    pub(super) async fn enable<P: Platform>(&self, admin: &Queue) -> Result<(), NvmeError> {
        let last = admin.depth();
        if admin.vector().is_none() {
            // Not to be touched where MSI-X is in use (3.1.3), whose table has masks of its own.
            self.region.write(INTMS, u32::MAX);
        }
        self.region.write(AQA, last << 16 | last);
        self.region.write(ASQ, admin.submission_page().0);
        self.region.write(ACQ, admin.completion_page().0);
        self.region.write(CC, Configuration::ENABLED.0);
        let ready =
            self.wait::<P>("ready", self.limit(), |status| status.is_ready() || status.is_fatal());
        ready.await?;
        self.healthy()
    }

    /// Stops the controller. With `orderly` it first gets time to bring its caches to rest.
    pub(super) async fn shut_down<P: Platform>(&self, orderly: bool) -> Result<(), NvmeError> {
        if orderly {
            let before = Configuration(self.region.read(CC));
            self.region.write(CC, before.shutting_down().0);
            let done = self.wait::<P>("shut down", SHUTDOWN_LIMIT_MS, |status| {
                status.shutdown() == ShutdownStatus::Complete
            });
            if let Err(error) = done.await {
                log::warn!("{}: {error}; resetting it instead", self.name);
            }
        }
        self.disable_unseen();
        self.wait::<P>("reset", self.limit(), |status| !status.is_ready()).await
    }

    fn limit(&self) -> u64 {
        self.capabilities.timeout_ms()
    }

    async fn wait<P: Platform>(
        &self,
        what: &'static str,
        limit_ms: u64,
        mut done: impl FnMut(ControllerStatus) -> bool,
    ) -> Result<(), NvmeError> {
        let deadline = after::<P>(Duration::from_millis(limit_ms));
        loop {
            let late = P::now() >= deadline;
            let status = ControllerStatus(self.region.read(CSTS));
            if status.is_gone() {
                return Err(NvmeError::Gone);
            }
            if done(status) {
                return Ok(());
            }
            if late {
                return Err(NvmeError::NotInTime(what, limit_ms));
            }
            sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
        }
    }
}
