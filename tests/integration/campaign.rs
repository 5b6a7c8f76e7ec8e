//! The fault campaign: workers and coordinators are killed at random moments, over a pipeline with
//! training, generation and steps side by side. After each kill the store is whole, everything in
//! it is what an uninterrupted run makes, and the next runs come to the same digests. A reader looks
//! at the store all the while and never sees half of anything.
//!
//! `FRAGUA_FAULTS=500` kills as often; `FRAGUA_FAULTS_SEED=7` repeats a campaign's moments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fragua::seed::Seed;
use fragua::step::Digest;
use rand::Rng;
use serde_json::Value;

use crate::support::Sandbox;
use crate::workers::{kill, workers};

/// Kills in one sandbox before its pipeline is run to the end.
const KILLS_A_SANDBOX: usize = 7;

/// Long enough trainings to be hit in their middle, with a checkpoint every few updates.
const LONG: [&str; 4] = ["--set", "updates=40", "--threads", "2"];

#[test]
fn whatever_is_killed_whenever_the_next_run_ends_with_the_same_digests() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
        })
    };
    let kills = usize::try_from(number("FRAGUA_FAULTS", 50)).unwrap();
    let seed = number("FRAGUA_FAULTS_SEED", 20_260_131);
    eprintln!("{kills} kills, FRAGUA_FAULTS_SEED={seed}");

    let start = Instant::now();
    let whole = Sandbox::tiny();
    let digests = whole.digests(&whole.run(&LONG));
    let length = start.elapsed();
    let known = Known {
        digests,
        actions: actions(&whole),
        length,
    };
    let mut done = 0;
    let mut sandbox = 0u64;
    let mut tally = BTreeMap::new();
    while done < kills {
        let here = KILLS_A_SANDBOX.min(kills - done);
        let place = format!("sandbox {sandbox}, FRAGUA_FAULTS_SEED={seed}");
        torment(&known, here, Seed::root(seed).child(sandbox), &mut tally, &place);
        done += here;
        sandbox += 1;
    }
    eprintln!("{done} kills in {:.0} s: {tally:?}", start.elapsed().as_secs_f64());
    assert!(tally["worker"] > 0 && tally["coordinator"] > 0, "{tally:?}");
}

/// What an uninterrupted run came to.
struct Known {
    /// Instance → digest.
    digests: BTreeMap<String, String>,
    /// Key → digest.
    actions: BTreeMap<String, String>,
    length: Duration,
}

/// Kills so often in one sandbox, then runs to the end.
fn torment(known: &Known, kills: usize, seed: Seed, tally: &mut BTreeMap<&'static str, usize>, place: &str) {
    let sandbox = Sandbox::tiny();
    let reader = Reader::default();
    let mut random = seed.rng();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| reader.watch(&sandbox.path().join(".fragua")));
        let _end = End(&reader); // also when something here panics
        let mut left = kills;
        while left > 0 {
            let jobs = ["auto", "2", "3"][random.random_range(0..3)];
            let mut more = LONG.to_vec();
            more.extend(["--jobs", jobs, "--keep-going"]);
            let mut run = sandbox.spawn_run(&more);
            // several in one run, as long as it lives
            while left > 0 && run.try_wait().unwrap().is_none() {
                std::thread::sleep(known.length.mul_f64(random.random_range(0.0..0.35)));
                if run.try_wait().unwrap().is_some() {
                    break;
                }
                let of_worker = random.random_bool(0.6);
                let victims = workers(&sandbox);
                let victim = if of_worker && !victims.is_empty() {
                    *tally.entry("worker").or_default() += 1;
                    victims[random.random_range(0..victims.len())]
                } else {
                    *tally.entry("coordinator").or_default() += 1;
                    run.id()
                };
                kill(victim);
                left -= 1;
            }
            // a run whose worker was killed goes on with the rest; it is not waited for in vain
            let code = run.wait().unwrap().code();
            *tally
                .entry(if code == Some(0) {
                    "runs that came through"
                } else {
                    "runs that did not"
                })
                .or_default() += 1;
            inspect(&sandbox, known, place);
        }
        let last = sandbox.run(&LONG);
        assert_eq!(sandbox.digests(&last), known.digests, "{place}");
        assert_eq!(last["failed"], 0, "{place}");
        inspect(&sandbox, known, place);
        reader.end.store(true, Ordering::Relaxed);
        let looks = watching.join().unwrap();
        *tally.entry("looks of the reader").or_default() += looks;
        assert_eq!(actions(&sandbox), known.actions, "{place}");
    });
}

/// After a kill: the store is whole, and what it knows is right.
fn inspect(sandbox: &Sandbox, known: &Known, place: &str) {
    let verified = sandbox.fragua(&["verify"]);
    assert_eq!(verified.code, Some(0), "{place}: {}{}", verified.out, verified.err);
    for (key, digest) in actions(sandbox) {
        assert_eq!(known.actions.get(&key), Some(&digest), "{place}: {key}");
    }
}

/// Key → digest of everything that a sandbox's store knows.
fn actions(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let folder = sandbox.path().join(".fragua/actions");
    let visible = visible(&folder).into_iter();
    let read = |path: PathBuf| {
        let action: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let text = |name: &str| action[name].as_str().unwrap().to_owned();
        (text("key"), text("output"))
    };
    visible.map(read).collect()
}

/// What a folder shows: names with a dot in front are being written.
fn visible(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    shown.map(|entry| entry.path()).collect()
}

/// Another process at the store, which looks at everything all the time.
#[derive(Default)]
struct Reader {
    end: AtomicBool,
    looks: AtomicUsize,
}

/// Ends a reader.
struct End<'a>(&'a Reader);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::Relaxed);
    }
}

impl Reader {
    fn watch(&self, store: &Path) -> usize {
        while !self.end.load(Ordering::Relaxed) {
            for path in visible(&store.join("actions")) {
                let action = record(&path);
                let output = action["output"].as_str().unwrap();
                let object = store.join("objects").join(&output[..2]).join(output);
                assert!(object.is_dir(), "{} names an object that is not there", path.display());
            }
            for shelf in visible(&store.join("objects")) {
                for folder in visible(&shelf).into_iter().filter(|path| path.is_dir()) {
                    look_at_object(&folder);
                }
            }
            for run in visible(&store.join("runs")) {
                let path = run.join("run.json");
                if path.exists() {
                    assert!(record(&path)["outcome"].is_string());
                }
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.looks.load(Ordering::Relaxed)
    }
}

fn record(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An object is there with its manifest and all its files, or not at all.
fn look_at_object(folder: &Path) {
    let manifest = record(&folder.with_extension("json"));
    for (name, entry) in manifest["files"].as_object().unwrap() {
        let bytes =
            std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{}/{name}: {error}", folder.display()));
        assert_eq!(entry["digest"].as_str().unwrap(), Digest::of(&bytes).as_str(), "{name}");
    }
}
