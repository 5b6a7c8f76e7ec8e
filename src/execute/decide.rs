//! Deciding about instances as what they read comes to be known.

use std::sync::Arc;

use rayon::prelude::*;

use super::coordinator::{Coordinator, Due, Slot};
use super::event::RunEvent;
use super::record::RunState;
use crate::plan::{Decision, Made, Part, State};

impl Coordinator<'_> {
    /// Decides about everything that can be decided; what is known makes more of it. Instances that
    /// wait for nothing do not depend on each other, so they are decided side by side, and the
    /// outcomes are taken in their order.
    pub(super) fn decide_all(&mut self) -> bool {
        let happened = !self.decidable.is_empty();
        while !self.decidable.is_empty() {
            let wave = std::mem::take(&mut self.decidable);
            let mut open = Vec::new();
            for index in wave {
                if !matches!(self.slots[index], Slot::Waiting) {
                    continue; // given up already, with another of its inputs
                }
                let inputs = &self.pipeline.instances[index].inputs;
                let known = inputs.iter().all(|(from, _)| self.made[*from].is_some());
                if !self.give_up(index) && known {
                    open.push(index);
                }
            }
            let (planner, made) = (&self.planner, &self.made);
            let decisions: Vec<Decision> = open.par_iter().map(|&index| planner.decide(index, made)).collect();
            for (index, decision) in open.into_iter().zip(decisions) {
                self.decided(index, decision);
            }
        }
        happened
    }

    /// Gives an instance up when something that it reads is lost. Whether it is.
    fn give_up(&mut self, index: usize) -> bool {
        let inputs = &self.pipeline.instances[index].inputs;
        let lost = inputs.iter().find(|(from, _)| {
            matches!(
                self.record.instances[*from].state,
                RunState::Failed | RunState::Blocked | RunState::Skipped
            )
        });
        let Some((from, _)) = lost else {
            return false;
        };
        let upstream = &self.record.instances[*from];
        let by = match upstream.state {
            RunState::Blocked => upstream.reasons.concat(),
            _ => upstream.name.clone(),
        };
        if self.options.choice.part(index) == Part::Needed {
            self.over(index, RunState::Skipped).reasons = vec![format!("not selected; reads {by}")];
            return true;
        }
        self.over(index, RunState::Blocked).reasons = vec![by.clone()];
        let instance = self.pipeline.instances[index].name.clone();
        self.tell(&RunEvent::Blocked { instance, by });
        true
    }

    fn decided(&mut self, index: usize, decision: Decision) {
        for message in &decision.warnings {
            self.warn(index, message.clone());
        }
        let record = &mut self.record.instances[index];
        record.key = decision.planned.key.as_ref().map(ToString::to_string);
        record.reasons.clone_from(&decision.planned.reasons);
        match (decision.planned.state, &decision.made) {
            (State::Cached, Some(made)) => self.cached(index, made.clone()),
            (State::Skipped, _) => {
                self.over(index, RunState::Skipped);
            }
            (State::Run, _) if self.was_made_now(&decision) => {
                let made = decision.planned.key.as_ref().and_then(|key| self.planner.look_up(key));
                match made {
                    Some(made) => self.cached(index, made),
                    None => self.failed(
                        index,
                        "what was just made is gone from the store: run again".into(),
                        None,
                    ),
                }
            }
            (State::Run, _) => self.line_up(
                index,
                Due {
                    decision,
                    failures: 0,
                    told: false,
                },
            ),
            _ => self.failed(index, decision.planned.reasons.join("; "), None),
        }
    }

    /// Whether it is to run again although it is known, and was run in this run: an equal instance
    /// was forced as well.
    fn was_made_now(&self, decision: &Decision) -> bool {
        let key = decision.planned.key.as_ref();
        decision.before.is_some() && key.is_some_and(|key| self.made_now.contains(key))
    }

    /// An instance's result is in the store.
    pub(super) fn cached(&mut self, index: usize, made: Arc<Made>) {
        let digest = made.object.digest.to_string();
        let record = self.over(index, RunState::Cached);
        record.digest = Some(digest.clone());
        record.seconds = Some(made.action.seconds);
        record.peak_bytes = made.action.peak_bytes;
        self.made[index] = Some(made);
        let instance = self.pipeline.instances[index].name.clone();
        let kind = self.pipeline.instances[index].kind.name;
        self.tell(&RunEvent::Cached { instance, kind, digest });
    }
}
