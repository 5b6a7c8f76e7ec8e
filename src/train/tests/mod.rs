//! Whole trainings on tiny models: what they must learn, and what must not change a bit of them.

mod batches;
mod checkpointing;
mod finetuning;
mod learning;
mod reference;
mod same_bytes;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde_json::json;

use super::TrainSettings;
use crate::data::tokens::{TokenFile, TokenWriter};
use crate::device::DeviceSpec;
use crate::models::{Model, ModelSettings, SpecialIds};
use crate::seed::Seed;
use crate::step::{Context, Event, Needs};

pub(super) const VOCABULARY: usize = 17;

/// A folder of documents, with the positions of answers where given.
pub(super) fn token_file(folder: &Path, documents: &[(Vec<u32>, Option<usize>)]) -> TokenFile {
    let spans = documents.iter().any(|(_, answer)| answer.is_some());
    let mut writer = TokenWriter::create(folder, VOCABULARY, spans).unwrap();
    for (tokens, answer) in documents {
        writer.push(tokens, answer.unwrap_or(0)..tokens.len()).unwrap();
    }
    writer.finish().unwrap();
    TokenFile::open(folder).unwrap()
}

/// One document in which every token follows from the one before it.
pub(super) fn counting(folder: &Path, length: usize) -> TokenFile {
    let tokens = (0..length).map(|position| (position * position % VOCABULARY) as u32);
    token_file(folder, &[(tokens.collect(), None)])
}

pub(super) fn cpu() -> Device {
    DeviceSpec::parse("cpu").unwrap().open().unwrap()
}

pub(super) fn model(architecture: &str, dropout: f64) -> Model {
    let settings = json!({
        "architecture": architecture, "layers": 2, "heads": 2, "width": 16, "context": 12, "dropout": dropout,
    });
    let settings: ModelSettings = serde_json::from_value(settings).unwrap();
    let config = settings.config(VOCABULARY, SpecialIds::default());
    Model::init(&config, Seed::root(7), &cpu().autodiff())
}

pub(super) fn settings(json: serde_json::Value) -> TrainSettings {
    serde_json::from_value(json).unwrap()
}

/// A context in `folder`, with its events, that asks to stop once `stop_after` updates are recorded.
pub(super) fn context(folder: &Path, stop_after: Option<u64>) -> Context {
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let out = folder.join("out");
    if out.exists() {
        std::fs::remove_dir_all(&out).unwrap();
    }
    std::fs::create_dir_all(&out).unwrap();
    let log = Mutex::new(
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(folder.join("events"))
            .unwrap(),
    );
    Context {
        out,
        checkpoints: folder.join("checkpoints"),
        threads: 1,
        inputs: [].into(),
        lineage: Vec::new(),
        pipeline: (String::new(), String::new()),
        needs: Needs {
            seed: true,
            device: true,
            lineage: false,
        },
        seed: Seed::root(1),
        device: DeviceSpec::parse("cpu").unwrap(),
        sink: Box::new(move |event| {
            if let Event::Metric { step, .. } = &event
                && stop_after.is_some_and(|after| *step >= after)
            {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            use std::io::Write;
            writeln!(log.lock().unwrap(), "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }),
        stop,
    }
}

/// A folder that passes for a tokenizer's.
pub(super) fn tokenizer(folder: &Path) -> PathBuf {
    let folder = folder.join("tokenizer");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::write(folder.join(name), "{}").unwrap();
    }
    folder
}
