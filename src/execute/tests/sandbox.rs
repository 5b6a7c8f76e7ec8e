//! A pipeline of made-up kinds with a store of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;

use serde_json::{Map, Value};

use super::kinds::KINDS;
use crate::device::DeviceSpec;
use crate::execute::{Local, Options, RunEvent, RunRecord, run};
use crate::pipeline::{Instance, Pipeline, Policy, Position};
use crate::plan::{Plan, build};
use crate::seed::Seed;
use crate::step::Input;
use crate::store::Store;

/// Removed with everything in it at a test's end.
pub struct Sandbox {
    folder: tempfile::TempDir,
    steps: Vec<(&'static str, &'static str, Value)>,
}

impl Sandbox {
    pub fn new(steps: &[(&'static str, &'static str, Value)]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            steps: steps.to_vec(),
        }
    }

    /// Changes a step's settings.
    pub fn set(&mut self, name: &str, with: Value) {
        let step = self.steps.iter_mut().find(|(step, ..)| *step == name).unwrap();
        step.2 = with;
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
                policy: Policy::default(),
                at: Position { line: 1, column: 1 },
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
        build(&self.pipeline(), &self.store(), &DeviceSpec::CPU, 1)
    }

    pub fn run(&self) -> (RunRecord, Vec<RunEvent>) {
        self.run_with(1, &AtomicU32::new(0), &mut |_| ())
    }

    pub fn run_with(
        &self,
        jobs: usize,
        stops: &AtomicU32,
        hear: &mut dyn FnMut(&RunEvent),
    ) -> (RunRecord, Vec<RunEvent>) {
        let options = Options {
            device: &DeviceSpec::CPU,
            device_name: "cpu".into(),
            threads: 2,
            jobs,
            command: vec!["fragua".into()],
            reports: self.path("reports"),
            stops,
        };
        let arguments = ["execute::tests::worker", "--exact", "--ignored", "--nocapture"];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut launcher = Local::new(std::env::current_exe().unwrap(), arguments);
        let mut events = Vec::new();
        let record = run(&self.pipeline(), &self.store(), &options, &mut launcher, &mut |event| {
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
