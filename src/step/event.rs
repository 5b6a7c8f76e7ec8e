//! What a worker tells while it works: JSON lines, read by the coordinator.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of a worker's event file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// How far the work is: `done` of `total` units ("updates", "samples").
    Progress {
        /// Units done.
        done: u64,
        /// Units in all; 0 when not known.
        total: u64,
        /// What is counted, in the plural.
        unit: String,
        /// What the line shows besides: `loss 2.31, 7,120 tok/s`.
        message: String,
    },
    /// Measured values at a point of the work, for the record of the run (speeds, losses).
    Metric {
        /// The point: an update.
        step: u64,
        /// Values by name.
        values: Map<String, Value>,
    },
    /// A fact worth a line: `20,000 rows, 12 duplicates removed`.
    Info {
        /// The fact.
        message: String,
    },
    /// Something the user should look at; the work goes on.
    Warning {
        /// The fact and the next move.
        message: String,
    },
}
