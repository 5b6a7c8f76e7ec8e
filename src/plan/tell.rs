//! The reasons of an instance, as sentences.

use std::sync::Arc;

use super::Planned;
use super::build::Compared;
use super::decide::{Made, Planner};
use super::history::Nearest;
use super::reason::{Difference, differences_from};
use crate::store::Dependencies;

/// How many reasons one instance shows; [`Planned::differences`] has all.
const SHOWN: usize = 6;

impl Planner<'_> {
    /// Why it must run: the differences from the nearest earlier action, each with its cause.
    pub(super) fn tell_reasons(
        &self,
        planned: &mut Planned,
        index: usize,
        made: &[Option<Arc<Made>>],
        now: &Dependencies,
        pending: &[String],
    ) {
        let instance = &self.pipeline.instances[index];
        let is_step = |name: &str| self.steps.contains(name);
        let Some(Nearest { action, own }) = self.history().nearest(instance, now, pending, &is_step) else {
            planned.reasons.push("never run".into());
            return;
        };
        let mut found = differences_from(action, now, &instance.origins.seed, pending);
        self.tell_causes(index, made, &mut found);
        planned.reasons.extend(shown(&found));
        if !own {
            planned
                .reasons
                .push(format!("compared with `{}`: it never ran itself", action.instance));
        }
        planned.compared_with = Some(Compared {
            instance: action.instance.clone(),
            key: action.key.clone(),
            finished: action.finished.clone(),
        });
        planned.differences = found;
    }
}

/// The sentences, so many as a line can hold.
fn shown(found: &[Difference]) -> Vec<String> {
    let mut texts: Vec<String> = found.iter().take(SHOWN).map(|one| one.text.clone()).collect();
    if found.len() > SHOWN {
        texts.push(format!("{} more differences", found.len() - SHOWN));
    }
    texts
}
