//! `fragua inspect`: a page about what is inside a model while it reads a text.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::failure::{Usage, asked};
use super::look;
use super::print::line;
use crate::inspect::{InspectError, Question};
use crate::records;
use crate::report::Language;

/// Examples for `--help`.
pub const EXAMPLES: &str = "Examples:
  fragua inspect last:base --text 'The dog chased the cat because it'
  fragua inspect models/flan-t5-small --text 'translate English to German: The dog sleeps.'
  fragua inspect last:translator --text 'Where is the red lamp?' --answer '¿Dónde está' --language es

The page shows attention by layer and head, the tokens nearest to those of the text and where they are on a
plane, and what would come next under several temperatures. It is one file and loads nothing.";

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The model: its folder, or RUN:STEP (`last:base`)
    pub model: String,

    /// What the model reads
    #[arg(long, value_name = "TEXT", required_unless_present = "text_file")]
    pub text: Option<String>,

    /// The same from a file
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub text_file: Option<PathBuf>,

    /// What the decoder of an encoder-decoder has written so far [default: what it writes, likeliest first]
    #[arg(long, value_name = "TEXT")]
    pub answer: Option<String>,

    /// Temperatures for the next token
    #[arg(long, value_name = "T,..", value_delimiter = ',', default_value = "0.2,0.7,1,1.5", value_parser = temperature)]
    pub temperatures: Vec<f64>,

    /// The page
    #[arg(long, short, value_name = "FILE", default_value = "inspect.html")]
    pub output: PathBuf,

    /// The page's language: en or es
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = super::arguments::language)]
    pub language: Language,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a temperature is a number above 0".into()),
    }
}

/// Writes the page.
pub fn run(global: &Global, arguments: &InspectArguments) -> anyhow::Result<u8> {
    let made = records::made(&global.store, &arguments.model).map_err(asked)?;
    let text = match (&arguments.text, &arguments.text_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            text.with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) => return Err(Usage("say what the model reads: --text TEXT".into()).into()),
    };
    let name = made.instance.unwrap_or_else(|| {
        let folder = made.folder.file_name();
        folder.map_or_else(|| arguments.model.clone(), |name| name.to_string_lossy().into_owned())
    });
    let question = Question {
        name,
        text,
        answer: arguments.answer.clone(),
        temperatures: arguments.temperatures.clone(),
    };
    let device = look::device(global)?.0.open()?;
    let inspection = match crate::inspect::look(&made.folder, &device, &question) {
        Ok(inspection) => inspection,
        Err(error @ InspectError::Text(_)) => return Err(Usage(error.to_string()).into()),
        Err(error) => return Err(error).with_context(|| format!("cannot look into `{}`", arguments.model)),
    };
    let page = inspection.page(arguments.language)?;
    let output = &arguments.output;
    std::fs::write(output, page).with_context(|| format!("cannot write {}", output.display()))?;
    if global.json {
        let told = json!({"page": output, "tokens": inspection.read.len(), "maps": inspection.maps.len()});
        line(told.to_string());
    } else {
        line(output.display().to_string());
    }
    Ok(0)
}
