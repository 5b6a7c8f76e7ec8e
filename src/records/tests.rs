//! Collecting garbage from made-up stores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::garbage::{Keep, garbage};
use super::{all, health};
use crate::step::Digest;
use crate::store::{Action, Dependencies, Environment, Manifest, Store};

/// A store with runs of a made-up pipeline: `a` reads nothing, `b` reads `a`, `c` reads `b`.
struct MadeUp {
    folder: tempfile::TempDir,
    store: Store,
    clock: u32,
}

/// What makes one run another: the settings of `a`, `b` and `c`. What `b` makes depends on its setting
/// modulo 2 only, so that different keys give the same artifact.
type Settings = (u32, u32, u32);

impl MadeUp {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self {
            folder,
            store,
            clock: 0,
        }
    }

    fn action(&self, kind: &str, fields: Value, content: &str) -> Action {
        let out = self.folder.path().join("out");
        fs::create_dir_all(out.join("all")).unwrap();
        fs::write(out.join("all/text"), content).unwrap();
        let manifest = Manifest::of_folder(&out).unwrap();
        let output = self.store.publish(&out, &manifest).unwrap().digest;
        let dependencies = Dependencies {
            kind: kind.into(),
            implementation: 1,
            fields: serde_json::from_value(fields).unwrap(),
            seed: None,
            numerics: None,
            lineage: None,
        };
        let action = Action {
            key: dependencies.key(),
            output,
            step: kind.into(),
            instance: kind.into(),
            dependencies,
            seed: None,
            seconds: 1.0,
            peak_bytes: None,
            attempt: 1,
            finished: String::new(),
            environment: Environment {
                fragua: "0".into(),
                os: "o".into(),
                arch: "a".into(),
                simd: "s".into(),
            },
        };
        self.store.record(&action).unwrap();
        fs::create_dir_all(self.store.root().join(format!("attempts/{}/1", action.key))).unwrap();
        action
    }

    /// The part of an artifact that the next one reads.
    fn part(&self, action: &Action) -> Digest {
        self.store.manifest(&action.output).unwrap().folder("all").digest()
    }

    fn chain(&self, (x, y, z): Settings) -> Vec<Action> {
        let a = self.action("a", json!({"x": x}), &format!("a{x}"));
        let b = self.action(
            "b",
            json!({"y": y, "a": {"artifact": self.part(&a)}}),
            &format!("b{x}{}", y % 2),
        );
        let c = self.action(
            "c",
            json!({"z": z, "b": {"artifact": b.output}}),
            &format!("c{x}{}{z}", y % 2),
        );
        vec![a, b, c]
    }

    /// A run that made, or found, the first `made` of its three instances.
    fn run(&mut self, pipeline: u32, settings: Settings, made: usize, name: Option<&str>) -> String {
        self.clock += 1;
        let folder = self
            .store
            .begin_run(&format!("20260101-{:06}", self.clock), name)
            .unwrap();
        let chain = self.chain(settings);
        let instances = chain.iter().enumerate().map(|(at, action)| {
            let known = at < made;
            json!({"name": action.instance, "kind": action.instance, "state": if known { "executed" } else { "pending" },
                "key": known.then_some(&action.key), "digest": known.then_some(&action.output),
                "seconds": 1.0, "peak_bytes": null, "reasons": []})
        });
        let facts = json!({"fragua": "0", "commit": null, "dirty": null, "os": "", "arch": "", "cpu": "", "simd": "",
            "cores": 1, "memory": 1, "device": "cpu"});
        let record = json!({"run": folder.id, "name": name, "pipeline": format!("p{pipeline}"), "file": "p.yaml",
            "outcome": if made == 3 { "done" } else { "failed" }, "started": "2026-01-01T00:00:00Z", "seconds": 1.0,
            "command": [], "threads": 1, "report": null, "environment": facts,
            "instances": instances.collect::<Vec<_>>()});
        fs::write(folder.path.join("run.json"), record.to_string()).unwrap();
        folder.id.clone()
    }

    fn collect(&self, keep: &Keep) {
        let _alone = self.store.alone().unwrap().expect("nobody uses it");
        let found = garbage(&self.store, keep).unwrap();
        found.delete(&self.store).unwrap();
    }
}

fn keep(last: usize) -> Keep {
    Keep {
        last,
        younger_than: None,
        give_up: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn what_kept_runs_need_is_kept_and_nothing_else(
        runs in prop::collection::vec((0u32..2, (0u32..2, 0u32..4, 0u32..2), 0usize..4, prop::option::of("[a-c]")), 0..7),
        last in 0usize..3,
    ) {
        let mut made_up = MadeUp::new();
        for (pipeline, settings, made, name) in &runs {
            made_up.run(*pipeline, *settings, *made, name.as_deref());
        }
        let store = &made_up.store;
        let found = garbage(store, &keep(last)).unwrap();
        let kept: BTreeSet<&str> = found.kept_runs.iter().map(|one| one.run.as_str()).collect();
        made_up.collect(&keep(last));

        let (mut objects, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let left = all(store).unwrap();
        prop_assert_eq!(left.iter().map(|run| run.record.run.as_str()).collect::<BTreeSet<_>>(), kept);
        for run in &left {
            for one in &run.record.instances {
                let (Some(key), Some(digest)) = (&one.key, &one.digest) else { continue };
                let action = store.action_of(key).unwrap();
                prop_assert_eq!(action.map(|action| action.output.to_string()), Some(digest.clone()));
                prop_assert!(store.object_path_of(digest).unwrap().join("all/text").exists());
                objects.insert(digest.clone());
                keys.insert(key.clone());
            }
        }
        let there: BTreeSet<_> = store.objects().unwrap().iter().map(ToString::to_string).collect();
        prop_assert_eq!(there, objects);
        let there: BTreeSet<_> = store.entry_keys().unwrap().iter().map(ToString::to_string).collect();
        prop_assert_eq!(there, keys);
        let health = health(store).unwrap();
        prop_assert!(health.damaged.is_empty() && health.lost.is_empty());
        prop_assert!(garbage(store, &keep(last)).unwrap().is_empty(), "a second time there is nothing to do");
        // every named run is there, and the last one of each pipeline that was done
        let named = runs.iter().filter(|(.., name)| name.is_some()).count();
        prop_assert_eq!(left.iter().filter(|run| run.record.name.is_some()).count(), named);
        if last > 0 {
            for pipeline in 0..2 {
                let was_done = runs.iter().any(|run| run.0 == pipeline && run.2 == 3);
                let name = format!("p{pipeline}");
                let is_done = left.iter().any(|run| run.record.pipeline == name && run.ending() == super::Ending::Done);
                prop_assert_eq!(was_done, is_done);
            }
        }
    }
}

#[test]
fn unfinished_work_stays_with_all_that_leads_to_it_until_it_is_given_up() {
    let made_up = MadeUp::new();
    let store = &made_up.store;
    let chain = made_up.chain((1, 1, 1)); // no run has these
    let other = made_up.chain((0, 0, 0));
    let key = Digest::of(b"unfinished");
    let claim = store.claim(&key).unwrap().unwrap();
    fs::write(claim.checkpoints().unwrap().join("1"), "weights").unwrap();
    let attempt = claim.begin().unwrap();
    let input = json!({"text": "b", "instance": "b", "step": "b", "kind": "b", "type": "dataset", "part": null,
        "parts": [], "axes": [], "path": "/", "digest": chain[1].output});
    let task = json!({"attempt": 1, "instance": "c", "kind": "c", "settings": {}, "fields": {},
        "inputs": {"b": input}, "lineage": [], "pipeline": ["p", ""], "seed": null, "device": "cpu", "threads": 1,
        "checkpoints": "/"});
    fs::write(attempt.path.join("task.json"), task.to_string()).unwrap();
    drop(claim);
    made_up.collect(&keep(0));
    assert!(store.has_checkpoints(&key));
    for action in &chain[..2] {
        assert!(store.object(&action.output).is_ok(), "{}", action.instance);
        assert!(store.action(&action.key).unwrap().is_some(), "{}", action.instance);
    }
    for gone in [&chain[2], &other[0], &other[2]] {
        assert!(store.object(&gone.output).is_err());
        assert!(store.action(&gone.key).unwrap().is_none());
    }
    let mut given_up = keep(0);
    given_up.give_up = Some(Duration::ZERO);
    made_up.collect(&given_up);
    assert!(!store.has_checkpoints(&key));
    assert!(store.objects().unwrap().is_empty() && store.work().unwrap().is_empty());
}

#[test]
fn what_a_killed_process_left_goes_and_a_run_in_flight_stays() {
    let mut made_up = MadeUp::new();
    made_up.run(0, (0, 0, 0), 3, None);
    let root = made_up.store.root().to_owned();
    fs::write(root.join("actions/.writing-x"), "half").unwrap();
    fs::create_dir_all(root.join("aside/left")).unwrap();
    let orphan = root.join("objects/ab");
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join(format!("{}.json", "ab".repeat(32))), "{}").unwrap();
    let in_flight = made_up.store.begin_run("20260102-000000", None).unwrap();
    assert!(made_up.store.alone().unwrap().is_none(), "nobody can sweep now");
    let found = garbage(&made_up.store, &keep(0)).unwrap();
    assert!(found.runs.iter().all(|one| one.run != in_flight.id));
    assert_eq!((found.runs.len(), found.objects.len(), found.leftovers), (1, 3, 3));
    let id = in_flight.id.clone();
    drop(in_flight); // killed before it wrote its record
    made_up.collect(&keep(0));
    let left: BTreeMap<String, bool> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read_dir(entry.path()).unwrap().count() > 1,
            )
        })
        .collect();
    assert!(
        !left.contains_key("aside") && !left.values().any(|full| *full),
        "{left:?}"
    );
    assert!(!made_up.store.run_path(&id).exists());
}
