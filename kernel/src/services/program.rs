//! Running a program the kernel was asked for, to its end.

use super::block::{self, GrantError};
use super::device;
use super::{net, ports};
use crate::devices::lent::Loan;
use crate::platform::Pollux;
use crate::process::{self, Process, image, spawn};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::CoreId;
use protocols::abi::{Error, ExitStatus};
use thiserror_no_std::Error;

/// The word that gives a program the network.
pub const NETWORK: &str = "--net";

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
    /// Ports it was to have cannot be had.
    #[error("{0}")]
    Ports(ports::GrantError),
    /// A device it was to have cannot be had.
    #[error("{0}")]
    Device(device::GrantError),
}

/// A running program, killed with all its children when this is dropped before its end.
#[derive(Debug)]
pub struct Program {
    process: Arc<Process>,
    /// Devices it was lent.
    loans: Vec<Arc<Loan>>,
}

impl Program {
    /// Starts the boot module `name` on `core`, or on the least loaded one. `--disk NAME[:ro|:rw]`
    /// among the arguments gives it a disk, `--net` the network, `--device NAME` lends it a device,
    /// `--ports FIRST+COUNT` gives it I/O ports.
    pub async fn start(
        name: &str,
        arguments: &[String],
        core: Option<CoreId>,
    ) -> Result<Self, StartError> {
        let image = image::find(name).ok_or(StartError::Unknown)?;
        let core = core.unwrap_or_else(executor::least_loaded::<Pollux>);
        let (mut arguments, disks) = block::grants(arguments).map_err(StartError::Disk)?;
        let words = arguments.len();
        arguments.retain(|word| word != NETWORK);
        let (arguments, lent) = device::grants(&arguments).await.map_err(StartError::Device)?;
        let (arguments, ports) = ports::grants(&arguments).map_err(StartError::Ports)?;
        let loans = lent.iter().map(|grant| grant.loan.clone()).collect();
        let devices = lent.into_iter().map(|grant| (grant.name, grant.capability)).collect();
        let refused = StartError::Refused;
        let network = (arguments.len() < words).then(net::grant).transpose().map_err(refused)?;
        let disks =
            disks.into_iter().map(|grant| Ok((grant.name, block::grant(grant.disk, core)?)));
        let disks = disks.collect::<Result<_, _>>().map_err(refused)?;
        let given = spawn::Given { disks, devices, ports, network };
        let request = spawn::Request::from_kernel(name, &arguments, given, core);
        let request = request.map_err(refused)?;
        let (process, _) = spawn::start(image, request).await.map_err(StartError::Refused)?;
        Ok(Self { process, loans })
    }

    /// Waits for its end, by when everything it had is returned.
    pub async fn ended(&self) -> ExitStatus {
        let status = self.process.ended.wait().await;
        for loan in &self.loans {
            loan.ended().await;
        }
        status
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
