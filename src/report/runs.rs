//! The index of a project's runs.

use minijinja::value::{Serde, Value};
use serde::Serialize;

use super::material::ReportError;
use super::page::environment;

/// A run in the index.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IndexedRun {
    /// Its identifier.
    pub run: String,
    /// The name that the user gave it, or nothing.
    pub name: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// When it began (RFC 3339).
    pub started: String,
    /// How it ended: `done`.
    pub state: &'static str,
    /// How long it took.
    pub took: String,
    /// Instances that were made, known already, and failed.
    pub counts: [usize; 3],
    /// Its headline score: `ROUGE-L 0.809 (tuned · shots 0)`; empty where nothing was scored.
    pub score: String,
    /// Its report, from the index.
    pub link: Option<String>,
}

/// The page that lists runs, in their order; `all` is how many there are.
///
/// # Errors
/// When the template and its values do not fit: a fault of the program.
pub fn index(runs: &[IndexedRun], all: usize) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Index<'a> {
        runs: &'a [IndexedRun],
        before: usize,
        nonce: String,
        version: &'static str,
    }
    let content = serde_json::to_vec(runs).expect("plain values");
    let index = Index {
        runs,
        before: all.saturating_sub(runs.len()),
        nonce: blake3::hash(&content).to_hex()[..32].to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let environment = environment()?;
    let page = environment
        .get_template("runs.html")?
        .render(Value::from(Serde(&index)))?;
    Ok(page.replace('\0', "\u{fffd}"))
}
