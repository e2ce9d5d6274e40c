//! Links ring-3 programs by `link.ld`, and tells packages outside this tree where that file is
//! (`DEP_POLLUX_RING3_LINKER_SCRIPT` in their build scripts).

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = format!("{folder}/link.ld");
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::metadata=linker_script={script}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
}
