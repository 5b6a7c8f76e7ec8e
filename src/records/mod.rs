//! What runs leave behind, read again: what ran, how two runs differ, where an artifact came from,
//! what nobody needs any more, and a run in one file to be run elsewhere.
//!
//! [`PastRun`] is a run as its record tells; the rest is told from runs, actions and objects.

mod compare;
mod difference;
mod error;
mod past;
mod scores;
mod story;

pub use compare::compare;
pub use difference::{
    ArtifactDifference, FileDifference, RunDifference, ScoreDifference, SettingsDifference, TimeDifference,
    ValueDifference,
};
pub use error::RecordsError;
pub use past::{Ending, PastRun, all, find};
pub use scores::{ScoreRow, headline};
pub use story::{Story, Warning};
