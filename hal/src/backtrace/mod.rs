//! Who called whom: frame pointers followed with care, addresses given names.
//!
//! Works in a panic: takes no lock, allocates nothing. Names come from the boot module `kernel.sym`
//! where there is one.

mod symbols;
mod walk;

pub use symbols::{Symbol, Symbols};
pub use walk::{LONGEST, Stacks, Walk};

#[cfg(target_os = "none")]
pub use metal::{Backtrace, name_of};

#[cfg(target_os = "none")]
mod metal {
    use core::arch::asm;
    use core::fmt;
    use core::ops::Range;

    use super::{Stacks, Symbol, Symbols, Walk};
    use crate::memory::{VirtAddr, stack};

    /// The boot module with the kernel's symbols.
    const SYMBOL_MODULE: &str = "kernel.sym";

    struct KernelStacks;

    impl Stacks for KernelStacks {
        fn containing(&self, address: u64) -> Option<Range<u64>> {
            stack::containing(VirtAddr(address))
        }
        fn read(&self, address: u64) -> u64 {
            // SAFETY: aligned and within a known stack, which is mapped; any content is a valid
            // word.
            unsafe { VirtAddr(address).as_ptr::<u64>().read_volatile() }
        }
    }

    /// The function an address lies in, if the symbols are at hand.
    pub fn name_of(address: u64) -> Option<Symbol<'static>> {
        let module = crate::boot::try_info()?.module(SYMBOL_MODULE)?;
        Symbols::new(module.bytes).find(address)
    }

    /// A chain of calls, to be printed: one line each, innermost first.
    #[derive(Clone, Copy, Debug)]
    pub struct Backtrace {
        instruction: Option<u64>,
        frame: u64,
    }

    impl Backtrace {
        /// From whoever calls this.
        #[inline(always)]
        pub fn here() -> Self {
            let frame;
            // SAFETY: reads a register.
            unsafe {
                asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
            };
            Self { instruction: None, frame }
        }

        /// From an interrupted instruction, with its frame pointer (`rip`, `rbp`).
        pub const fn from_registers(instruction: u64, frame: u64) -> Self {
            Self { instruction: Some(instruction), frame }
        }
    }

    impl fmt::Display for Backtrace {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let callers = Walk::new(&KernelStacks, self.frame);
            // A return address is behind its call: the byte before belongs to the caller for sure.
            let calls = callers.map(|address| (address, address.wrapping_sub(1)));
            let first = self.instruction.map(|address| (address, address));
            for (number, (address, within)) in first.into_iter().chain(calls).enumerate() {
                write!(f, "  {number:2} {address:#018x}")?;
                match name_of(within) {
                    Some(symbol) => {
                        writeln!(
                            f,
                            " {} + {:#x}",
                            symbol.name,
                            address.wrapping_sub(symbol.start)
                        )?;
                    }
                    None => writeln!(f)?,
                }
            }
            Ok(())
        }
    }
}
