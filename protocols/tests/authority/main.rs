//! Authority against a naive model of it, and against hostile bytes.
//!
//! ```text
//!   generator ──commit──> State ──effects──> mirror ─┐
//!                 └─────> Model ─────────────────────┴─ all three agree, and State::verify()
//! ```
//!
//! [`generator`] makes random commits, most of which can be, many of which cannot; [`model`] says
//! which, by brute force over lists that forget nothing; [`mirror`] is what a kernel would hold that
//! only obeys effects; [`programs`] runs them side by side and [`hostile`] gives bytes to whatever
//! reads bytes.
//!
//! `AUTHORITY_STEPS` (2,000,000) and `AUTHORITY_SEED` (1) in the environment ask for more steps, and
//! others.

mod generator;
mod hostile;
mod mirror;
mod model;
mod programs;
mod random;
