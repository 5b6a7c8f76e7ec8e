//! Runs of small made-up kinds, in real worker processes: this test binary starts itself.

mod kinds;
mod policy;
pub(super) mod sandbox;
mod secrets;
mod selection;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::plan::{Plan, State};
use kinds::KINDS;
use sandbox::Sandbox;

/// A worker process: not a test, but what [`Local`] starts here.
#[test]
#[ignore = "started by the other tests"]
fn worker() {
    let attempt = std::env::args().next_back().unwrap();
    work(Path::new(&attempt), KINDS).unwrap();
}

fn states(record: &RunRecord) -> BTreeMap<&str, RunState> {
    record
        .instances
        .iter()
        .map(|one| (one.name.as_str(), one.state))
        .collect()
}

fn planned(plan: &Plan) -> BTreeMap<&str, State> {
    plan.instances
        .iter()
        .map(|one| (one.name.as_str(), one.state))
        .collect()
}

fn chain() -> Sandbox {
    Sandbox::new(&[
        ("a", "note", json!({"text": "hello"})),
        ("b", "note", json!({"text": "other"})),
        ("up", "upper", json!({"data": "a.all"})),
        ("down", "upper", json!({"data": "up.all"})),
        ("page", "page", json!({"parts": ["down", "b"]})),
    ])
}

#[test]
fn the_second_run_executes_nothing_and_a_change_what_depends_on_it() {
    let mut sandbox = chain();
    assert_eq!(sandbox.plan().count(State::Run), 5, "{:?}", sandbox.plan());
    let (first, _) = sandbox.run();
    assert_eq!(first.outcome, Outcome::Done);
    assert_eq!(first.count(RunState::Executed), 5, "{first:?}");
    assert_eq!(sandbox.plan().count(State::Cached), 5);
    let (second, _) = sandbox.run();
    assert_eq!(second.count(RunState::Cached), 5);
    let digests = |record: &RunRecord| {
        record
            .instances
            .iter()
            .map(|one| one.digest.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&first), digests(&second));
    assert!(first.instances.iter().all(|one| one.seconds.is_some()));

    sandbox.set("b", json!({"text": "another", "mood": "fine"}));
    let plan = sandbox.plan();
    assert_eq!(plan.count(State::Cached), 3);
    assert_eq!(plan.instances[1].reasons, ["text \"other\" → \"another\""]);
    assert_eq!(plan.instances[4].state, State::Maybe);
    assert_eq!(plan.instances[4].reasons, ["waits for b"]);
    let (third, _) = sandbox.run();
    assert_eq!(third.count(RunState::Executed), 2);
}

#[test]
fn an_input_that_comes_out_the_same_ends_the_work_there() {
    let mut sandbox = chain();
    sandbox.run();
    sandbox.set("a", json!({"text": "Hello"}));
    let plan = sandbox.plan();
    assert_eq!(
        (planned(&plan)["a"], planned(&plan)["up"], planned(&plan)["down"]),
        (State::Run, State::Maybe, State::Maybe)
    );
    let (record, _) = sandbox.run();
    let states = states(&record);
    assert_eq!(states["up"], RunState::Executed);
    assert_eq!(states["down"], RunState::Cached);
    // its lineage names the digests and settings of all ancestors
    assert_eq!(states["page"], RunState::Executed);
}

#[test]
fn a_failure_blocks_what_needs_it_and_nothing_else() {
    for (mood, message) in [
        ("error", "no ink"),
        ("panic", "the pen broke"),
        ("exit", "the worker ended with code 7"),
        ("empty", "wrote no files"),
    ] {
        let mut sandbox = chain();
        sandbox.set("a", json!({"text": "hello", "mood": mood}));
        let (record, events) = sandbox.run();
        assert_eq!(record.outcome, Outcome::Failed);
        let states = states(&record);
        assert_eq!(states["a"], RunState::Failed);
        assert_eq!(
            (states["up"], states["down"], states["page"]),
            (RunState::Blocked, RunState::Blocked, RunState::Blocked)
        );
        assert_eq!(states["b"], RunState::Executed);
        let told = events.iter().find_map(|event| match event {
            RunEvent::Failed { message, log, .. } => Some((message.clone(), log.join("\n"))),
            _ => None,
        });
        let (told, log) = told.unwrap();
        assert!(told.contains(message), "{told}");
        assert!(mood != "exit" || log.contains("about to fall"), "{log}");
        assert!(events.contains(&RunEvent::Blocked {
            instance: "down".into(),
            by: "a".into()
        }));
        // the cure: the store holds nothing wrong
        sandbox.set("a", json!({"text": "hello", "mood": "fine"}));
        assert_eq!(sandbox.run().0.outcome, Outcome::Done);
    }
}

#[test]
fn a_file_that_changes_while_the_step_runs_is_not_entered_under_its_earlier_content() {
    let mut sandbox = chain();
    let file = sandbox.path("input.txt");
    fs::write(&file, "before").unwrap();
    sandbox.set("a", json!({"text": "x", "file": file, "mood": "meddle"}));
    let (record, _) = sandbox.run();
    assert!(
        record.instances[0].reasons[0].contains("file changed while the step ran"),
        "{record:?}"
    );
    assert_eq!(sandbox.run().0.outcome, Outcome::Done);
    fs::remove_file(&file).unwrap();
    let plan = sandbox.plan();
    assert_eq!(planned(&plan)["a"], State::Blocked);
    assert_eq!(planned(&plan)["page"], State::Blocked);
    assert_eq!(sandbox.run().0.outcome, Outcome::Failed);
}

#[test]
fn a_stopped_run_goes_on_from_its_checkpoint() {
    let sandbox = Sandbox::new(&[
        ("count", "count", json!({"to": 15})),
        ("a", "note", json!({"text": "x"})),
    ]);
    let stops = AtomicU32::new(0);
    let (record, _) = sandbox.run_with(Some(1), &stops, &mut |event| {
        if matches!(
            event,
            RunEvent::Worker {
                event: crate::step::Event::Progress { .. },
                ..
            }
        ) {
            stops.store(1, Ordering::Relaxed);
        }
    });
    assert_eq!(record.outcome, Outcome::Interrupted);
    assert_eq!(states(&record)["count"], RunState::Interrupted);
    assert_eq!(states(&record)["a"], RunState::Pending);
    assert_eq!(
        sandbox.plan().instances[0].reasons,
        ["never run", "goes on from a checkpoint"]
    );
    let (record, events) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Done);
    let began = events.iter().any(|event| match event {
        RunEvent::Worker {
            event: crate::step::Event::Info { message },
            ..
        } => message.starts_with("begins at ") && message != "begins at 0",
        _ => false,
    });
    assert!(began, "{events:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_worker_fails_its_instance_and_the_next_run_goes_on_to_the_same_bytes() {
    let sandbox = Sandbox::new(&[("count", "count", json!({"to": 30}))]);
    let mut killed = false;
    let (record, _) = sandbox.run_with(Some(1), &AtomicU32::new(0), &mut |event| {
        let progress = matches!(
            event,
            RunEvent::Worker {
                event: crate::step::Event::Progress { .. },
                ..
            }
        );
        if progress && !killed {
            killed = true;
            let process = sandbox.worker_process().to_string();
            assert!(
                std::process::Command::new("kill")
                    .args(["-9", &process])
                    .status()
                    .unwrap()
                    .success()
            );
        }
    });
    assert_eq!(record.outcome, Outcome::Failed);
    assert!(
        record.instances[0].reasons[0].contains("killed by signal 9"),
        "{record:?}"
    );
    let (resumed, events) = sandbox.run();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Running { attempt: 2, .. }))
    );
    let whole = Sandbox::new(&[("count", "count", json!({"to": 30}))]);
    assert_eq!(resumed.instances[0].digest, whole.run().0.instances[0].digest);
    assert!(resumed.instances[0].digest.is_some());
}

#[test]
fn work_that_was_done_but_not_entered_is_not_done_again() {
    let sandbox = chain();
    let (first, _) = sandbox.run();
    // as if the coordinator had been killed between the worker's success and the entry
    fs::remove_dir_all(sandbox.path("store/actions")).unwrap();
    let (second, _) = sandbox.run();
    assert_eq!(second.count(RunState::Cached), 5, "{second:?}");
    assert_eq!(first.instances[4].digest, second.instances[4].digest);
}

#[test]
fn a_late_attempt_cannot_publish() {
    let mut sandbox = chain();
    sandbox.set("a", json!({"text": "hello", "mood": "error"}));
    sandbox.run();
    let (failed, _) = sandbox.run();
    let key = failed.instances[0].key.clone().unwrap();
    // the first attempt was thought dead and ends well after its successor began
    let attempts = sandbox.path("store/attempts").join(key);
    let succeed = |number: u32, claimed: u32, text: &str| {
        let folder = attempts.join(number.to_string());
        fs::create_dir_all(folder.join("out/all")).unwrap();
        fs::write(folder.join("out/all/text"), text).unwrap();
        let exit = Exit {
            attempt: claimed,
            outcome: WorkOutcome::Succeeded,
            outputs: crate::store::Manifest::of_folder(&folder.join("out")).unwrap(),
            seconds: 1.0,
            peak_bytes: None,
        };
        crate::store::write_json(&folder.join(Exit::FILE), &exit).unwrap();
    };
    succeed(1, 1, "late");
    // nor does a record with another attempt's number count
    succeed(2, 1, "confused");
    sandbox.set("a", json!({"text": "hello"}));
    let (record, events) = sandbox.run();
    assert_eq!(states(&record)["a"], RunState::Executed);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Running { attempt: 3, .. }))
    );
    let whole = chain().run().0;
    assert_eq!(record.instances[0].digest, whole.instances[0].digest);
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    let sandbox = Sandbox::new(&[("count", "count", json!({"to": 10}))]);
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| sandbox.run().0);
        let two = scope.spawn(|| sandbox.run().0);
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_ne!(one.run, two.run);
    assert_eq!(one.count(RunState::Executed) + two.count(RunState::Executed), 1);
    assert_eq!(one.count(RunState::Cached) + two.count(RunState::Cached), 1);
}

#[test]
fn equal_instances_side_by_side_run_once() {
    let sandbox = Sandbox::new(&[
        ("one", "count", json!({"to": 5})),
        ("two", "count", json!({"to": 5})),
        ("three", "count", json!({"to": 6})),
    ]);
    let (record, events) = sandbox.run_with(Some(3), &AtomicU32::new(0), &mut |_| ());
    assert_eq!(
        (record.count(RunState::Executed), record.count(RunState::Cached)),
        (2, 1)
    );
    assert!(!events.iter().any(|event| matches!(event, RunEvent::Waiting { .. })));
}

#[test]
fn a_damaged_object_is_made_again_and_the_report_is_exported_with_the_facts() {
    let sandbox = chain();
    let (first, _) = sandbox.run();
    let page = first.report.clone().unwrap();
    let text = fs::read_to_string(&page).unwrap();
    assert!(
        text.contains(&first.run) && text.contains("\"state\":\"executed\""),
        "{text}"
    );
    assert!(
        text.starts_with("<h1>small</h1>") && text.ends_with("a b up down"),
        "{text}"
    );

    let digest = first.instances[2].digest.clone().unwrap();
    let object = sandbox.path("store/objects").join(&digest[..2]).join(&digest);
    fs::remove_file(object.join("all/text")).unwrap();
    let (second, events) = sandbox.run();
    assert_eq!(states(&second)["up"], RunState::Executed);
    assert_eq!(second.count(RunState::Cached), 4);
    let warned = |event: &RunEvent| matches!(event, RunEvent::Warning { message, .. } if message.contains("damaged"));
    assert!(events.iter().any(warned), "{events:?}");
    assert!(fs::read_to_string(&page).unwrap().contains(&second.run));
}

#[test]
fn events_are_json_lines_and_the_last_is_finished() {
    let sandbox = Sandbox::new(&[("a", "note", json!({"text": "x"}))]);
    let (record, events) = sandbox.run();
    let lines: Vec<_> = events.iter().map(RunEvent::to_json).collect();
    assert!(
        lines
            .iter()
            .any(|line| line["event"] == "info" && line["instance"] == "a" && line["message"] == "writing")
    );
    let last = lines.last().unwrap();
    for field in [
        "event", "run", "executed", "cached", "failed", "blocked", "seconds", "report",
    ] {
        assert!(last.get(field).is_some(), "{field} in {last}");
    }
    assert_eq!(
        (&last["event"], &last["executed"], &last["report"]),
        (&json!("finished"), &json!(1), &Value::Null)
    );
    let (id, folder) = sandbox.store().run("last").unwrap();
    assert_eq!(id, record.run);
    let kept: RunRecord = serde_json::from_slice(&fs::read(folder.join(RunRecord::FILE)).unwrap()).unwrap();
    assert_eq!(kept, record);
}
