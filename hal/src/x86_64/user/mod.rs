//! Into ring 3 and out of it.

/// The per-core words that entering and leaving ring 3 needs, kept inside
/// [`PerCpu`](super::percpu::PerCpu) so that assembly reaches them through `gs`.
#[repr(C)]
#[derive(Debug)]
pub struct UserSlots {}

impl UserSlots {
    /// The state before the first entry to ring 3. All zeroes, so that the blocks live in `.bss`.
    #[allow(clippy::new_without_default, reason = "a const initialiser, not a value to default to")]
    pub const fn new() -> Self {
        Self {}
    }
}
