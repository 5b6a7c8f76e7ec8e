//! How long instances took before.

use std::collections::HashMap;

use super::Planner;
use crate::store::Action;

impl Planner<'_> {
    /// Seconds that the latest earlier work of each instance took, or of its step; `None` of what
    /// never ran.
    pub fn earlier_seconds(&self) -> Vec<Option<f64>> {
        let (mut instances, mut steps) = (HashMap::new(), HashMap::new());
        for action in self.history() {
            keep_latest(&mut instances, &action.instance, action);
            keep_latest(&mut steps, &action.step, action);
        }
        let of = |latest: &HashMap<&str, &Action>, name: &str| latest.get(name).map(|action| action.seconds);
        let all = self.pipeline.instances.iter();
        all.map(|one| of(&instances, &one.name).or_else(|| of(&steps, &one.step)))
            .collect()
    }
}

fn keep_latest<'a>(latest: &mut HashMap<&'a str, &'a Action>, name: &'a str, action: &'a Action) {
    let kept = latest.entry(name).or_insert(action);
    if action.finished > kept.finished {
        *kept = action;
    }
}
