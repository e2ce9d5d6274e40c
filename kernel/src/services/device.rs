//! The words by which a person lends a program a device: `--device NAME`, by its driver's name or
//! its place on the bus.

use crate::authority::Capability;
use crate::devices::lent::{self, LendError, Loan};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel_text::gifts;
use thiserror_no_std::Error;

/// The word before a device's name.
pub const WORD: &str = "--device";

/// Why a program gets no device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// Nothing comes after the word.
    #[error("{WORD} of what? {WORD} NAME, as in `edu` or `00:1a.0`")]
    NoName,
    /// The device cannot be had.
    #[error("{0}: {1}")]
    Device(String, LendError),
}

/// A device for a program.
#[derive(Debug)]
pub struct Grant {
    /// What the program knows it by.
    pub name: String,
    /// The capability to it.
    pub capability: Capability,
    /// The loan, to be waited for when the program has ended.
    pub loan: Arc<Loan>,
}

/// Takes the devices out of a program's arguments, and from their drivers.
pub async fn grants(arguments: &[String]) -> Result<(Vec<String>, Vec<Grant>), GrantError> {
    let (rest, names) = gifts::take_out(arguments, WORD).ok_or(GrantError::NoName)?;
    let mut granted = Vec::new();
    for name in names {
        let lent = lent::lend(name).await;
        let (capability, loan) = lent.map_err(|error| GrantError::Device(name.into(), error))?;
        granted.push(Grant { name: name.into(), capability, loan });
    }
    Ok((rest, granted))
}
