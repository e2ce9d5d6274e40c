//! Running a program the kernel was asked for, to its end.

use super::block::{self, GrantError};
use crate::platform::Pollux;
use crate::process::{self, Process, image, spawn};
use alloc::string::String;
use alloc::sync::Arc;
use executor::CoreId;
use protocols::abi::{Error, ExitStatus};
use thiserror_no_std::Error;

/// Why a program could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// No boot module of that name is a program.
    #[error("no such program among the boot modules (or not an ELF file that can be run)")]
    Unknown,
    /// It was refused.
    #[error("it can't be started: {0}")]
    Refused(Error),
    /// A disk it was to have cannot be had.
    #[error("{0}")]
    Disk(GrantError),
}

/// A running program, killed with all its children when this is dropped before its end.
#[derive(Debug)]
pub struct Program {
    process: Arc<Process>,
}

impl Program {
    /// Starts the boot module `name` on `core`, or on the least loaded one. `--disk NAME[:ro|:rw]`
    /// among the arguments gives it a disk.
    pub async fn start(
        name: &str,
        arguments: &[String],
        core: Option<CoreId>,
    ) -> Result<Self, StartError> {
        let image = image::find(name).ok_or(StartError::Unknown)?;
        let core = core.unwrap_or_else(executor::least_loaded::<Pollux>);
        let (arguments, disks) = block::grants(arguments).map_err(StartError::Disk)?;
        let disks = disks.into_iter().map(|grant| (grant.name, block::grant(grant.disk, core)));
        let request = spawn::Request::from_kernel(name, &arguments, disks.collect(), core);
        let process = spawn::start(image, request).await.map_err(StartError::Refused)?;
        Ok(Self { process })
    }

    /// Waits for its end, by when everything it had is returned.
    pub async fn ended(&self) -> ExitStatus {
        self.process.ended.wait().await
    }

    /// Ends it now, and whatever it started.
    pub fn kill(&self) {
        if self.process.ended.get().is_none() {
            process::end_job(self.process.job);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
