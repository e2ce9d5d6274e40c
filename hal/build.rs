//! Says `cfg(ring3)` where `hal` is for a program in ring 3: the kernel's target without the
//! feature `metal`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ring3)");
    let bare = env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none");
    if bare && env::var_os("CARGO_FEATURE_METAL").is_none() {
        println!("cargo::rustc-cfg=ring3");
    }
}
