//! How two runs differ: the form of the answer, as `fragua diff --json` prints it.

use serde::Serialize;
use serde_json::Value;

/// How two runs differ.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunDifference {
    /// The one run.
    pub before: String,
    /// The other.
    pub after: String,
    /// Parameters that differ.
    pub parameters: Vec<ValueDifference>,
    /// Instances that only the one run has.
    pub only_before: Vec<String>,
    /// Instances that only the other has.
    pub only_after: Vec<String>,
    /// Settings that differ, of instances that both have.
    pub settings: Vec<SettingsDifference>,
    /// Artifacts that are the same in both.
    pub equal_artifacts: usize,
    /// Artifacts that are not.
    pub artifacts: Vec<ArtifactDifference>,
    /// Scores that are the same in both.
    pub equal_scores: usize,
    /// Scores that are not.
    pub scores: Vec<ScoreDifference>,
    /// Instances that were made in other times, or with other memory.
    pub times: Vec<TimeDifference>,
    /// Facts of the machine and the program that differ.
    pub environment: Vec<ValueDifference>,
    /// Instances with the same key and another artifact: what should be the same and is not.
    pub unexplained: Vec<String>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

/// A value by name, in both runs; null where one has none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueDifference {
    /// The parameter, setting (`train.learning_rate`) or fact.
    pub name: String,
    /// In the one run.
    pub before: Value,
    /// In the other.
    pub after: Value,
}

/// The settings of one instance that differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsDifference {
    /// The instance.
    pub instance: String,
    /// The settings.
    pub fields: Vec<ValueDifference>,
}

/// An artifact that is not the same in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactDifference {
    /// The instance.
    pub instance: String,
    /// In the one run; null if it did not come to it.
    pub before: Option<String>,
    /// In the other.
    pub after: Option<String>,
    /// Files that differ; empty if one of the artifacts is not in the store any more.
    pub files: Vec<FileDifference>,
}

/// A file of an artifact that differs: its bytes in both, null where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Its path in the artifact.
    pub path: String,
    /// Bytes in the one.
    pub before: Option<u64>,
    /// Bytes in the other.
    pub after: Option<u64>,
}

/// A score that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreDifference {
    /// What was scored.
    pub generations: String,
    /// The metric.
    pub metric: String,
    /// In the one run.
    pub before: Option<f64>,
    /// In the other.
    pub after: Option<f64>,
    /// After less before, where there are both.
    pub difference: Option<f64>,
}

/// What an instance took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeDifference {
    /// The instance.
    pub instance: String,
    /// Seconds in the one run.
    pub seconds_before: f64,
    /// Seconds in the other.
    pub seconds_after: f64,
    /// The most bytes held at once, in the one run.
    pub peak_before: Option<u64>,
    /// In the other.
    pub peak_after: Option<u64>,
}
