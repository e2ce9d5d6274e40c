//! What is said of a PCI function wherever it is driven: in the kernel, in ring 3, in the simulation.

use alloc::vec::Vec;

use crate::interrupt::Interrupt;
use crate::mmio::MmioError;

/// Why a function's registers cannot be had. Refuse the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum PciError {
    /// There is no such base address register, or it makes no sense.
    #[error("base address register {0} is not there or makes no sense")]
    NoBar(u8),
    /// Firmware gave it no address, and the kernel gives none either.
    #[error("firmware gave base address register {0} no address")]
    Unassigned(u8),
    /// It is in I/O ports, where the driver wants memory.
    #[error("base address register {0} is in I/O ports")]
    Ports(u8),
    /// It is no bridge, or one that was given no bus. Nothing is behind it.
    #[error("there is no bus behind it")]
    NoBus,
    /// The function did not take a change of its command register: it is gone, or broken.
    #[error("it does not obey its command register: gone, or broken")]
    Deaf,
    /// The registers cannot be mapped.
    #[error("{0}")]
    Map(#[from] MmioError),
}

/// How a function interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptKind {
    /// By a table of messages.
    MsiX,
    /// By one message.
    Msi,
    /// By its legacy interrupt: one vector, level-triggered, shared with other functions. Its
    /// driver has to expect interrupts that are not its own, and to silence the function before it
    /// waits again.
    Line,
    /// Not at all: it has to be polled.
    None,
}

/// The interrupts of a function.
pub struct Interrupts {
    /// How they come.
    pub kind: InterruptKind,
    /// Number `i` arrives on the `i`-th core that was asked for. Each begins masked.
    pub vectors: Vec<Interrupt>,
}

/// Why a function was not reset, or cannot be used after it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum ResetError {
    /// It cannot be reset by itself. Reset its controller by its own registers.
    #[error("it offers no function-level reset")]
    NotOffered,
    /// It does not answer. Give it up.
    #[error("it does not answer after its reset")]
    Silent,
    /// It is not as it was. Give it up.
    #[error("{0}")]
    Function(#[from] PciError),
}

/// Why a function's interrupt has no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum RouteError {
    /// No table names its pin.
    #[error("firmware's tables (_PRT) do not say where its pin leads")]
    NoEntry,
    /// The link that its pin leads to is not there, or says nothing of use.
    #[error("firmware's link device says nothing of use")]
    BadLink,
    /// The link was told to use a line and does not.
    #[error("firmware's link device does not obey")]
    DeafLink,
    /// There is no DSDT, or it cannot be run.
    #[error("firmware's code (AML) cannot be run")]
    NoAml,
}
