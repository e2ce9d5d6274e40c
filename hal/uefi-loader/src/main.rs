//! The loader of last resort: a UEFI application that boots Pollux where the official Limine is not
//! at hand, and tells the kernel the same things in the same way.
//!
//! ```text
//! read limine.conf ─ read kernel and modules ─ check, place ─ answer requests ─ build page tables
//!        │ any fault: a message naming file and reason, then back to the firmware
//!        └──────────── end boot services ─ final memory map, page tables ─ enter the kernel
//! ```
//!
//! Everything that can fail is done before boot services end, page tables included: they are built
//! once on trial, so that afterwards only a changed memory map could make a difference. What fails
//! even then resets the machine, because nobody is left to return to.
#![cfg_attr(target_os = "uefi", no_main, no_std)]

#[cfg(target_os = "uefi")]
extern crate alloc;
#[cfg(target_os = "uefi")]
mod console;
#[cfg(target_os = "uefi")]
mod handoff;
#[cfg(target_os = "uefi")]
mod load;
#[cfg(target_os = "uefi")]
mod machine;
#[cfg(target_os = "uefi")]
mod pages;
#[cfg(target_os = "uefi")]
mod screen;
#[cfg(target_os = "uefi")]
mod volume;

#[cfg(target_os = "uefi")]
#[uefi::entry]
fn main() -> uefi::Status {
    if let Err(error) = uefi::helpers::init() {
        return error.status();
    }
    let Err(failure) = load::boot();
    console::say(format_args!("\npollux uefi-loader: {failure}\n"));
    console::wait_for_key("Returning to the firmware", 5);
    uefi::Status::LOAD_ERROR
}

#[cfg(not(target_os = "uefi"))]
fn main() {
    println!("This program runs under UEFI: build it for x86_64-unknown-uefi.");
}
