//! A model's files as another program left them, and how they become an artifact: the weights held to
//! their configuration and copied as they are, whatever their number format.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;

use super::{Model, ModelConfig, ModelError, WeightFile};

/// A folder of a model, or one file of weights with `config.json` and the rest beside it.
#[derive(Clone, Debug)]
pub struct Import {
    dir: PathBuf,
    /// The one file of weights that was named.
    weights: Option<PathBuf>,
}

/// What may be beside the weights and belongs to the model.
const BESIDE: [&str; 6] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "quantization.json",
];

/// What a model without a `tokenizer.json` has instead: SentencePiece models and what stands beside them.
/// They are not copied: a `tokenizer.json` is made of them.
const OTHER_TOKENIZERS: [&str; 5] = [
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "added_tokens.json",
];

impl Import {
    /// The files of a folder, or of the folder of a file.
    ///
    /// # Errors
    /// When there is nothing at the path, or no `config.json` or no weights.
    pub fn at(path: &Path) -> Result<Self, ModelError> {
        let metadata = std::fs::metadata(path).map_err(ModelError::file(path))?;
        let import = if metadata.is_dir() {
            Self {
                dir: path.to_owned(),
                weights: None,
            }
        } else {
            Self {
                dir: path.parent().unwrap_or(Path::new(".")).to_owned(),
                weights: Some(path.to_owned()),
            }
        };
        import.files()?;
        Ok(import)
    }

    /// All files that the model consists of, the configuration first and the weights last.
    ///
    /// # Errors
    /// When `config.json` or the weights are missing.
    pub fn files(&self) -> Result<Vec<PathBuf>, ModelError> {
        let config = self.dir.join("config.json");
        std::fs::metadata(&config).map_err(ModelError::file(&config))?;
        let beside = BESIDE.map(|name| self.dir.join(name));
        let mut files = vec![config];
        files.extend(beside.into_iter().filter(|path| path.is_file()));
        if !self.dir.join("tokenizer.json").is_file() {
            let others = OTHER_TOKENIZERS.map(|name| self.dir.join(name));
            files.extend(others.into_iter().filter(|path| path.is_file()));
        }
        match &self.weights {
            Some(path) => files.push(path.clone()),
            None => files.extend(WeightFile::files_of(&self.dir)?),
        }
        Ok(files)
    }

    /// Whether all files that it consists of are there.
    pub(super) fn whole(&self) -> bool {
        self.files().is_ok_and(|files| files.iter().all(|path| path.is_file()))
    }

    /// Whether a file of this name belongs to a model, beside its weights.
    pub(super) fn beside(name: &str) -> bool {
        name == "config.json" || BESIDE.contains(&name)
    }

    /// Whether a file of this name belongs to the tokenizer of a model that has no `tokenizer.json`.
    pub(super) fn other_tokenizer(name: &str) -> bool {
        OTHER_TOKENIZERS.contains(&name)
    }

    /// The folder of everything but, perhaps, the weights.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the model into a folder, its weights as safetensors in the format that they have.
    ///
    /// # Errors
    /// When a file is damaged or cannot be copied, or the weights are not those of the configuration;
    /// each missing, unexpected or misshapen one is named.
    pub fn copy(&self, out: &Path) -> Result<(), ModelError> {
        let weights = match &self.weights {
            Some(path) => WeightFile::open_file(path)?,
            None => WeightFile::open(&self.dir)?,
        };
        let (weights, names) = Model::check(&self.dir, weights)?;
        for path in self.files()? {
            let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
                continue;
            };
            let of_weights = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
            let small = Self::beside(&name);
            let to = match (&self.weights, of_weights) {
                _ if small => out.join(name),
                (Some(_), true) => out.join("model.safetensors"),
                (None, true) => out.join(name),
                (_, false) => continue, // PyTorch's own format is converted below
            };
            std::fs::copy(&path, &to).map_err(ModelError::file(&path))?;
        }
        if !out.join("model.safetensors").exists() && !out.join("model.safetensors.index.json").exists() {
            convert(&weights, names, &out.join("model.safetensors"))?;
        }
        let generation = out.join("generation_config.json");
        if !generation.exists() {
            super::model::write_json(&generation, ModelConfig::load(out)?.generation_json())?;
        }
        Ok(())
    }
}

/// Writes tensors as they are into a safetensors file, one after the other.
fn convert(weights: &WeightFile, mut names: Vec<String>, path: &Path) -> Result<(), ModelError> {
    names.sort();
    names.dedup();
    let tensors: Vec<(&str, TensorView<'_>)> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), weights.tensor(name)?)))
        .collect();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|problem| ModelError::Format {
        path: path.to_owned(),
        message: problem.to_string(),
    })
}
