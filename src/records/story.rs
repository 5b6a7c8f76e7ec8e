//! What a run told while it went on, from its `events.jsonl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::{Deserialize, Serialize};

use super::PastRun;

/// What of a run's events is worth telling afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The attempts that the run made at each instance, by their numbers.
    pub attempts: BTreeMap<String, Vec<u32>>,
    /// Warnings, in the order in which they were told.
    pub warnings: Vec<Warning>,
}

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The instance that it is about, if one.
    pub instance: Option<String>,
    /// What.
    pub message: String,
}

/// A line of the file, as far as it is needed.
#[derive(Deserialize)]
struct Line {
    event: String,
    instance: Option<String>,
    attempt: Option<u32>,
    message: Option<String>,
}

impl PastRun {
    /// What it told. A line that cannot be read is left out: the last one, of a run that was killed.
    pub fn story(&self) -> Story {
        let mut story = Story::default();
        let Ok(file) = File::open(self.folder.join("events.jsonl")) else {
            return story;
        };
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<Line>(&line) else {
                continue;
            };
            match (line.event.as_str(), line.instance, line.attempt, line.message) {
                ("running", Some(instance), Some(attempt), _) => {
                    story.attempts.entry(instance).or_default().push(attempt);
                }
                ("warning", instance, _, Some(message)) => story.warnings.push(Warning { instance, message }),
                _ => {}
            }
        }
        story
    }
}
