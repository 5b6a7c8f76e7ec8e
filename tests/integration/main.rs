//! Integration tests: the real binary on tiny sizes. One binary, so that it links once.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod complaints;
mod diagnostics;
mod faults;
mod gpu;
mod life;
mod shipped;
mod support;
