//! A worker: one process that does one attempt at one instance.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::task::{Exit, Task, WorkOutcome};
use super::timeline::RECORD;
use crate::profile;
use crate::seed::Seed;
use crate::step::{Context, Digest, Event, Interrupted, Key, KeyError, Kind, Known, Redaction, Step};
use crate::store::{Holder, Manifest, advice_on_room, sync_tree, write_json};

/// Set by the coordinator's word.
static STOP: AtomicBool = AtomicBool::new(false);

/// Progress is for a screen: more often than this nobody sees it, and the file only grows.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Where a step's events go.
type Sink = Box<dyn Fn(Event) + Send + Sync>;

/// Does the work of an attempt's folder. The answer is in the exit record; what is returned says
/// only whether one could be written.
///
/// # Errors
/// When the task cannot be read or the exit record cannot be written.
pub fn work(attempt: &Path, kinds: &'static [Kind]) -> anyhow::Result<WorkOutcome> {
    watch_coordinator();
    let start = Instant::now();
    let path = attempt.join(Task::FILE);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let task: Task = serde_json::from_slice(&text).with_context(|| format!("{} is not a task", path.display()))?;
    let sink = event_file(attempt, Redaction::of(&task.settings))?;
    // the coordinator has set RAYON_NUM_THREADS as well; this holds for a worker started by hand
    rayon::ThreadPoolBuilder::new()
        .num_threads(task.threads)
        .build_global()
        .ok();
    let number = task.attempt;
    // messages may hold what settings took from the environment
    let redaction = Redaction::of(&task.settings);
    if !redaction.is_empty() {
        let redaction = redaction.clone();
        panic::set_hook(Box::new(move |panic| {
            writeln!(io::stderr(), "{}", redaction.clean(&panic.to_string())).ok();
        }));
    }
    if task.profile {
        let path = attempt.join(RECORD);
        profile::start(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut alone = None; // until the exit record is written
    let work = AssertUnwindSafe(|| {
        alone = Some(wait_for_earlier_worker(&task.checkpoints, &sink)?);
        perform(attempt, task, sink, kinds)
    });
    let (outcome, outputs) = match panic::catch_unwind(work) {
        Ok(Ok(manifest)) => (WorkOutcome::Succeeded, manifest),
        Ok(Err(error)) if error.is::<Interrupted>() => (WorkOutcome::Interrupted, Manifest::default()),
        Ok(Err(error)) => {
            let advice = advice_on_room(error.as_ref()).unwrap_or_default();
            (
                failed(redaction.clean(&format!("{error:#}{advice}"))),
                Manifest::default(),
            )
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            let message = format!("the step panicked: {}", said.unwrap_or("without a message"));
            (failed(redaction.clean(&message)), Manifest::default())
        }
    };
    let exit = Exit {
        attempt: number,
        outcome: outcome.clone(),
        outputs,
        seconds: start.elapsed().as_secs_f64(),
        peak_bytes: profile::peak_bytes("self"),
    };
    write_json(&attempt.join(Exit::FILE), &exit)?;
    drop(alone);
    Ok(outcome)
}

fn failed(message: String) -> WorkOutcome {
    WorkOutcome::Failed { message }
}

/// Runs the step and lists what it wrote, flushed to the disk.
fn perform(attempt: &Path, task: Task, sink: Sink, kinds: &'static [Kind]) -> anyhow::Result<Manifest> {
    let kind = kinds
        .iter()
        .find(|kind| kind.name == task.kind)
        .ok_or_else(|| anyhow!("this fragua has no kind `{}`", task.kind))?;
    let step = (kind.parse)(&task.settings)
        .map_err(|problem| anyhow!("settings do not parse: {}: {}", problem.path.join("."), problem.message))?;
    let seed = match &task.seed {
        Some(hex) => Seed::from_hex(hex).context("the task's seed is not 64 hexadecimal digits")?,
        None => Seed::root(0), // the context refuses to give it
    };
    let out = attempt.join("out");
    let digests: BTreeMap<String, Digest> = task
        .inputs
        .values()
        .filter_map(|input| Some((input.text.clone(), input.digest.clone()?)))
        .collect();
    let context = Context {
        out: out.clone(),
        checkpoints: task.checkpoints,
        threads: task.threads,
        inputs: task.inputs,
        lineage: task.lineage,
        pipeline: task.pipeline,
        needs: step.needs(),
        seed,
        device: task.device,
        sink,
        stop: &STOP,
    };
    {
        let _step = profile::span("step", kind.name);
        step.run(&context)?;
    }
    match profile::finish() {
        Ok(Some(recorded)) if recorded.cut => {
            let lines = recorded.lines;
            context.warn(format!(
                "the time line has the first {lines} events; the work went on after them"
            ));
        }
        Ok(_) => {}
        Err(error) => context.warn(format!("the time line is not whole: {error}; nothing depends on it")),
    }
    let changed = changed_fields(step.as_ref(), &task.fields, &digests)?;
    if !changed.is_empty() {
        bail!("{} changed while the step ran: run again", changed.join(", "));
    }
    sync_tree(&out)?;
    let manifest = Manifest::of_folder(&out)?;
    if manifest.files.is_empty() {
        bail!("the step wrote no files: a defect of kind `{}`", kind.name);
    }
    Ok(manifest)
}

/// The fields of the key that are no longer what the coordinator read: contents of files.
fn changed_fields(
    step: &dyn Step,
    before: &BTreeMap<String, Value>,
    digests: &BTreeMap<String, Digest>,
) -> Result<Vec<String>, KeyError> {
    let known = |text: &str| {
        digests
            .get(text)
            .map_or(Known::Pending, |digest| Known::Digest(digest.clone()))
    };
    let mut key = Key::new(&known);
    step.key(&mut key)?;
    let (now, _) = key.finish();
    let names = now.keys().chain(before.keys().filter(|name| !now.contains_key(*name)));
    Ok(names
        .filter(|name| now.get(*name) != before.get(*name))
        .cloned()
        .collect())
}

/// The sink of events: a line each, written at once.
fn event_file(attempt: &Path, redaction: Redaction) -> anyhow::Result<Sink> {
    let path = attempt.join("events.jsonl");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let state = Mutex::new((file, None::<Instant>));
    Ok(Box::new(move |event| {
        let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Event::Progress { done, total, .. } = &event {
            let soon = state.1.is_some_and(|last| last.elapsed() < PROGRESS_EVERY);
            if soon && done != total {
                return;
            }
            state.1 = Some(Instant::now());
        }
        let event = match event {
            Event::Progress {
                done,
                total,
                unit,
                message,
            } => {
                let message = redaction.clean(&message);
                Event::Progress {
                    done,
                    total,
                    unit,
                    message,
                }
            }
            Event::Info { message } => Event::Info {
                message: redaction.clean(&message),
            },
            Event::Warning { message } => Event::Warning {
                message: redaction.clean(&message),
            },
            metric @ Event::Metric { .. } => metric,
        };
        let mut line = serde_json::to_vec(&event).expect("an event is plain values");
        line.push(b'\n');
        state.0.write_all(&line).ok(); // a full disk must not end the work; the exit record will tell
    }))
}

/// Listens to the coordinator. When its end of the pipe closes, it is gone, and so are we: the next
/// run goes on from the last checkpoint.
fn watch_coordinator() {
    std::thread::spawn(|| {
        for line in io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("stop") => STOP.store(true, Ordering::Relaxed),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        std::process::exit(3);
    });
}

/// A worker whose coordinator was killed lives a moment longer. It holds this lock as long as it can
/// write a checkpoint, so that two workers never write the same ones. The kernel frees it when its
/// holder ends, however that is.
fn wait_for_earlier_worker(checkpoints: &Path, tell: &Sink) -> anyhow::Result<File> {
    const MOMENT: Duration = Duration::from_secs(2);
    let path = checkpoints.with_file_name("worker.lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let start = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) if !told && start.elapsed() > MOMENT => {
                told = true;
                let holder = Holder::read(&path);
                let holder = holder.map_or_else(|| "an earlier worker".into(), |holder| holder.to_string());
                tell(Event::Warning {
                    message: format!("{holder} has not ended yet and may still write checkpoints: waiting for it"),
                });
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if STOP.load(Ordering::Relaxed) {
            bail!(Interrupted);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Holder::here().write(&mut file).ok(); // only for that message
    Ok(file)
}
