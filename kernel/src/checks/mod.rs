//! Tests that need a machine.
