//! How instances are run: what runs beside what, retries, timeouts, how a worker died.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use serde_json::{Value, json};

use super::sandbox::Sandbox;
use super::states;
use crate::execute::{Outcome, RunEvent, RunState};
use crate::pipeline::{Policy, Resources};

fn resources(cpus: usize, memory: u64) -> Policy {
    Policy {
        resources: Resources {
            cpus: NonZeroUsize::new(cpus),
            memory: (memory > 0).then_some(memory),
            gpus: None,
        },
        ..Policy::default()
    }
}

fn retries(retries: u32) -> Policy {
    Policy {
        retries,
        ..Policy::default()
    }
}

/// How many worked at the same time at most, and the threads that each was given.
fn side_by_side(events: &[RunEvent]) -> (usize, Vec<(String, usize)>) {
    let (mut now, mut most, mut threads) = (0usize, 0, Vec::new());
    for event in events {
        match event {
            RunEvent::Running {
                instance, threads: of, ..
            } => {
                now += 1;
                most = most.max(now);
                threads.push((instance.clone(), *of));
            }
            RunEvent::Executed { .. } | RunEvent::Failed { .. } => now -= 1,
            _ => {}
        }
    }
    (most, threads)
}

fn slow(text: &str) -> Value {
    json!({"text": text, "mood": "slow"})
}

fn four() -> Sandbox {
    Sandbox::new(&[
        ("a", "note", slow("a")),
        ("b", "note", slow("b")),
        ("c", "note", slow("c")),
        ("d", "note", slow("d")),
    ])
}

#[test]
fn without_declared_resources_a_step_has_all_threads_and_runs_alone() {
    let mut sandbox = four();
    sandbox.threads = 4;
    let (_, events) = sandbox.run_with(None, &AtomicU32::new(0), &mut |_| ());
    let (most, threads) = side_by_side(&events);
    assert_eq!(most, 1);
    assert!(threads.iter().all(|(_, threads)| *threads == 4), "{threads:?}");
}

#[test]
fn jobs_share_the_threads() {
    let mut sandbox = four();
    sandbox.threads = 5;
    let (_, events) = sandbox.run_with(Some(2), &AtomicU32::new(0), &mut |_| ());
    let (most, threads) = side_by_side(&events);
    assert_eq!(most, 2);
    assert!(threads.iter().all(|(_, threads)| *threads == 2), "{threads:?}");
}

#[test]
fn declared_resources_run_side_by_side_as_far_as_they_fit() {
    let mut sandbox = four();
    sandbox.threads = 3;
    for name in ["a", "b", "c"] {
        sandbox.policy(name, resources(1, 0));
    }
    // more than there is: it gets all, alone, and the user is told
    sandbox.policy("d", resources(64, 0));
    let (record, events) = sandbox.run_with(None, &AtomicU32::new(0), &mut |_| ());
    let (most, threads) = side_by_side(&events);
    assert_eq!((record.outcome, most), (Outcome::Done, 3));
    assert_eq!(threads.iter().find(|(name, _)| name == "d").unwrap().1, 3);
    let warned = |event: &&RunEvent| matches!(event, RunEvent::Warning { message, .. } if message.contains("asks for 64 cpus, and this run has 3"));
    assert_eq!(events.iter().filter(warned).count(), 1, "{events:?}");

    let mut sandbox = four();
    sandbox.threads = 4;
    for name in ["a", "b", "c", "d"] {
        sandbox.policy(name, resources(1, 600 << 20)); // of 1 GiB
    }
    let (_, events) = sandbox.run_with(None, &AtomicU32::new(0), &mut |_| ());
    assert_eq!(side_by_side(&events).0, 1, "memory for one at a time");
}

#[test]
fn the_longest_way_goes_first() {
    let mut sandbox = Sandbox::new(&[
        ("lone", "note", json!({"text": "x"})),
        ("first", "note", json!({"text": "y"})),
        ("second", "upper", json!({"data": "first.all"})),
        ("third", "upper", json!({"data": "second.all"})),
    ]);
    let order = |events: &[RunEvent]| {
        let running = events.iter().filter_map(|event| match event {
            RunEvent::Running { instance, .. } => Some(instance.clone()),
            _ => None,
        });
        running.collect::<Vec<_>>()
    };
    // the last two are as long: then the file's order
    assert_eq!(order(&sandbox.run().1), ["first", "second", "lone", "third"]);
    // now it is known that one takes longer than the others together
    sandbox.set("lone", slow("x2"));
    sandbox.run();
    sandbox.set("lone", slow("x3"));
    sandbox.set("first", json!({"text": "y2"}));
    assert_eq!(order(&sandbox.run().1)[0], "lone");
}

#[test]
fn a_failed_attempt_is_tried_again_as_often_as_the_step_says() {
    let mut sandbox = Sandbox::new(&[("a", "note", json!({"text": "x", "mood": "flaky"}))]);
    sandbox.policy("a", retries(2));
    let (record, events) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Done, "{events:?}");
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::Retry {
                attempt, left, message, ..
            } => Some((*attempt, *left, message.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, 1, "attempt 1 fails"), (2, 0, "attempt 2 fails")]);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Running { attempt: 3, .. }))
    );

    let mut sandbox = Sandbox::new(&[("a", "note", json!({"text": "x", "mood": "flaky"}))]);
    sandbox.policy("a", retries(1));
    let (record, _) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Failed);
    assert_eq!(record.instances[0].reasons, ["attempt 2 fails"]);
}

#[test]
fn a_timeout_stops_after_a_checkpoint_and_a_retry_goes_on_from_there() {
    let mut sandbox = Sandbox::new(&[("count", "count", json!({"to": 40}))]);
    let timeout = Some(Duration::from_millis(400));
    sandbox.policy("count", Policy { timeout, ..retries(9) });
    let (record, events) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Done, "{events:?}");
    let told = |event: &&RunEvent| matches!(event, RunEvent::Retry { message, .. } if message == "its timeout of 0.4 s was over: it stopped after a checkpoint");
    assert!(events.iter().any(|event| told(&event)), "{events:?}");
    let whole = Sandbox::new(&[("count", "count", json!({"to": 40}))]);
    assert_eq!(record.instances[0].digest, whole.run().0.instances[0].digest);
}

#[test]
fn a_worker_that_does_not_stop_in_time_is_ended() {
    let mut sandbox = Sandbox::new(&[("a", "note", json!({"text": "x", "mood": "deaf"}))]);
    let timeout = Some(Duration::from_millis(100));
    sandbox.policy("a", Policy { timeout, ..retries(0) });
    let (record, _) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Failed);
    let reason = &record.instances[0].reasons[0];
    assert!(reason.contains("did not stop within 1 s"), "{reason}");
}

#[test]
fn after_a_failure_nothing_new_begins_unless_the_user_wants_all_that_can_be_had() {
    let steps = [
        ("a", "note", json!({"text": "x", "mood": "error"})),
        ("b", "note", json!({"text": "y"})),
        ("up", "upper", json!({"data": "a.all"})),
    ];
    let mut sandbox = Sandbox::new(&steps);
    sandbox.keep_going = false;
    let (record, _) = sandbox.run();
    assert_eq!(record.outcome, Outcome::Failed);
    let found = states(&record);
    assert_eq!(
        (found["a"], found["b"], found["up"]),
        (RunState::Failed, RunState::Pending, RunState::Blocked)
    );
    // what runs beside it ends in peace
    let mut sandbox = Sandbox::new(&[
        ("a", "note", json!({"text": "x", "mood": "error"})),
        ("b", "note", slow("y")),
        ("c", "note", json!({"text": "z"})),
    ]);
    sandbox.keep_going = false;
    let (record, _) = sandbox.run_with(Some(2), &AtomicU32::new(0), &mut |_| ());
    let found = states(&record);
    assert_eq!((found["b"], found["c"]), (RunState::Executed, RunState::Pending));
}

#[cfg(unix)]
#[test]
fn a_worker_that_dies_is_named_with_what_killed_it() {
    for (mood, words) in [
        ("abort", "the worker was killed by signal 6 (abort)"),
        ("greedy", "the worker was refused memory by the system and ended itself"),
    ] {
        let sandbox = Sandbox::new(&[("a", "note", json!({"text": "x", "mood": mood}))]);
        let (record, _) = sandbox.run();
        let reason = &record.instances[0].reasons[0];
        assert!(reason.contains(words), "{reason}");
        if cfg!(target_os = "linux") && mood == "abort" {
            let peak = record.instances[0].peak_bytes.unwrap();
            assert!(
                peak > 50_000_000 && reason.contains("(it held at least "),
                "{peak}, {reason}"
            );
        }
    }
}
