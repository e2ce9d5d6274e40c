//! Keeps score of what an attack got back.

use core::fmt::Debug;

use bench::abi::Error;
use bench::attacks::PASSED;
use bench::runtime::ExitCode;

/// The score; each surprise is printed as it comes.
#[derive(Debug, Default)]
pub struct Checks {
    made: u32,
    surprises: u32,
    passed: bool,
}

impl Checks {
    /// Nothing checked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A condition that must hold.
    pub fn holds(&mut self, what: impl Debug, condition: bool) {
        self.made += 1;
        if !condition {
            self.surprises += 1;
            bench::println!("does not hold: {what:?}");
        }
    }

    /// A call that must fail with one of these errors.
    #[allow(clippy::needless_pass_by_value)] // results are made on the spot
    pub fn refused<T: Debug>(
        &mut self,
        what: impl Debug,
        result: Result<T, Error>,
        errors: &[Error],
    ) {
        self.made += 1;
        if !matches!(&result, Err(error) if errors.contains(error)) {
            self.surprises += 1;
            bench::println!("{what:?} gave {result:?}, expected one of {errors:?}");
        }
    }

    /// A call that must succeed; its value.
    pub fn works<T>(&mut self, what: impl Debug, result: Result<T, Error>) -> Option<T> {
        self.made += 1;
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.surprises += 1;
                bench::println!("{what:?} should have worked: {error}");
                None
            }
        }
    }

    /// Reached only if the CPU let pass what it must stop.
    pub fn not_stopped(what: &str) -> Self {
        bench::println!("not stopped by the CPU: {what}");
        Self { passed: true, ..Self::new() }
    }

    /// The exit code: success if there was no surprise (and anything was checked at all).
    pub fn verdict(self) -> ExitCode {
        if self.passed {
            return PASSED;
        }
        if self.surprises == 0 && self.made > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
