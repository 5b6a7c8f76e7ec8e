//! The files that a tokenizer can be read from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::sentencepiece::{self, Surroundings};
use super::tiktoken::{self, Vocabulary};
use super::{SpecialTokens, TokenizerError};

/// Hugging Face's own format, the first choice.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// What stands beside every tokenizer.
pub(super) const CONFIG: &str = "tokenizer_config.json";
/// Where models keep a tokenizer, the first that is there: after `tokenizer.json`, the names that T5, Llama
/// and others have for a SentencePiece model (Llama 3's `tokenizer.model` is a tiktoken file).
const NAMES: [&str; 5] = [
    TOKENIZER,
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
];

/// The file of a folder's tokenizer, if there is one.
pub fn tokenizer_file(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// The file of a tokenizer and the files beside it that say how it is read, those that are there.
pub fn files_beside(file: &Path) -> Vec<PathBuf> {
    let mut names = vec![CONFIG];
    if file.extension().is_none_or(|extension| extension != "json") {
        names.extend(["config.json", "added_tokens.json"]);
    }
    let all = names.into_iter().map(|name| file.with_file_name(name));
    all.filter(|path| path.is_file()).collect()
}

/// What a tokenizer's file says, as Hugging Face's files.
pub(super) struct Source {
    /// `tokenizer.json`.
    pub json: Vec<u8>,
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
}

impl Source {
    /// Reads a file by what is in it: `tokenizer.json`, a SentencePiece model, or a tiktoken vocabulary, whose
    /// words are cut as those of `pattern` (without one, of the published vocabulary that its name is of).
    pub(super) fn read(
        file: &Path,
        special: &SpecialTokens,
        pattern: Option<Vocabulary>,
    ) -> Result<Self, TokenizerError> {
        let text = std::fs::read(file).map_err(TokenizerError::io(file))?;
        let mut config = config(file)?;
        let wrong = |message: String| TokenizerError::file(file, message);
        if pattern.is_some() && !tiktoken::looks_like_one(&text) {
            return Err(wrong("is no tiktoken vocabulary: `pattern` is for those".into()));
        }
        let json = if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
            special.declare(&mut config);
            return Ok(Self { json: text, config });
        } else if tiktoken::looks_like_one(&text) {
            let named = file
                .file_stem()
                .and_then(|name| Vocabulary::named(&name.to_string_lossy()));
            let pattern = pattern.or(named).ok_or_else(|| {
                wrong(
                    "a tiktoken file does not say how words are cut before its tokens are found: name a published \
                     vocabulary that cuts them in the same way, with `pattern: cl100k_base` for instance"
                        .into(),
                )
            })?;
            let (json, roles) = tiktoken::of_file(&text, pattern, named.is_some(), special).map_err(wrong)?;
            fill(&mut config, roles);
            json
        } else {
            let folder = file.parent().unwrap_or(Path::new(""));
            let around = Surroundings::read(folder, &config)?;
            let (json, roles) = sentencepiece::tokenizer_json(&text, &around).map_err(wrong)?;
            fill(&mut config, roles);
            json
        };
        special.declare(&mut config);
        let mut written = serde_json::to_vec(&json).expect("a JSON value can be written");
        written.push(b'\n');
        Ok(Self { json: written, config })
    }
}

/// Roles that the configuration does not speak of.
fn fill(config: &mut Map<String, Value>, roles: Vec<(&'static str, String)>) {
    for (role, token) in roles {
        config.entry(role).or_insert(Value::String(token));
    }
    for (name, value) in super::format::config() {
        config.insert(name, value); // what is written is for the class that reads tokenizer.json
    }
    config.remove("added_tokens_decoder"); // they are in tokenizer.json
}

fn config(file: &Path) -> Result<Map<String, Value>, TokenizerError> {
    let beside = file.with_file_name(CONFIG);
    if !beside.is_file() {
        return Ok(Map::new());
    }
    let text = std::fs::read(&beside).map_err(TokenizerError::io(&beside))?;
    serde_json::from_slice(&text).map_err(|error| TokenizerError::file(&beside, error.to_string()))
}
