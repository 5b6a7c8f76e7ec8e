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
mod quantized;
mod ranking;
mod read;
mod scale;
mod steps;
mod summary;
mod tables;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use material::{Group, Material, Quantized, ReportError, System, Trained};
pub use page::RUN_FACTS;
pub use read::read;
pub use words::Language;
pub use write::{Options, write};
