//! Weights of files, as an architecture asks for them.

use std::sync::Arc;

use burn::tensor::Device;

use super::WeightFile;
use crate::models::init::{Source, Start};
use crate::models::{ModelError, Role, Weight};

/// How the names of tensors end that are no weights: masks and positions that follow from the
/// configuration, and embeddings that are there once more under another name.
const CONSTANTS: [&str; 7] = [
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    ".embed_positions.weight",
    ".layer.1.EncDecAttention.relative_attention_bias.weight", // of the first T5: never read
];

/// Gives an architecture the weights of a file, and collects what does not fit.
pub(in crate::models) struct Loaded<'a> {
    file: Arc<WeightFile>,
    device: &'a Device,
    /// Names that the architecture asked for, as the file has them.
    taken: Vec<String>,
    problems: Vec<String>,
    reading: Reading,
}

/// When the numbers of weights are read; shapes and types are looked at in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Now,
    /// As they are taken.
    Later,
    Never,
}

/// The numbers of a weight, in their file; they were found readable.
#[derive(Clone)]
pub(in crate::models) struct Numbers {
    file: Arc<WeightFile>,
    /// The tensor's name there.
    name: String,
    output_axis: usize,
    shape: Vec<usize>,
}

/// Numbers that are read at a time.
const PIECE: usize = 1 << 17;
const READABLE: &str = "what was found readable is read";

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of `{}`", self.shape, self.name)
    }
}

impl Numbers {
    /// The Hugging Face shape.
    pub(in crate::models) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads them, in row-major order, and gives the file's pages back to the system.
    pub(in crate::models) fn read(self) -> Vec<f32> {
        let numbers = self.file.numbers(&self.name, self.output_axis);
        self.file.release(&self.name);
        numbers.expect(READABLE)
    }

    /// Reads a matrix's rows one after another, a few at a time, so that little of it is there twice.
    pub(in crate::models) fn each_row(self, mut take: impl FnMut(usize, &[f32])) {
        let [rows, columns] = [self.shape[0], self.shape[1]];
        let piece = (PIECE / columns.max(1)).max(1);
        for start in (0..rows).step_by(piece) {
            let range = start..(start + piece).min(rows);
            let numbers = self.file.numbers_of_rows(&self.name, self.output_axis, range);
            self.file.release(&self.name);
            let numbers = numbers.expect(READABLE);
            for (row, values) in numbers.chunks_exact(columns.max(1)).enumerate() {
                take(start + row, values);
            }
        }
    }
}

impl<'a> Loaded<'a> {
    pub(in crate::models) fn new(file: WeightFile, device: &'a Device) -> Self {
        Self {
            file: Arc::new(file),
            device,
            taken: Vec::new(),
            problems: Vec::new(),
            reading: Reading::Now,
        }
    }

    /// One whose weights are read when they are taken.
    pub(in crate::models) fn later(file: WeightFile, device: &'a Device) -> Self {
        Self {
            reading: Reading::Later,
            ..Self::new(file, device)
        }
    }

    /// One that reads no numbers: the weights that it gives are placeholders.
    pub(in crate::models) fn checking(file: WeightFile, device: &'a Device) -> Self {
        Self {
            reading: Reading::Never,
            ..Self::new(file, device)
        }
    }

    /// Whether the second of two tensors stands for the first: it is not there, or has the same bytes.
    pub(in crate::models) fn same(&self, name: &str, other: &str) -> bool {
        match (self.file.tensor(name), self.file.tensor(other)) {
            (Some(tensor), Some(other)) => tensor.data() == other.data(),
            (tensor, _) => tensor.is_none(),
        }
    }

    /// The file's name for a weight: some checkpoints (the first GPT-2) leave out the first part.
    fn find(&self, name: &str) -> Option<String> {
        let short = name.split_once('.').map(|(_, rest)| rest);
        [Some(name), short]
            .into_iter()
            .flatten()
            .find(|name| self.file.has(name))
            .map(str::to_owned)
    }

    /// After all weights were asked for: the file and the names that were taken of it, or an error if
    /// any did not fit or was left over.
    pub(in crate::models) fn finish(mut self, tied: bool) -> Result<(Arc<WeightFile>, Vec<String>), ModelError> {
        for name in self.file.names() {
            let base = name.strip_suffix("_scale").unwrap_or(name);
            let taken = self.taken.iter().any(|taken| taken == base);
            // a tied output layer is sometimes stored again; old files store attention's constants
            let harmless = (tied && base == "lm_head.weight")
                || CONSTANTS.iter().any(|constant| name.ends_with(constant))
                || (name == "final_logits_bias" && self.zeros(name));
            if !taken && !harmless {
                self.problems.push(format!("  unexpected `{name}`"));
            }
        }
        if self.problems.is_empty() {
            return Ok((self.file, self.taken));
        }
        Err(ModelError::Weights {
            path: self.file.place().to_owned(),
            problems: self.problems,
        })
    }

    /// Whether a tensor is zero everywhere.
    fn zeros(&self, name: &str) -> bool {
        self.file
            .tensor(name)
            .is_some_and(|tensor| tensor.data().iter().all(|byte| *byte == 0))
    }

    /// What is wrong with a tensor's shape, if anything.
    fn misshapen(&self, found: &str, shape: &[usize]) -> Option<String> {
        let tensor = self.file.tensor(found)?;
        let fits = tensor.shape() == shape;
        (!fits).then(|| format!("`{found}` has shape {:?}, not {shape:?}", tensor.shape()))
    }

    fn take(&mut self, name: &str) -> String {
        let found = self.find(name).unwrap_or_else(|| name.to_owned());
        self.taken.push(found.clone());
        found
    }
}

impl Source for Loaded<'_> {
    fn device(&self) -> &Device {
        self.device
    }

    fn values(&mut self, name: &str, role: Role, shape: &[usize], _start: Start) -> Vec<f32> {
        let found = self.take(name);
        let values = match self.misshapen(&found, shape) {
            Some(problem) => Err(problem),
            None => self.file.numbers(&found, role.output_axis()),
        };
        self.file.release(&found);
        values.unwrap_or_else(|problem| {
            self.problems.push(format!("  {problem}"));
            Vec::new()
        })
    }

    fn weight(&mut self, name: String, role: Role, shape: &[usize], start: Start) -> Weight {
        let placeholder = |name: String, device: &Device| Weight::placeholder(name, role, device);
        if self.reading != Reading::Now {
            let found = self.take(&name);
            let output_axis = role.output_axis();
            let problem = self
                .misshapen(&found, shape)
                .or_else(|| self.file.unreadable(&found, output_axis));
            return match (problem, self.reading) {
                (Some(problem), _) => {
                    self.problems.push(format!("  {problem}"));
                    placeholder(name, self.device)
                }
                (None, Reading::Later) => {
                    let numbers = Numbers {
                        file: Arc::clone(&self.file),
                        name: found,
                        output_axis,
                        shape: shape.to_vec(),
                    };
                    Weight::later(name, role, numbers, self.device)
                }
                (None, _) => placeholder(name, self.device),
            };
        }
        // a configuration that lies about a shape must not cost its memory
        let values = self.values(&name, role, shape, start);
        if Some(values.len()) != shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side)) {
            return placeholder(name, self.device);
        }
        Weight::new(name, role, values, shape, self.device)
    }
}
