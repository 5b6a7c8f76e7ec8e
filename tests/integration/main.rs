//! Integration tests: the real binary on tiny sizes. One binary, so that it links once.

mod diagnostics;
mod faults;
mod gpu;
mod life;
mod shipped;
mod support;
