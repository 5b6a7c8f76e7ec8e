//! What is known of a split's text and tokens: `statistics.json` beside `tokens.bin`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DataError, rows::write_json};

const FILE: &str = "statistics.json";

/// A token with how often it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its number.
    pub id: u32,
    /// What it stands for, with visible white space.
    pub token: String,
    /// How often it is there.
    pub count: u64,
}

/// Counts of a text and of the tokens that it became (not of those that are put around it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Of this format.
    pub version: u32,
    /// The vocabulary's size.
    pub vocab_size: usize,
    /// How many of its tokens are in the text.
    pub used: usize,
    /// Tokens.
    pub tokens: u64,
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Characters.
    pub characters: u64,
    /// Words: what white space separates.
    pub words: u64,
    /// The tokens that are there most often, and those of equal count by number.
    pub frequent: Vec<Listed>,
    /// The longest ones that are there, by their bytes.
    pub longest: Vec<Listed>,
}

impl Statistics {
    /// Those of a split's folder; `None` if it has none.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn read(split: &Path) -> Result<Option<Self>, DataError> {
        let path = split.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(DataError::io(&path))?;
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|error| DataError::file(&path, error.to_string()))
    }

    /// Writes them into a split's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, split: &Path) -> Result<(), DataError> {
        let value = serde_json::to_value(self).expect("plain values");
        write_json(&split.join(FILE), &value)
    }

    /// Bytes a token; 0 without tokens.
    pub fn bytes_per_token(&self) -> f64 {
        ratio(self.bytes, self.tokens)
    }

    /// Tokens a word; 0 without words.
    pub fn tokens_per_word(&self) -> f64 {
        ratio(self.tokens, self.words)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}
