//! What to begin first: the longest way to the end.

use crate::pipeline::Pipeline;

/// How long it takes from the beginning of each instance to the end of what depends on it, when
/// nothing has to wait: microseconds, so that they can be ordered. `seconds` is what each took
/// before; one that never ran counts as a second.
pub(super) fn remaining(pipeline: &Pipeline, seconds: &[Option<f64>]) -> Vec<u64> {
    let mut remaining = vec![0u64; pipeline.instances.len()];
    // the pipeline's order is topological: whoever reads an instance is behind it
    for index in (0..remaining.len()).rev() {
        remaining[index] = remaining[index].saturating_add(microseconds(seconds[index].unwrap_or(1.0)));
        for (from, _) in &pipeline.instances[index].inputs {
            remaining[*from] = remaining[*from].max(remaining[index]);
        }
    }
    remaining
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut to the range of the integer"
)]
fn microseconds(seconds: f64) -> u64 {
    // at least one, so that a chain of quick ones still counts its links
    (seconds * 1e6).max(1.0) as u64
}
