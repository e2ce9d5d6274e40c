//! NVM Express: the formats a driver exchanges with a controller.
//!
//! | file | what |
//! |---|---|
//! | `registers` | the controller's registers: capabilities, configuration, status, doorbells |
//! | `command` | submission queue entries, eight words each |
//! | `completion` | completion queue entries, two words each, told new from old by their phase |
//! | `identify` | what controllers and namespaces say of themselves |
//! | `prp` | how a command names its memory |
//!
//! Source: NVM Express Base Specification 1.4 (sections are of that one; 2.0 moved them).

mod command;
mod completion;
mod identify;
mod prp;
mod registers;

pub use self::command::{Command, CommandId, Page};
pub use self::completion::{Completion, Phase, Status};
pub use self::identify::{Controller, IDENTIFY_BYTES, IdentifyError, Namespace, namespace_ids};
pub use self::prp::{LIST_ENTRIES, PAGE_BYTES, Prp, list_entries, prp};
pub use self::registers::{
    Capabilities, Configuration, ControllerStatus, QueueDoorbell, ShutdownStatus, Version,
    doorbell, offset,
};

/// PCI class, subclass and programming interface of an NVM Express I/O controller.
pub const PCI_CLASS: (u8, u8, u8) = (0x01, 0x08, 0x02);
