//! Tables, charts, the HTML page and its CSV files.
//!
//! Reading order: [`Material`] is what a report is made from, read from the scores and everything
//! they descend from; [`comparison`] turns it into rows, best values and differences, [`bars`],
//! [`curves`], [`graph`], [`outputs`] and [`steps`] into what the page draws; [`page`] renders it
//! and [`tables`] writes the CSV files. Nothing here knows the time or the machine: those are
//! filled into the exported page by the run.

mod bars;
mod comparison;
mod curves;
mod graph;
mod material;
mod outputs;
mod page;
mod ranking;
mod read;
mod scale;
mod steps;
mod summary;
mod tables;
mod words;

#[cfg(test)]
mod tests;

pub use material::{Group, Material, Quantized, ReportError, System, Trained};
pub use page::RUN_FACTS;
pub use read::read;
pub use words::Language;

use std::collections::BTreeMap;
use std::path::Path;

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
