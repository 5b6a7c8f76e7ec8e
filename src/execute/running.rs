//! A worker at an instance, and the time that it has.

use std::time::{Duration, Instant};

use super::log::Follower;
use super::slots::Need;
use super::task::{Ended, Job};
use crate::plan::Decision;
use crate::step::{Digest, Event};
use crate::store::{Attempt, Claim, Dependencies};

/// A worker at an instance.
pub(super) struct Running {
    pub key: Digest,
    pub decision: Decision,
    /// Attempts that failed before in this run.
    pub failures: u32,
    /// What it takes of the machine.
    pub need: Need,
    pub attempt: Attempt,
    pub claim: Claim,
    pub time: Time,
    pub job: Box<dyn Job>,
    pub follower: Follower,
}

impl Running {
    /// How the worker ended, once it has.
    pub fn poll(&mut self) -> Option<Ended> {
        match self.job.poll() {
            Ok(ended) => ended,
            Err(error) => {
                self.job.kill();
                Some(Ended::in_words(format!("was lost: {error}")))
            }
        }
    }

    /// What its key was made of.
    pub fn dependencies(&self) -> &Dependencies {
        let dependencies = self.decision.dependencies.as_ref();
        dependencies.expect("what runs has a key, which is made of them")
    }

    /// What it told since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.follower.next()
    }

    /// Asks it to stop after its next checkpoint, or ends it.
    pub fn stop(&mut self, now: bool) {
        if now { self.job.kill() } else { self.job.stop() }
    }

    /// Asks it to stop when its time is over, and ends it when it does not.
    pub fn keep_time(&mut self) {
        match self.time.look(Instant::now()) {
            Some(Word::Stop) => self.job.stop(),
            Some(Word::Kill) => self.job.kill(),
            None => {}
        }
    }
}

/// The time of one attempt.
#[derive(Debug)]
pub(super) struct Time {
    began: Instant,
    limit: Option<Duration>,
    grace: Duration,
    said: Option<Word>,
}

/// What an attempt is told when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Stop after a checkpoint.
    Stop,
    /// It did not within the time of grace.
    Kill,
}

impl Time {
    pub fn new(limit: Option<Duration>, grace: Duration) -> Self {
        Self {
            began: Instant::now(),
            limit,
            grace,
            said: None,
        }
    }

    /// What is to be said now, each word once.
    fn look(&mut self, now: Instant) -> Option<Word> {
        let worked = now.saturating_duration_since(self.began);
        let word = match self.said {
            None if self.limit.is_some_and(|limit| worked >= limit) => Word::Stop,
            Some(Word::Stop) if self.limit.is_some_and(|limit| worked >= limit + self.grace) => Word::Kill,
            _ => return None,
        };
        self.said = Some(word);
        Some(word)
    }

    /// How an attempt that was told to stop failed; `None` when its time was not over.
    pub fn failure(&self) -> Option<String> {
        let limit = super::death::seconds(self.limit?);
        match self.said? {
            Word::Stop => Some(format!(
                "its timeout of {limit} was over: it stopped after a checkpoint"
            )),
            Word::Kill => {
                let grace = super::death::seconds(self.grace);
                Some(format!(
                    "its timeout of {limit} was over, and it did not stop within {grace} more: it was ended"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_come_in_their_order_and_once() {
        let second = Duration::from_secs(1);
        let mut time = Time::new(Some(second * 2), second);
        let began = time.began;
        assert_eq!((time.look(began + second), time.failure()), (None, None));
        assert_eq!(time.look(began + second * 2), Some(Word::Stop));
        assert_eq!(time.look(began + second * 2), None);
        assert!(time.failure().unwrap().contains("timeout of 2 s"));
        assert_eq!(time.look(began + second * 3), Some(Word::Kill));
        assert_eq!(time.look(began + second * 9), None);
        assert!(time.failure().unwrap().contains("within 1 s"));
        let mut endless = Time::new(None, second);
        assert_eq!(endless.look(began + second * 1_000_000), None);
    }
}
