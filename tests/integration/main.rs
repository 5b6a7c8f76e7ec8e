//! Integration tests: the real binary on tiny sizes. One binary, so that it links once.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod careless;
mod complaints;
mod diagnostics;
mod faults;
mod fuzz;
mod gpu;
mod key_lines;
mod keys;
mod life;
mod memory;
mod mutants;
mod report;
mod settings;
mod shipped;
mod support;
