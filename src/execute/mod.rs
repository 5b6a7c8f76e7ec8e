//! Runs a plan: scheduler, worker protocol, launchers, the record of a run.
//!
//! [`run`] is the coordinator: it holds the graph and the decisions, and writes one [`Task`] for each
//! instance that must run. A worker process ([`work`]) reads the task, does the step's work, writes
//! events while it works and an [`Exit`] record at its end. The coordinator verifies what the record
//! lists, puts it into the store and enters the action. A [`Launcher`] is the way to start a worker.

mod coordinator;
mod death;
mod decide;
mod environment;
mod event;
mod export;
mod finish;
mod local;
mod log;
mod priority;
mod record;
mod resolved;
mod run;
mod running;
mod slots;
mod start;
mod task;
mod timeline;
mod worker;

pub use environment::Facts;
pub use event::RunEvent;
pub use export::without_facts;
pub use local::Local;
pub use record::{InstanceRecord, Outcome, RunRecord, RunState};
pub use resolved::{KeptSource, Resolved, ResolvedInstance};
pub use run::{ExecuteError, Options, run};
pub use slots::memory_of_the_machine;
pub use task::{Ended, Exit, Job, Launcher, Task, WorkOutcome};
pub use timeline::TIME_LINE;
pub use worker::work;

#[cfg(test)]
mod tests;
