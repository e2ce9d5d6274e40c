//! Ends at once: the program that `process.spawn_exit` starts.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use bench::runtime::{Env, ExitCode};

bench::main!(main);

async fn main(_env: Env) -> ExitCode {
    ExitCode::SUCCESS
}
