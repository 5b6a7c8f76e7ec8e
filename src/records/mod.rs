//! What runs leave behind, read again: what ran, how two runs differ, where an artifact came from,
//! what nobody needs any more, and a run in one file to be run elsewhere.
//!
//! [`PastRun`] is a run as its record tells; the rest is told from runs, actions and objects.

mod archive;
mod compare;
mod damage;
mod difference;
mod error;
mod garbage;
mod get;
mod meant;
mod needs;
mod pack;
mod packed;
mod past;
mod repro;
mod scores;
mod story;
mod taught;
#[cfg(test)]
mod tests;
mod trace;

pub use compare::compare;
pub use damage::{Health, Touched, health};
pub use difference::{
    ArtifactDifference, FileDifference, RunDifference, ScoreDifference, SettingsDifference, TimeDifference,
    ValueDifference,
};
pub use error::RecordsError;
pub use garbage::{Garbage, Item, Keep, Reason, garbage};
pub use get::{Wanted, copy, empty_or_absent, wanted};
pub use pack::pack;
pub use packed::{Expected, Packed, PackedFile, Role};
pub use past::{Ending, PastRun, all, find};
pub use repro::{Other, Repetition, repetition, unpack};
pub use scores::{ScoreRow, headline};
pub use story::{Story, Warning};
pub use taught::{Made, made};
pub use trace::{Making, Trace, TraceFile, TraceInput, TraceNode, Tracer};
