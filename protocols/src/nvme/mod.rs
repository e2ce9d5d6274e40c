//! NVM Express: the formats a driver exchanges with a controller.
//!
//! | file | what |
//! |---|---|
//! | `registers` | the controller's registers: capabilities, configuration, status, doorbells |
//! | `command` | submission queue entries, eight words each |
//! | `completion` | completion queue entries, two words each, told new from old by their phase |
//! | `status` | how commands end, in numbers and words |
//! | `identify` | what controllers and namespaces say of themselves |
//! | `log_page` | health, errors, changed namespaces |
//! | `event` | what a controller reports unasked |
//! | `prp` | how a command names its memory |
//! | `shadow` | doorbells in memory |
//!
//! Source: NVM Express Base Specification 1.4 (sections are of that one; 2.0 moved them).

mod command;
mod completion;
mod event;
#[cfg(test)]
mod fuzz;
mod identify;
mod log_page;
mod prp;
mod registers;
mod shadow;
mod status;

pub use self::command::{BLOCKS_MOST, Command, CommandId, Page, RANGE_BYTES, discard_range};
pub use self::completion::{Completion, Phase};
pub use self::event::{AsyncEvent, EVENTS_WANTED, EventKind};
pub use self::identify::{
    Controller, IDENTIFY_BYTES, IdentifyError, NAMESPACES_LISTED, Namespace, granted_queues,
    namespace_ids,
};
pub use self::log_page::{
    CHANGED_BYTES, Changed, ERROR_BYTES, ErrorEntry, HEALTH_BYTES, Health, LogPage, ShortLogPage,
    Warnings, error_entries,
};
pub use self::prp::{LIST_ENTRIES, ListPlan, PAGE_BYTES, Prp};
pub use self::registers::{
    Capabilities, Configuration, ControllerStatus, QueueDoorbell, ShutdownStatus, Version,
    doorbell, offset,
};
pub use self::shadow::{ShadowPlace, wants_ring};
pub use self::status::Status;

/// PCI class, subclass and programming interface of an NVM Express I/O controller.
pub const PCI_CLASS: (u8, u8, u8) = (0x01, 0x08, 0x02);
