//! What a worker tells while it works: JSON lines, read by the coordinator.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of a worker's event file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// How far the work is: `done` of `total` (0: unknown) in `unit`s ("updates", "samples").
    Progress {
        done: u64,
        total: u64,
        unit: String,
        /// What the line shows besides: `loss 2.31, 7,120 tok/s`.
        message: String,
    },
    /// Measured values at a point of the work, for the record of the run (speeds, losses).
    Metric { step: u64, values: Map<String, Value> },
    /// A fact worth a line: `20,000 rows, 12 duplicates removed`.
    Info { message: String },
    /// Something the user should look at; the work goes on.
    Warning { message: String },
}
