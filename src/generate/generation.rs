//! What is kept of a decoded row: a line of `generations.jsonl`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Finish, GenerateError, Output};
use crate::data::Row;

/// One row's output: a line of `generations.jsonl`, in the order of the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The row's name: see [`ids`].
    pub id: String,
    /// The whole prompt, examples included.
    pub prompt: String,
    /// What the model wrote, without white space around it, end token and stop text.
    pub output: String,
    /// The right answers, if the data has any.
    pub references: Vec<String>,
    /// Why the output ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, the end token and those of a stop text included.
    pub output_tokens: usize,
    /// The seed of this row's draws.
    pub seed: u64,
    /// Examples in the prompt: fewer than asked for where they did not fit.
    pub shots_used: usize,
    /// The natural logarithm of the model's own probability of each token, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<f32>>,
    /// Of a beam search: what the output was chosen by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// The other outputs, if several were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The dataset's row.
    pub row: Row,
}

/// Another output of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// What the model wrote.
    pub output: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens generated.
    pub output_tokens: usize,
    /// As [`Generation::logprobs`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<f32>>,
    /// As [`Generation::score`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}

impl From<Output> for Alternative {
    fn from(output: Output) -> Self {
        Self {
            output: output.text.trim().to_owned(),
            finish: output.finish,
            output_tokens: output.tokens.len(),
            logprobs: (!output.logprobs.is_empty()).then_some(output.logprobs),
            score: output.score,
        }
    }
}

/// Names for rows: their `id` fields where every row has one of its own (text or a whole number),
/// else their positions, from 0.
pub fn ids(rows: &[Row]) -> Vec<String> {
    let own = |row: &Row| match row.get("id") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    let named: Vec<String> = rows.iter().filter_map(own).collect();
    let distinct: BTreeSet<&String> = named.iter().collect();
    if distinct.len() == rows.len() {
        named
    } else {
        (0..rows.len()).map(|row| row.to_string()).collect()
    }
}

/// Writes `generations.jsonl`.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, generations: &[Generation]) -> Result<(), GenerateError> {
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for generation in generations {
            serde_json::to_writer(&mut file, generation)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().map_err(|source| GenerateError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(values: &[Value]) -> Vec<Row> {
        values.iter().map(|value| value.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn rows_keep_their_own_names_when_all_are_distinct() {
        assert_eq!(ids(&rows(&[json!({"id": "a"}), json!({"id": 7})])), ["a", "7"]);
        assert_eq!(ids(&rows(&[json!({"id": "a"}), json!({"id": "a"})])), ["0", "1"]);
        assert_eq!(ids(&rows(&[json!({"id": "a"}), json!({"text": "b"})])), ["0", "1"]);
        assert_eq!(ids(&rows(&[json!({"id": 1.5})])), ["0"]);
    }
}
