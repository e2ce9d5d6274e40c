//! Virtual memory: the kernel's own tables, address spaces of processes, and how translations are
//! taken away from other cores.
//!
//! | file | idea |
//! |---|---|
//! | `entry` | one entry of a table; W^X by construction (pure) |
//! | `tables` | four levels of tables as a data structure (pure) |
//! | `kernel` | what the upper half holds, built once |
//! | `space` | the lower half: one process |
//! | `borrowed` | shared memory and registers of devices in it |
//! | `pcid` | process-context identifiers, given and taken back |
//! | `held` | shared memory and lent registers, as pages (pure) |
//! | `shared` | what keeps such pages alive while they are mapped (pure) |
//! | `windows` | kernel pages mapped one by one: stacks, devices |
//! | `flush` | frames wait until no core can reach them |
//! | `trampoline` | tables for a core that is just waking up |
//! | `control` | CR3, CR4, PAT, TLB instructions |

pub mod entry;
pub mod tables;

#[cfg(target_os = "none")]
mod borrowed;
#[cfg(target_os = "none")]
mod control;
#[cfg(target_os = "none")]
pub mod flush;
#[cfg(any(test, target_os = "none"))]
mod held;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod pcid;
#[cfg(any(test, target_os = "none"))]
mod shared;
#[cfg(target_os = "none")]
mod space;
#[cfg(target_os = "none")]
mod trampoline;
#[cfg(target_os = "none")]
pub mod windows;

pub use entry::{Access, Caching};
pub use tables::{MapError, Translation};

#[cfg(target_os = "none")]
pub use self::{
    control::{flush_everything, pcid_on, physical_bits},
    flush::{Flush, acknowledge, begin_park, end_park, reap_quarantine},
    kernel::{PagingError, constant_image, init, init_core, root},
    space::{AddressSpace, SpaceUsage, USER_END, USER_START},
    trampoline::TrampolineTables,
};

#[cfg(target_os = "none")]
pub(super) use self::{kernel::kernel_tables, windows::unchanged};

/// Takes the kernel's own tables on this core, unless they are in use already.
#[cfg(target_os = "none")]
#[inline]
pub fn activate_kernel() {
    let kernel = kernel::root();
    if control::root() != kernel {
        // SAFETY: every space shares the kernel's upper half, where all of this runs.
        unsafe { control::write_root(kernel.start().0) };
    }
}
