//! What nobody needs any more.
//!
//! Kept are: runs in flight, runs that the user named, the latest runs of each pipeline and the latest
//! one that was done; with them every artifact and entry that they knew. Kept is also what unfinished
//! work could go on from, and what that work reads. Everything else can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::needs::Needs;
use super::{Ending, PastRun, RecordsError, all};
use crate::execute::{Exit, Task, WorkOutcome};
use crate::step::Digest;
use crate::store::{Action, Store, Sweep, Work};

/// How much to keep.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// So many of the latest runs of each pipeline.
    pub last: usize,
    /// Runs that began less than this ago.
    pub younger_than: Option<Duration>,
    /// Unfinished work that nothing has touched for so long is given up; without this, none is.
    pub give_up: Option<Duration>,
}

/// What can go, and why.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Garbage {
    /// Runs that stay, each with the reason.
    pub kept_runs: Vec<Reason>,
    /// Runs that go.
    pub runs: Vec<Reason>,
    /// Artifacts that go: no kept run made or used them, and no unfinished work reads them.
    pub objects: Vec<Item>,
    /// Attempts that go: checkpoints and logs.
    pub attempts: Vec<Item>,
    /// Bytes of unfinished work that stays.
    pub unfinished_bytes: u64,
    /// Entries that go, by their keys.
    pub entries: usize,
    /// Half-written files that killed processes left.
    pub leftovers: usize,
    /// All bytes.
    pub bytes: u64,
    #[serde(skip)]
    sweep: Sweep,
}

/// A run, and why it stays or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The run.
    pub run: String,
    /// The name that the user gave it.
    pub name: Option<String>,
    /// Its pipeline; empty if its record was never written.
    pub pipeline: String,
    /// Why.
    pub why: String,
}

/// Something that takes room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The object's digest, or the attempt's key.
    pub digest: Digest,
    /// The kind of step that made it, as far as it is known.
    pub kind: Option<String>,
    /// The instance that asked first, as far as it is known.
    pub instance: Option<String>,
    /// Bytes.
    pub bytes: u64,
    /// Why it goes.
    pub why: &'static str,
}

impl Garbage {
    /// Whether there is anything to delete.
    pub fn is_empty(&self) -> bool {
        self.sweep == Sweep::default()
    }

    /// Deletes it. The store is one's own since before this was found out.
    ///
    /// # Errors
    /// When something cannot be removed; what is left is whole.
    pub fn delete(&self, store: &Store) -> Result<(), RecordsError> {
        Ok(store.sweep(&self.sweep)?)
    }
}

/// Finds what nobody needs. Nothing is deleted.
///
/// # Errors
/// When a record cannot be read: then it cannot be known what is needed.
pub fn garbage(store: &Store, keep: &Keep) -> Result<Garbage, RecordsError> {
    let mut found = Garbage::default();
    let runs = all(store)?;
    let kept = choose(store, &runs, keep, &mut found)?;
    let mut needs = Needs::new(store)?;
    for run in &kept {
        needs.run(run);
    }
    let work = store.work()?;
    let resumed = unfinished(&work, &mut needs, keep, &mut found);
    needs.follow();

    let made_by: BTreeMap<&Digest, &Action> = needs.actions.iter().map(|action| (&action.output, action)).collect();
    for object in store.objects()? {
        if needs.objects.contains(&object) {
            continue;
        }
        let action = made_by.get(&object);
        found.objects.push(Item {
            kind: action.map(|action| action.dependencies.kind.clone()),
            instance: action.map(|action| action.instance.clone()),
            bytes: store.object_bytes(&object),
            digest: object,
            why: "no kept run has it",
        });
    }
    for one in &work {
        let finished = needs.entry(&one.key).is_some();
        // a key that a kept run mentions keeps its log, finished or failed
        if resumed.contains(&one.key) || needs.keys.contains(&one.key) || one.in_flight {
            continue;
        }
        found.attempts.push(Item {
            digest: one.key.clone(),
            kind: needs.entry(&one.key).map(|action| action.dependencies.kind.clone()),
            instance: needs.entry(&one.key).map(|action| action.instance.clone()),
            bytes: one.bytes,
            why: match (finished, one.has_checkpoints) {
                (true, _) => "the log of an entry that goes",
                (false, true) => "unfinished, and given up",
                (false, false) => "the log of a failure that no kept run has",
            },
        });
    }
    let entries = store.entry_keys()?;
    found.sweep = Sweep {
        runs: found.runs.iter().map(|one| one.run.clone()).collect(),
        actions: entries.into_iter().filter(|key| !needs.keys.contains(key)).collect(),
        attempts: found.attempts.iter().map(|one| one.digest.clone()).collect(),
        objects: found.objects.iter().map(|one| one.digest.clone()).collect(),
        leftovers: store.leftovers()?,
    };
    found.entries = found.sweep.actions.len();
    found.leftovers = found.sweep.leftovers.len();
    found.bytes = found.objects.iter().chain(&found.attempts).map(|one| one.bytes).sum();
    Ok(found)
}

/// Says of every run whether it stays, and gives those that do.
fn choose<'a>(
    store: &Store,
    runs: &'a [PastRun],
    keep: &Keep,
    found: &mut Garbage,
) -> Result<Vec<&'a PastRun>, RecordsError> {
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut kept = Vec::new();
    for run in runs.iter().rev() {
        let pipeline = run.record.pipeline.as_str();
        let number = latest.entry(pipeline).or_default();
        *number += 1;
        let last_done = run.ending() == Ending::Done && done.insert(pipeline) && keep.last > 0;
        let why = if run.in_flight {
            Some("in flight".to_owned())
        } else if run.record.name.is_some() {
            Some("named".into())
        } else if *number <= keep.last {
            Some(format!("of the last {} of its pipeline", keep.last))
        } else if last_done {
            Some("the last of its pipeline that was done".into())
        } else if keep.younger_than.is_some_and(|age| is_younger(run, age)) {
            Some("young enough".into())
        } else {
            None
        };
        let reason = |why: String| Reason {
            run: run.record.run.clone(),
            name: run.record.name.clone(),
            pipeline: pipeline.to_owned(),
            why,
        };
        match why {
            Some(why) => {
                found.kept_runs.push(reason(why));
                kept.push(run);
            }
            None => found
                .runs
                .push(reason(format!("not named, and {} newer of its pipeline", *number - 1))),
        }
    }
    let recorded: BTreeSet<&str> = runs.iter().map(|run| run.record.run.as_str()).collect();
    for run in store.runs()? {
        if !recorded.contains(run.as_str()) && !store.is_in_flight(&run) {
            found.runs.push(Reason {
                name: store.name_of_run(&run),
                run,
                pipeline: String::new(),
                why: "killed before it wrote its record".into(),
            });
        }
    }
    Ok(kept)
}

fn is_younger(run: &PastRun, age: Duration) -> bool {
    let started: Result<Timestamp, _> = run.record.started.parse();
    // a time that cannot be read is no reason to delete
    started.map_or(true, |started| {
        let since = Timestamp::now().duration_since(started);
        Duration::try_from(since).unwrap_or_default() < age
    })
}

/// The keys of unfinished work that stays; what it reads, and what it made without entering it, is
/// needed.
fn unfinished(work: &[Work], needs: &mut Needs, keep: &Keep, found: &mut Garbage) -> BTreeSet<Digest> {
    let mut resumed = BTreeSet::new();
    for one in work {
        if needs.entry(&one.key).is_some() {
            continue;
        }
        let exits = one.attempts.iter().filter_map(|attempt| {
            let text = std::fs::read(attempt.path.join(Exit::FILE)).ok()?;
            serde_json::from_slice::<Exit>(&text).ok()
        });
        // a success that nobody lived to enter: the next run does
        let made: Vec<Digest> = exits
            .filter(|exit| exit.outcome == WorkOutcome::Succeeded)
            .map(|exit| exit.outputs.digest())
            .collect();
        let age = SystemTime::now().duration_since(one.touched).unwrap_or_default();
        let given_up = keep.give_up.is_some_and(|limit| age >= limit) && !needs.keys.contains(&one.key);
        let resumable = one.has_checkpoints || !made.is_empty();
        if !(resumable && !given_up || one.in_flight) {
            continue;
        }
        found.unfinished_bytes += one.bytes;
        resumed.insert(one.key.clone());
        needs.objects.extend(made);
        for attempt in &one.attempts {
            let text = std::fs::read(attempt.path.join(Task::FILE)).ok();
            let task = text.and_then(|text| serde_json::from_slice::<Reads>(&text).ok());
            let task = task.unwrap_or_default();
            let inputs = task.inputs.into_values().filter_map(|input| input.digest);
            let ancestors = task.lineage.into_iter().filter_map(|one| one.digest);
            needs.all_that_leads_to(inputs.chain(ancestors).collect());
        }
    }
    resumed
}

/// What an attempt reads, of its task: no more, so that a task of another version is understood too.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reads {
    inputs: BTreeMap<String, Content>,
    lineage: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    digest: Option<Digest>,
}
