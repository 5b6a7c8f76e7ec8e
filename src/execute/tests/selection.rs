//! Runs of a part of a pipeline.

use serde_json::json;

use super::{chain, states};
use crate::execute::{Outcome, RunEvent, RunState};
use crate::plan::Selection;

fn only(name: &str) -> Selection {
    Selection {
        only: vec![name.into()],
        ..Selection::default()
    }
}

fn force(name: &str) -> Selection {
    Selection {
        force: vec![name.into()],
        ..Selection::default()
    }
}

#[test]
fn a_part_runs_and_the_rest_is_skipped() {
    let mut sandbox = chain();
    sandbox.selection = Selection {
        until: vec!["up".into()],
        ..Selection::default()
    };
    let (record, events) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Done);
    let found = states(&record);
    assert_eq!((found["a"], found["up"]), (RunState::Executed, RunState::Executed));
    for name in ["b", "down", "page"] {
        assert_eq!(found[name], RunState::Skipped);
    }
    assert!(matches!(events.last(), Some(RunEvent::Finished { skipped: 3, .. })));
    // what it reads is known now
    sandbox.selection = only("down");
    let (record, _) = sandbox.run();
    let found = states(&record);
    assert_eq!(
        (found["up"], found["down"], found["page"]),
        (RunState::Cached, RunState::Executed, RunState::Skipped)
    );
    sandbox.selection = Selection::default();
    assert_eq!(sandbox.run().0.count(RunState::Executed), 2);
}

#[test]
fn what_is_not_selected_is_not_run_even_where_it_is_needed() {
    let mut sandbox = chain();
    sandbox.run();
    // `down` is not selected and not known any more: the command line refuses this before it starts
    sandbox.set("a", json!({"text": "bye"}));
    sandbox.selection = only("page");
    let (record, _) = sandbox.run();
    let found = states(&record);
    assert_eq!(
        (found["a"], found["up"], found["down"]),
        (RunState::Skipped, RunState::Skipped, RunState::Skipped)
    );
    assert_eq!(found["page"], RunState::Blocked);
    assert_eq!(record.count(RunState::Executed), 0);
}

#[test]
fn forced_work_is_a_new_attempt_and_what_comes_out_the_same_ends_there() {
    let mut sandbox = chain();
    let (first, _) = sandbox.run();
    sandbox.selection = force("a");
    let (second, events) = sandbox.run();
    assert_eq!(second.count(RunState::Executed), 1);
    assert_eq!(second.count(RunState::Cached), 4);
    assert_eq!(first.instances[0].digest, second.instances[0].digest);
    assert_eq!(second.instances[0].reasons, ["asked for by --force"]);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Running { attempt: 2, .. }))
    );
    assert!(!events.iter().any(|event| matches!(event, RunEvent::Warning { .. })));
}

#[test]
fn forced_work_that_comes_out_different_is_told() {
    let mut sandbox = chain();
    sandbox.set("a", json!({"text": "hello", "mood": "dice"}));
    let (first, _) = sandbox.run();
    sandbox.selection = force("a");
    let (second, events) = sandbox.run();
    let (old, new) = (
        first.instances[0].digest.clone().unwrap(),
        second.instances[0].digest.clone().unwrap(),
    );
    assert_ne!(old, new);
    let told = |event: &RunEvent| matches!(event, RunEvent::Warning { message, .. } if message.starts_with(&format!("not reproducible: {new} now, {old} before")));
    assert!(events.iter().any(told), "{events:?}");
    assert_eq!(states(&second)["up"], RunState::Executed);
}
