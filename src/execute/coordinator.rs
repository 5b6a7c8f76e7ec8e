//! The coordinator: decides what has its inputs, starts what is due, watches what runs, enters what
//! is done.
//!
//! Each instance moves on when something happens to it: the last of its inputs is made, there is
//! room for it, its worker ends. So a run costs what happens in it, not its size times its length.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::event::RunEvent;
use super::record::{InstanceRecord, RunRecord, RunState};
use super::run::{ExecuteError, Options};
use super::running::Running;
use super::slots::{Need, Slots};
use super::task::Launcher;
use super::timeline::TimeLine;
use crate::pipeline::Pipeline;
use crate::plan::{Decision, Made, Part, Planner};
use crate::step::{Digest, Event};
use crate::store::{Store, write_json};

/// How often workers are looked at: soon after something happened, then less and less.
const TICKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(15)];

/// How often the work of another run is looked at.
const ANOTHER_RUN: Duration = Duration::from_millis(100);

/// How often the record is written while the run goes on. What happens between is in its events.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// Where an instance is.
pub(super) enum Slot {
    /// Its inputs are not all known, or nobody has decided about it yet.
    Waiting,
    /// It must run, and nobody works on it yet, or somebody else does.
    Due(Box<Due>),
    /// A worker is at it.
    Running(Box<Running>),
    /// Its record says how it came out.
    Over,
}

/// An instance that must run.
pub(super) struct Due {
    pub decision: Decision,
    /// Attempts that failed in this run.
    pub failures: u32,
    /// Whether the user knows that somebody else works on it.
    pub told: bool,
}

pub(super) struct Coordinator<'a> {
    pub pipeline: &'a Pipeline,
    pub store: &'a Store,
    pub options: &'a Options<'a>,
    pub planner: Planner<'a>,
    /// What is known of each instance.
    pub made: Vec<Option<Arc<Made>>>,
    pub record: RunRecord,
    pub slots: Vec<Slot>,
    /// How many of the instances that it reads are not over, and who reads it.
    missing: Vec<usize>,
    readers: Vec<Vec<usize>>,
    /// To be decided: all that they read is over.
    pub decidable: BTreeSet<usize>,
    /// To be started: how long the way to the end is, longest first, then the file's order.
    pub due: BTreeSet<(std::cmp::Reverse<u64>, usize)>,
    /// The ways to the end, once something must run.
    remaining: Option<Vec<u64>>,
    /// Another run works on the same thing; when to look again.
    pub busy: BTreeMap<usize, Instant>,
    /// A worker of this run is at the same key.
    pub twins: BTreeMap<Digest, Vec<usize>>,
    /// Keys whose work was done in this run.
    pub made_now: BTreeSet<Digest>,
    pub running: BTreeSet<usize>,
    pub free: Slots,
    /// Steps that were told that they ask for more than there is.
    told_beyond: BTreeSet<String>,
    /// How often the user asked to stop.
    pub stops: u32,
    /// Whether something failed.
    pub failed: bool,
    /// What workers recorded.
    time_line: TimeLine,
    /// Hears what happens.
    listener: &'a mut dyn FnMut(&RunEvent),
    /// Everything told but progress, for the run's folder.
    events: BufWriter<File>,
    /// Where the record is, when it was last written, and whether it has changed since.
    path: PathBuf,
    written: Instant,
    changed: bool,
}

impl<'a> Coordinator<'a> {
    /// Before anything is decided. `folder` is the run's, with its record and its `events`.
    pub fn new(
        pipeline: &'a Pipeline,
        store: &'a Store,
        options: &'a Options<'a>,
        mut record: RunRecord,
        events: File,
        folder: &Path,
        listener: &'a mut dyn FnMut(&RunEvent),
    ) -> Self {
        let count = pipeline.instances.len();
        let (mut missing, mut readers) = (vec![0; count], vec![Vec::new(); count]);
        for (index, instance) in pipeline.instances.iter().enumerate() {
            let reads: BTreeSet<usize> = instance.inputs.iter().map(|(from, _)| *from).collect();
            missing[index] = reads.len();
            for from in reads {
                readers[from].push(index);
            }
        }
        let mut slots: Vec<Slot> = (0..count).map(|_| Slot::Waiting).collect();
        for index in (0..count).filter(|&index| options.choice.part(index) == Part::Skipped) {
            // nothing that is wanted depends on it
            slots[index] = Slot::Over;
            record.instances[index].state = RunState::Skipped;
        }
        Self {
            pipeline,
            store,
            options,
            planner: Planner::new(pipeline, store, options.device).choosing(options.choice.clone()),
            made: vec![None; count],
            record,
            slots,
            decidable: (0..count).filter(|&index| missing[index] == 0).collect(),
            made_now: BTreeSet::new(),
            missing,
            readers,
            due: BTreeSet::new(),
            remaining: None,
            busy: BTreeMap::new(),
            twins: BTreeMap::new(),
            running: BTreeSet::new(),
            free: Slots::of(options),
            told_beyond: BTreeSet::new(),
            stops: 0,
            failed: false,
            time_line: TimeLine::of(folder),
            listener,
            events: BufWriter::new(events),
            path: folder.join(RunRecord::FILE),
            written: Instant::now(),
            changed: false,
        }
    }

    /// Until nothing runs and nothing can. Whether work is left.
    pub fn work(&mut self, launcher: &mut dyn Launcher) -> Result<bool, ExecuteError> {
        let mut tick = TICKS[0];
        loop {
            let mut happened = self.hear_stops();
            happened |= self.decide_all();
            happened |= self.start_due(launcher);
            happened |= self.look_at_busy();
            happened |= self.watch();
            self.keep_record();
            if happened {
                tick = TICKS[0];
                continue;
            }
            let may_begin = self.begins() && !(self.due.is_empty() && self.busy.is_empty());
            if self.running.is_empty() && !may_begin {
                self.events.flush().ok();
                let left = self.slots.iter().any(|slot| !matches!(slot, Slot::Over));
                return Ok(left || self.record.count(RunState::Interrupted) > 0);
            }
            std::thread::sleep(tick);
            tick = (tick * 2).min(TICKS[1]);
        }
    }

    /// Whether new work may begin: not after a request to stop, and not after a failure unless the
    /// user wants all that can be had.
    pub fn begins(&self) -> bool {
        self.stops == 0 && (self.options.keep_going || !self.failed)
    }

    fn hear_stops(&mut self) -> bool {
        let asked = self.options.stops.load(Ordering::Relaxed).min(2);
        let heard = self.stops < asked;
        while self.stops < asked {
            self.stops += 1;
            let now = self.stops == 2;
            self.tell(&RunEvent::Stopping { now });
            for slot in &mut self.slots {
                if let Slot::Running(running) = slot {
                    running.stop(now);
                }
            }
        }
        heard
    }

    /// Hears the workers, ends those whose time is over, and takes in what the ended ones left.
    fn watch(&mut self) -> bool {
        let mut happened = false;
        for index in self.running.clone() {
            let Slot::Running(running) = &mut self.slots[index] else {
                continue;
            };
            let mut events = running.events();
            running.keep_time();
            let ended = running.poll();
            if ended.is_some() {
                events.extend(running.events()); // what it told before its end
            }
            for event in events {
                self.forward(index, event);
            }
            let Some(ended) = ended else { continue };
            happened = true;
            let Slot::Running(running) = std::mem::replace(&mut self.slots[index], Slot::Waiting) else {
                continue;
            };
            self.running.remove(&index);
            self.free.give_back(&running.need);
            let key = running.key.clone();
            self.finish(index, *running, &ended);
            self.decidable.extend(self.twins.remove(&key).into_iter().flatten());
        }
        happened
    }

    /// Puts an instance that must run into the line.
    pub fn line_up(&mut self, index: usize, due: Due) {
        self.slots[index] = Slot::Due(Box::new(due));
        if self.remaining.is_none() {
            let seconds = self.planner.earlier_seconds();
            self.remaining = Some(super::priority::remaining(self.pipeline, &seconds));
        }
        let way = self.remaining.as_ref().map_or(0, |remaining| remaining[index]);
        self.due.insert((std::cmp::Reverse(way), index));
    }

    /// What an instance takes; tells once a step what it asks for beyond what there is.
    pub fn need(&mut self, index: usize) -> Need {
        let instance = &self.pipeline.instances[index];
        let (need, beyond) = Slots::of(self.options).need(instance, self.options.jobs, self.options.device);
        if !beyond.is_empty() && self.told_beyond.insert(instance.step.clone()) {
            for message in beyond {
                self.warn(index, message);
            }
        }
        need
    }

    /// When to look again at the work of another run.
    pub fn look_later(&mut self, index: usize) {
        self.busy.insert(index, Instant::now() + ANOTHER_RUN);
    }

    /// An instance came out: what reads it goes on.
    pub fn over(&mut self, index: usize, state: RunState) -> &mut InstanceRecord {
        self.slots[index] = Slot::Over;
        self.changed = true;
        let lost = !matches!(state, RunState::Cached | RunState::Executed);
        for &reader in &self.readers[index] {
            self.missing[reader] -= 1;
            // one lost input decides it
            if self.missing[reader] == 0 || lost {
                self.decidable.insert(reader);
            }
        }
        let record = &mut self.record.instances[index];
        record.state = state;
        record
    }

    /// Takes what a worker recorded into the run's time line.
    pub fn record_time(&mut self, index: usize, attempt: &Path) {
        let instance = &self.pipeline.instances[index].name;
        if let Err(error) = self.time_line.take_in(attempt, index + 1, instance) {
            self.warn(index, format!("its time line is lost: {error}; nothing depends on it"));
        }
    }

    /// Ends the run's time line; its file, if there is something in it.
    pub fn end_time_line(&mut self) -> Option<String> {
        match self.time_line.close() {
            Ok(path) => path.map(|path| path.display().to_string()),
            Err(error) => {
                let message = format!("the time line is lost: {error}; nothing depends on it");
                self.tell(&RunEvent::Warning {
                    instance: None,
                    message,
                });
                None
            }
        }
    }

    pub fn warn(&mut self, index: usize, message: String) {
        let instance = Some(self.pipeline.instances[index].name.clone());
        self.tell(&RunEvent::Warning { instance, message });
    }

    fn forward(&mut self, index: usize, event: Event) {
        let instance = self.pipeline.instances[index].name.clone();
        self.tell(&RunEvent::Worker { instance, event });
    }

    pub fn tell(&mut self, event: &RunEvent) {
        let passing = matches!(
            event,
            RunEvent::Worker {
                event: Event::Progress { .. },
                ..
            }
        );
        if !passing {
            writeln!(self.events, "{}", event.to_json()).ok(); // the record counts; this is only its story
        }
        (self.listener)(event);
    }

    /// Writes the record now and then. That it cannot be written is an error at the run's end only:
    /// what the workers do meanwhile is kept anyway.
    fn keep_record(&mut self) {
        self.events.flush().ok();
        if self.changed && self.written.elapsed() >= RECORD_EVERY {
            write_json(&self.path, &self.record).ok();
            self.written = Instant::now();
            self.changed = false;
        }
    }
}
