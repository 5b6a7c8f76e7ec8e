//! Writing a report artifact.

use std::collections::BTreeMap;
use std::path::Path;

use super::material::{Material, ReportError};
use super::page::{self, Parts};
use super::repeats::{over_repeats, summed};
use super::significance::significance;
use super::words::{Language, Words};
use super::{comparison, dataframes, export, ranking, samples, summary, tables};

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

/// The tables beside the page, in the order in which it lists them.
const DOWNLOADS: &[&str] = &[
    "scores.csv",
    "samples.csv",
    "scores.parquet",
    "samples.parquet",
    "paired.parquet",
    "scores.json",
    "report.md",
    "scores.tex",
];

/// Writes `index.html` with its files of samples, and the tables for other tools, into a folder. The
/// same material gives the same bytes. Samples are read line by line, once for each thing that is
/// made from them.
///
/// # Errors
/// When a table cannot be built or a file not be read or written.
pub fn write(material: &Material, options: &Options, out: &Path) -> Result<(), ReportError> {
    let put = |name: &str, content: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, content).map_err(|source| ReportError::Write { path, source })
    };
    let words = Words::of(options.language);
    let colours = |group: &super::Group| ranking::colours(group, &options.baseline);
    let samples = samples::write(&material.groups, colours, &words, out)?;
    let spreads: Vec<_> = samples
        .iter()
        .map(|samples| {
            samples
                .as_ref()
                .map(|samples| samples.spreads.clone())
                .unwrap_or_default()
        })
        .collect();
    // what is compared from here on are means over seeds, where something was repeated
    let (compared, members): (Vec<_>, Vec<_>) = material.groups.iter().map(over_repeats).unzip();
    let spreads: Vec<_> = spreads
        .iter()
        .zip(&members)
        .map(|(spreads, members)| summed(spreads, members))
        .collect();
    let compared = Material {
        groups: compared,
        ..material.clone()
    };
    let tested = compared
        .groups
        .iter()
        .map(|group| significance(group, &options.baseline));
    let tested = tested.collect::<Result<Vec<_>, _>>()?;
    let tables = comparison::tables(&compared, &options.baseline, &spreads, &tested, &words);
    let summary = summary::summary(&compared, &options.baseline, &tested, &words);
    let slices = tables::slices(material)?;
    let mut downloads = DOWNLOADS.to_vec();
    if slices.is_some() {
        downloads.insert(1, "slices.csv");
    }
    let parts = Parts {
        summary: &summary,
        tables: &tables,
        samples: &samples,
        downloads: &downloads,
    };
    put(
        "index.html",
        page::render(&compared, &parts, options, &words)?.as_bytes(),
    )?;
    put("scores.csv", &tables::csv(tables::scores(material)?)?)?;
    if let Some(slices) = slices {
        put("slices.csv", &tables::csv(slices)?)?;
    }
    tables::samples(material, &out.join("samples.csv"))?;
    dataframes::scores(material, &out.join("scores.parquet"))?;
    dataframes::samples(material, &out.join("samples.parquet"))?;
    dataframes::paired(material, &out.join("paired.parquet"))?;
    put("scores.json", export::json(options, &summary, &tables).as_bytes())?;
    put(
        "report.md",
        export::markdown(options, &summary, &tables, &words).as_bytes(),
    )?;
    put("scores.tex", export::latex(&tables, &words).as_bytes())
}
