//! Links the program by the runtime's own linker script.

use std::env;

fn main() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // `bench` says where its script is (its `links` key is `pollux-ring3`).
        let script = env::var("DEP_POLLUX_RING3_LINKER_SCRIPT").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
}
