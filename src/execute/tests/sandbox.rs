//! A pipeline of made-up kinds with a store of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use serde_json::{Map, Value};

use super::kinds::KINDS;
use crate::device::DeviceSpec;
use crate::execute::{Local, Options, RunEvent, RunRecord, run};
use crate::pipeline::{Instance, Origins, Pipeline, Policy, Position};
use crate::plan::{Plan, Selection, build};
use crate::seed::Seed;
use crate::step::Input;
use crate::store::Store;

/// Removed with everything in it at a test's end.
pub struct Sandbox {
    folder: tempfile::TempDir,
    steps: Vec<(&'static str, &'static str, Value)>,
    policies: BTreeMap<&'static str, Policy>,
    pub threads: usize,
    pub keep_going: bool,
    pub selection: Selection,
}

impl Sandbox {
    pub fn new(steps: &[(&'static str, &'static str, Value)]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            steps: steps.to_vec(),
            policies: BTreeMap::new(),
            threads: 2,
            keep_going: true,
            selection: Selection::default(),
        }
    }

    /// Changes a step's settings.
    pub fn set(&mut self, name: &str, with: Value) {
        let step = self.steps.iter_mut().find(|(step, ..)| *step == name).unwrap();
        step.2 = with;
    }

    /// Changes how a step is run.
    pub fn policy(&mut self, name: &'static str, policy: Policy) {
        self.policies.insert(name, policy);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    /// The steps resolved; strings that name an earlier step, or `step.part`, are references.
    pub fn pipeline(&self) -> Pipeline {
        let mut instances: Vec<Instance> = Vec::new();
        for (name, kind, with) in &self.steps {
            let kind = KINDS.iter().find(|known| known.name == *kind).unwrap();
            let mut inputs = Vec::new();
            let texts = with.as_object().unwrap().values().flat_map(|value| match value {
                Value::Array(items) => items.clone(),
                other => vec![other.clone()],
            });
            for text in texts.filter_map(|value| value.as_str().map(str::to_owned)) {
                let (step, part) = text
                    .split_once('.')
                    .map_or((text.as_str(), None), |(step, part)| (step, Some(part)));
                if let Some(from) = instances.iter().position(|instance| instance.name == step) {
                    let input = Input {
                        text: text.clone(),
                        instance: step.into(),
                        step: step.into(),
                        kind: instances[from].kind.name.into(),
                        artifact: instances[from].kind.output,
                        part: part.map(str::to_owned),
                        parts: vec!["all".into()],
                        architecture: None,
                        axes: Vec::new(),
                        path: PathBuf::new(),
                        digest: None,
                    };
                    inputs.push((from, input));
                }
            }
            instances.push(Instance {
                name: (*name).into(),
                step: (*name).into(),
                axes: Vec::new(),
                kind,
                settings: with.clone(),
                shown: with.clone(),
                work: (kind.parse)(with).unwrap(),
                seed: Seed::root(42),
                inputs,
                derived: false,
                policy: self.policies.get(name).copied().unwrap_or_default(),
                at: Position { line: 1, column: 1 },
                origins: Origins {
                    seed: "42".into(),
                    ..Origins::default()
                },
            });
        }
        Pipeline {
            name: "small".into(),
            about: String::new(),
            seed: 42,
            file: self.path("small.yaml"),
            params: Map::new(),
            instances,
            left_out: Vec::new(),
            sources: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub fn plan(&self) -> Plan {
        build(&self.pipeline(), &self.store(), &DeviceSpec::CPU)
    }

    pub fn run(&self) -> (RunRecord, Vec<RunEvent>) {
        self.run_with(Some(1), &AtomicU32::new(0), &mut |_| ())
    }

    pub fn run_with(
        &self,
        jobs: Option<usize>,
        stops: &AtomicU32,
        hear: &mut dyn FnMut(&RunEvent),
    ) -> (RunRecord, Vec<RunEvent>) {
        let pipeline = self.pipeline();
        let options = Options {
            choice: self.selection.choose(&pipeline).unwrap(),
            device: &DeviceSpec::CPU,
            device_name: "cpu".into(),
            threads: self.threads,
            jobs,
            memory: 1 << 30,
            keep_going: self.keep_going,
            grace: Duration::from_secs(1),
            command: vec!["fragua".into()],
            name: None,
            profile: false,
            reports: self.path("reports"),
            with_facts: |page, facts| Ok(page.replacen("null", &facts.to_string(), 1)),
            stops,
        };
        let arguments = ["execute::tests::worker", "--exact", "--ignored", "--nocapture"];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut launcher = Local::new(std::env::current_exe().unwrap(), arguments);
        let mut events = Vec::new();
        let record = run(&pipeline, &self.store(), &options, &mut launcher, &mut |event| {
            events.push(event.clone());
            hear(event);
        });
        (record.unwrap(), events)
    }

    /// The process of the worker that holds the sandbox's only unfinished attempt.
    #[cfg(target_os = "linux")]
    pub fn worker_process(&self) -> u32 {
        let here = self.folder.path().to_str().unwrap();
        let running = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            (command.contains(here) && command.contains("--ignored")).then_some(process)
        });
        running.last().expect("a worker is running")
    }
}
