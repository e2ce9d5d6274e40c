//! From the kernel's first instruction in ring 3 to the program's `main`, and back out.
//!
//! The kernel enters `_start` with the address of `StartInfo` in `rdi`. The program names its main
//! function with [`crate::main!`]; the macro gives it the symbol `pollux_main` that `_start` calls.

use core::fmt::Display;

use core::task::{Context, Poll, Waker};

use super::{calls, env::Env, executor};

/// What a program ends with. Zero is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub i32);

impl ExitCode {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// Something did not; the console says what.
    pub const FAILURE: Self = Self(1);
    /// A panic ended the program.
    pub const PANIC: Self = Self(101);
    /// Not this version of the ABI.
    pub const WRONG_ABI: Self = Self(102);
}

/// What `main` may return.
pub trait Termination {
    /// The code the process ends with.
    fn report(self) -> ExitCode;
}

impl Termination for ExitCode {
    fn report(self) -> ExitCode {
        self
    }
}

impl Termination for () {
    fn report(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl<E: Display> Termination for Result<(), E> {
    fn report(self) -> ExitCode {
        match self {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                crate::println!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs a program's future to its end and leaves. Called by [`crate::main!`] only.
///
/// A program that never waits is polled once and needs no executor.
pub fn start<F: Future>(env: Env, main: impl FnOnce(Env) -> F) -> !
where
    F::Output: Termination,
{
    let mut future = core::pin::pin!(main(env));
    let mut nobody = Context::from_waker(Waker::noop());
    let output = match future.as_mut().poll(&mut nobody) {
        Poll::Ready(output) => output,
        // The executor polls it anew at once, with a waker that leads somewhere.
        Poll::Pending => executor::block_on(future),
    };
    calls::process_exit(output.report().0)
}

/// Names the program's main function: `async fn main(env: Env) -> ExitCode` (or anything else
/// that is [`Termination`]).
///
/// On the host the program only says where it belongs.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        fn pollux_main(env: $crate::runtime::Env) -> ! {
            $crate::runtime::start(env, $main)
        }

        #[cfg(not(target_os = "none"))]
        const _: () = {
            /// What the C start-up code of the host calls.
            #[unsafe(export_name = "main")]
            extern "C" fn host_main() -> i32 {
                let _ = |env| -> ! { $crate::runtime::start(env, $main) };
                ::std::println!(
                    "{} runs in ring 3 of Pollux: cargo xtask run --program PATH",
                    ::core::env!("CARGO_BIN_NAME")
                );
                0
            }
        };
    };
}

#[cfg(target_os = "none")]
mod metal {
    use super::{Env, ExitCode, calls};
    use crate::abi::start::{ARGS_MAX, HANDLES_MAX, StartHandle, StartInfo, tag};
    use crate::abi::{ABI_VERSION, start::Slice};
    use crate::runtime::{clock, console, thread};

    // SAFETY: `main!` in the program defines this symbol with exactly this signature; a program
    // without it does not link.
    unsafe extern "Rust" {
        safe fn pollux_main(env: Env) -> !;
    }

    /// First instruction of the program: ends the chain of frames, aligns the stack whatever it
    /// was, and goes on in Rust with `rdi` untouched.
    #[unsafe(no_mangle)]
    #[unsafe(naked)]
    extern "C" fn _start() -> ! {
        core::arch::naked_asm!(
            "xor ebp, ebp",
            "and rsp, -16",
            "call {begin}",
            "ud2",
            begin = sym begin,
        )
    }

    /// Reads what the kernel laid on the stack and calls the program.
    extern "C" fn begin(info: *const StartInfo) -> ! {
        // SAFETY: the kernel passes the address of a StartInfo at the top of this stack, which
        // lives as long as the process and is written by nobody else.
        let info: &'static StartInfo = unsafe { &*info };
        if info.abi != ABI_VERSION {
            calls::process_exit(ExitCode::WRONG_ABI.0);
        }
        clock::initialise(info.tsc_hz);
        let mut env = Env {
            args: [""; ARGS_MAX],
            arg_count: (info.arg_count as usize).min(ARGS_MAX),
            handles: [StartHandle::default(); HANDLES_MAX],
            cores: info.cores,
            tsc_hz: info.tsc_hz,
        };
        for (slot, argument) in env.args.iter_mut().zip(info.args).take(env.arg_count) {
            *slot = text(argument);
        }
        let handles = (info.handle_count as usize).min(HANDLES_MAX);
        env.handles[..handles].copy_from_slice(&info.handles[..handles]);
        if let Some(handle) = env.handle(tag::CONSOLE) {
            console::set_console(handle);
        }
        thread::adopt_main(move || pollux_main(env));
        calls::process_exit(ExitCode::FAILURE.0)
    }

    fn text(slice: Slice) -> &'static str {
        // SAFETY: the kernel laid the string into this process's memory next to StartInfo; it
        // stays there unchanged.
        let bytes =
            unsafe { core::slice::from_raw_parts(slice.ptr as *const u8, slice.len as usize) };
        core::str::from_utf8(bytes).unwrap_or("?")
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        crate::println!("{info}");
        calls::process_exit(ExitCode::PANIC.0)
    }
}
