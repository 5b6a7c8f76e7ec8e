//! Checkpoints: everything from which a training goes on to the same bytes.
//!
//! A checkpoint is a folder `update-N` with `state.safetensors` (weights, the optimizer's moments,
//! the best weights) and `state.json` (progress, metrics so far, the other file's digest). The
//! order of data and the dropout masks are functions of the seed and the update's number, so that
//! number is the whole data position. A checkpoint appears whole (written aside, synced, renamed).
//! The one before it stays, in case a disk loses the newest; older ones are removed only then.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::gradients::values;
use super::optimizer::AdamW;
use super::record::Progress;
use crate::models::{Model, Weight};
use crate::step::{Context, Digest};

const TENSORS: &str = "state.safetensors";
const STATE: &str = "state.json";

/// `state.json`.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    /// Of `state.safetensors`: a checkpoint that rotted on disk is not one.
    digest: Digest,
    progress: Progress,
}

/// Row-major values with a weight's shape, for a safetensors file.
struct Values<'a> {
    shape: Vec<usize>,
    held: Held<'a>,
}

/// Where values are. Those on the host are read as the file comes to them, so that a checkpoint takes the
/// room of one weight and not of all.
enum Held<'a> {
    /// On the host.
    Tensor(Box<Tensor<2>>),
    /// In the optimizer, or read from a device.
    Values(Cow<'a, [f32]>),
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        match &self.held {
            Held::Values(values) => bytes(values).into(),
            Held::Tensor(tensor) => {
                let values =
                    values("a weight", tensor.as_ref().clone()).expect("the host hands out its tensors' values");
                bytes(&values).into()
            }
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

/// What a training goes on from, besides the model's weights and the optimizer's moments.
pub(super) struct Resumed {
    pub progress: Progress,
    pub best: Option<Vec<Tensor<2>>>,
}

/// How many checkpoints stay: the newest and the one before it.
const KEPT: usize = 2;

/// Writes a checkpoint of a training after `progress.update` updates and removes all but the one
/// before it.
///
/// # Errors
/// When a file cannot be written or the device does not hand out the values.
pub(super) fn save(
    folder: &Path,
    progress: &Progress,
    model: &Model,
    optimizer: &AdamW,
    best: Option<&[Tensor<2>]>,
) -> Result<(), TrainError> {
    let place = folder.join(format!("update-{:010}", progress.update));
    if place.exists() {
        if whole(&place) {
            return Ok(()); // stopped again before the next update
        }
        std::fs::remove_dir_all(&place).map_err(TrainError::io(&place))?;
    }
    let new = folder.join("new");
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(TrainError::io(&new))?;
    }
    std::fs::create_dir_all(&new).map_err(TrainError::io(&new))?;

    let tensors = new.join(TENSORS);
    let mut views = views_of(model, "weights", model.learned().into_iter().map(Weight::value))?;
    for (weight, moments) in model.learned().into_iter().zip(optimizer.state()?) {
        for (what, values) in ["mean", "square"].into_iter().zip(moments) {
            let (shape, held) = (weight.shape(), Held::Values(values));
            views.push((format!("{what}/{}", weight.name()), Values { shape, held }));
        }
    }
    if let Some(best) = best {
        views.extend(views_of(model, "best", best.iter().cloned())?);
    }
    safetensors::serialize_to_file(views, None, &tensors).map_err(|error| match error {
        SafeTensorError::IoError(error) => TrainError::io(&tensors)(error),
        error => TrainError::Checkpoint {
            path: new.clone(),
            why: error.to_string(),
        },
    })?;
    sync(&tensors)?;

    let state = State {
        version: 1,
        digest: Digest::of_file(&tensors).map_err(TrainError::io(&tensors))?,
        progress: progress.clone(),
    };
    let path = new.join(STATE);
    let text = serde_json::to_vec(&state).expect("plain values");
    std::fs::write(&path, text).map_err(TrainError::io(&path))?;
    sync(&path)?;
    sync_folder(&new);
    std::fs::rename(&new, &place).map_err(TrainError::io(&place))?;
    sync_folder(folder);
    for older in list(folder)?.into_iter().rev().skip(KEPT) {
        std::fs::remove_dir_all(&older).map_err(TrainError::io(&older))?;
    }
    Ok(())
}

/// Whether a checkpoint's files are what they were written as.
fn whole(place: &Path) -> bool {
    let state = std::fs::read(place.join(STATE)).ok();
    let state: Option<State> = state.and_then(|text| serde_json::from_slice(&text).ok());
    let found = Digest::of_file(&place.join(TENSORS)).ok();
    state.is_some_and(|state| found == Some(state.digest))
}

/// The newest whole checkpoint in a folder, its weights put into `model` and its moments into
/// `optimizer`. A damaged one is told of and passed over.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn load(
    folder: &Path,
    model: &mut Model,
    optimizer: &mut AdamW,
    context: &Context,
) -> Result<Option<Resumed>, TrainError> {
    for place in list(folder)?.into_iter().rev() {
        match read(&place, model, optimizer) {
            Ok(resumed) => return Ok(Some(resumed)),
            Err(error) => context.warn(format!("{error}; going on without it")),
        }
    }
    Ok(None)
}

fn read(place: &Path, model: &mut Model, optimizer: &mut AdamW) -> Result<Resumed, TrainError> {
    let unfit = |why: String| TrainError::Checkpoint {
        path: place.to_owned(),
        why,
    };
    let path = place.join(STATE);
    let text = std::fs::read(&path).map_err(TrainError::io(&path))?;
    let state: State = serde_json::from_slice(&text).map_err(|error| unfit(format!("{STATE}: {error}")))?;
    let path = place.join(TENSORS);
    let bytes = std::fs::read(&path).map_err(TrainError::io(&path))?;
    if state.version != 1 || Digest::of(&bytes) != state.digest {
        return Err(unfit(format!("{TENSORS} is not what {STATE} says")));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| unfit(error.to_string()))?;
    let get = |what: &str, name: &str, count: usize| {
        let name = format!("{what}/{name}");
        let view = tensors
            .tensor(&name)
            .map_err(|error| unfit(format!("{name}: {error}")))?;
        if view.dtype() != Dtype::F32 || view.data().len() != count * size_of::<f32>() {
            return Err(unfit(format!("{name} is of another size")));
        }
        let values = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes));
        Ok(values.collect::<Vec<f32>>())
    };
    let all = |what: &str, device: &Device| {
        let tensor = |weight: &Weight| {
            let [rows, columns] = weight.value().dims();
            let values = get(what, weight.name(), rows * columns)?;
            Ok(Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device))
        };
        model
            .learned()
            .into_iter()
            .map(tensor)
            .collect::<Result<Vec<_>, TrainError>>()
    };
    // read all of it before anything is changed
    let device = model.device().clone();
    let weights = all("weights", &device)?;
    let best = state
        .progress
        .best
        .map(|_| all("best", &device.without_autodiff()))
        .transpose()?;
    let moment = |weight: &Weight, what| get(what, weight.name(), weight.shape().iter().product());
    let moments = model
        .learned()
        .into_iter()
        .map(|weight| Ok([moment(weight, "mean")?, moment(weight, "square")?]))
        .collect::<Result<Vec<_>, TrainError>>()?;
    for (weight, value) in model.learned_mut().into_iter().zip(weights) {
        weight.set(value);
    }
    optimizer.restore(state.progress.update, moments);
    Ok(Resumed {
        progress: state.progress,
        best,
    })
}

/// Tensors of a model's weights by `what/name`.
fn views_of(
    model: &Model,
    what: &str,
    tensors: impl Iterator<Item = Tensor<2>>,
) -> Result<Vec<(String, Values<'static>)>, TrainError> {
    let on_host = crate::device::is_cpu(model.device());
    let view = |(weight, tensor): (&Weight, Tensor<2>)| {
        let tensor = tensor.without_autodiff();
        let held = match on_host {
            true => Held::Tensor(Box::new(tensor)),
            false => Held::Values(values("a weight", tensor)?.into()),
        };
        let shape = weight.shape();
        Ok((format!("{what}/{}", weight.name()), Values { shape, held }))
    };
    model.learned().into_iter().zip(tensors).map(view).collect()
}

/// Checkpoints, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(TrainError::io(folder))? {
        let entry = entry.map_err(TrainError::io(folder))?;
        if entry.file_name().to_string_lossy().starts_with("update-") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn sync(path: &Path) -> Result<(), TrainError> {
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.sync_all()).map_err(TrainError::io(path))
}

/// Makes a rename durable where the system lets a folder be opened; elsewhere it is with the next
/// sync of the disk.
fn sync_folder(path: &Path) {
    if let Ok(folder) = std::fs::File::open(path) {
        let _ = folder.sync_all();
    }
}
