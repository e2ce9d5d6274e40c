//! Leaving: reset, power off, and out of QEMU.
//!
//! Power off (S5) needs two numbers from the DSDT, which [`s5`](super::s5) looks for without
//! interpreting AML. Each way is given a moment to work, then the next one is tried.

use spin::Once;
use thiserror_no_std::Error;

use super::acpi::{Acpi, Fadt, Register};
use super::time::clock;
use super::{interrupts, port, s5};

/// Why the machine is still on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PowerError {
    /// No FADT, or no PM1 registers, or no literal `_S5` in the DSDT.
    #[error(
        "power-off is not supported on this machine (it takes an AML interpreter): turn it off by hand"
    )]
    NotSupported,
    /// All was written and nothing happened.
    #[error("the machine did not turn off: turn it off by hand")]
    NoEffect,
}

#[derive(Debug, Clone, Copy)]
struct Ways {
    fadt: Fadt,
    sleep_types: Option<[u8; 2]>,
    map: super::acpi::MapTable,
}

static WAYS: Once<Ways> = Once::new();

/// How long a way is given to work.
const MOMENT_US: u64 = 50_000;

const PM1_SLEEP_ENABLE: u16 = 1 << 13;
const PM1_SLEEP_TYPE_SHIFT: u16 = 10;
const PM1_SLEEP_TYPE: u16 = 0b111 << PM1_SLEEP_TYPE_SHIFT;
const PM1_ACPI_ENABLED: u16 = 1 << 0;

/// Notes how this machine is reset and turned off. Without it only the ways that need no ACPI
/// are tried. `map` is as for [`Acpi::find`].
pub fn init(acpi: &Acpi, map: super::acpi::MapTable) {
    let fadt = match acpi.fadt() {
        Ok(fadt) => fadt,
        Err(error) => return log::warn!("power: {error}: no power-off, reset by other ways"),
    };
    let sleep_types = acpi.dsdt(&fadt).and_then(s5::sleep_types);
    if sleep_types.is_none() {
        log::info!("power: the DSDT has no literal _S5: power-off is not supported");
    }
    WAYS.call_once(|| Ways { fadt, sleep_types, map });
}

/// Turns the machine off (ACPI S5).
///
/// # Errors
/// It is still on.
pub fn power_off() -> PowerError {
    let Some(Ways { fadt, sleep_types: Some(types), .. }) = WAYS.get() else {
        return PowerError::NotSupported;
    };
    if fadt.pm1_control[0] == 0 {
        return PowerError::NotSupported;
    }
    interrupts::without(|| {
        // SAFETY: the FADT names these ports as the power registers, and nothing of the kernel
        // needs to survive what they do.
        unsafe {
            let enabled = || port::read16(fadt.pm1_control[0]) & PM1_ACPI_ENABLED != 0;
            if !enabled() && fadt.smi_command != 0 && fadt.acpi_enable != 0 {
                port::write8(fadt.smi_command, fadt.acpi_enable);
                clock::spin_until(10 * MOMENT_US, enabled);
            }
            for (control, sleep_type) in fadt.pm1_control.into_iter().zip(types) {
                if control != 0 {
                    let kept = port::read16(control) & !(PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE);
                    let value = kept | u16::from(*sleep_type) << PM1_SLEEP_TYPE_SHIFT;
                    port::write16(control, value | PM1_SLEEP_ENABLE);
                }
            }
        }
        clock::spin_us(10 * MOMENT_US);
    });
    PowerError::NoEffect
}

/// Resets the machine: by the FADT's register, the chipset's, the keyboard controller, and at last
/// by a fault that no handler can take.
pub fn reboot() -> ! {
    interrupts::disable();
    if let Some(ways) = WAYS.get()
        && let Some(register) = ways.fadt.reset
    {
        write_reset(register, ways.fadt.reset_value, ways.map);
        clock::spin_us(MOMENT_US);
    }
    // SAFETY: resetting is what is wanted.
    unsafe {
        // Reset control register: full reset, by a rising edge of bit 2.
        port::write8(0xcf9, 0x02);
        port::write8(0xcf9, 0x06);
        clock::spin_us(MOMENT_US);
        if WAYS.get().is_none_or(|ways| ways.fadt.has_8042) {
            clock::spin_until(MOMENT_US, || port::read8(0x64) & 0b10 == 0);
            port::write8(0x64, 0xfe);
            clock::spin_us(MOMENT_US);
        }
        // An empty interrupt table makes any exception a triple fault.
        let nothing = [0u16; 5];
        core::arch::asm!("lidt [{}]", "int3", in(reg) &raw const nothing);
    }
    interrupts::halt_forever()
}

fn write_reset(register: Register, value: u8, map: super::acpi::MapTable) {
    match register {
        // SAFETY: the FADT names it as the reset register.
        Register::Port(number) => unsafe { port::write8(number, value) },
        Register::Memory(address) => {
            if let Some(mapped) = map(address, 1) {
                // SAFETY: as above; mapped writable or the fault resets just as well.
                unsafe { mapped.cast_mut().write_volatile(value) };
            }
        }
        Register::PciConfig { device, function, offset } => {
            let address = 1 << 31
                | u32::from(device) << 11
                | u32::from(function) << 8
                | u32::from(offset & 0xfc);
            // SAFETY: as above, by the legacy configuration ports.
            unsafe {
                port::write32(0xcf8, address);
                port::write8(0xcfc + (offset & 3), value);
            }
        }
    }
}

/// Leaves QEMU through its `isa-debug-exit` device at port 0xf4: the process ends with status
/// `code * 2 + 1`. Elsewhere nothing happens and the core halts.
pub fn exit_qemu(code: u8) -> ! {
    interrupts::disable();
    // SAFETY: nothing else answers at this port.
    unsafe { port::write32(0xf4, u32::from(code)) };
    interrupts::halt_forever()
}
