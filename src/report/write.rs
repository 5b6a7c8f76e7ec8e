//! Writing a report artifact.

use std::collections::BTreeMap;
use std::path::Path;

use super::material::{Material, ReportError};
use super::words::Language;
use super::{page, tables};

/// What a report is asked to show.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The headline; the pipeline's name if there is none.
    pub title: String,
    /// A sentence below it.
    pub about: String,
    /// The page's language.
    pub language: Language,
    /// What differences are counted from: axis values (and `generations`: a step).
    pub baseline: BTreeMap<String, String>,
}

/// Writes `index.html`, `scores.csv` and `samples.csv` into a folder. The same material gives the
/// same bytes.
///
/// # Errors
/// When a table cannot be built or a file not be written.
pub fn write(material: &Material, options: &Options, out: &Path) -> Result<(), ReportError> {
    let put = |name: &str, content: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, content).map_err(|source| ReportError::Write { path, source })
    };
    put("index.html", page::render(material, options)?.as_bytes())?;
    put("scores.csv", &tables::csv(tables::scores(material)?)?)?;
    put("samples.csv", &tables::csv(tables::samples(material)?)?)
}
