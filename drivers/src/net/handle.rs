//! Network devices as the rest of the kernel holds them: one concrete handle, whatever drives the
//! device.

use alloc::sync::Arc;
use core::fmt;

use hal::dma::DmaError;

use super::{Frame, MacAddress, NetDevice, NetInfo, Port, Refused};
use crate::completion::CompletionMode;
use crate::{e1000, rtl8139};

/// A device of any kind. Stays valid when the device goes away: its link is down then, for good.
#[derive(Clone)]
pub enum NetHandle {
    /// One of Intel's.
    E1000(Arc<e1000::Nic>),
    /// One of Realtek's.
    Rtl8139(Arc<rtl8139::Nic>),
}

/// Gives what each kind of device says to the same question.
macro_rules! ask {
    ($handle:expr, $inner:ident => $answer:expr) => {
        match $handle {
            NetHandle::E1000($inner) => $answer,
            NetHandle::Rtl8139($inner) => $answer,
        }
    };
}

impl NetHandle {
    /// What kind of device it is, as figures and names call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::E1000(nic) => nic.kind(),
            Self::Rtl8139(_) => "rtl8139",
        }
    }

    /// How arrivals are noticed.
    pub fn completion_mode(&self) -> CompletionMode {
        self.port().control.mode()
    }

    /// Changes that.
    pub fn set_completion_mode(&self, mode: CompletionMode) {
        self.port().control.set_mode(mode);
    }
}

impl fmt::Debug for NetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.info().mac)
    }
}

impl NetDevice for NetHandle {
    fn info(&self) -> &NetInfo {
        ask!(self, nic => nic.info())
    }

    #[inline]
    fn port(&self) -> &Port {
        ask!(self, nic => nic.port())
    }

    #[inline]
    fn frame(&self, bytes: usize) -> Result<Frame, DmaError> {
        ask!(self, nic => nic.frame(bytes))
    }

    #[inline]
    fn try_transmit(&self, frame: Frame) -> Result<(), Refused> {
        ask!(self, nic => nic.try_transmit(frame))
    }

    #[inline]
    fn kick(&self) {
        ask!(self, nic => nic.kick());
    }

    fn listen_to(&self, groups: &[MacAddress]) {
        ask!(self, nic => nic.listen_to(groups));
    }
}
