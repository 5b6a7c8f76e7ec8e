//! Integration tests: the real binary on tiny sizes. One binary, so that it links once.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod bombs;
#[cfg(target_os = "linux")]
mod campaign;
mod careless;
mod chat;
mod complaints;
mod courses;
mod diagnostics;
#[cfg(unix)]
mod disks;
mod faults;
mod fuzz;
mod gpu;
mod imports;
mod inspect;
mod key_lines;
mod keys;
mod language;
mod life;
mod lora;
mod memory;
mod memory_plan;
mod mutants;
mod planning;
mod profile;
mod records;
mod report;
mod score;
mod settings;
mod shipped;
mod support;
#[cfg(target_os = "linux")]
mod terminals;
mod tokenize;
#[cfg(target_os = "linux")]
mod workers;
