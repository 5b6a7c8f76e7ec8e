//! Tables, charts, the HTML page and the files for other tools.
//!
//! Reading order: [`Material`] is what a report is made from, read from the scores and everything
//! they descend from; [`comparison`] turns it into rows, best values and differences, [`panels`],
//! [`cost`], [`curves`], [`graph`] and [`steps`] into what the page draws, [`samples`] into the files
//! that it loads; [`page`] renders it, [`tables`], [`dataframes`] and [`export`] write it for other tools.
//! [`Inspection`] is another page: what is inside one model.
//! Nothing here knows the time or the machine: [`with_facts`] fills those into the page that a run
//! exports. Charts are drawn by kuva ([`chart`]).

mod chart;
mod columnar;
mod comparison;
mod cost;
mod curves;
mod dataframes;
mod export;
mod facts;
mod graph;
mod inspection;
mod lines;
mod material;
mod page;
mod panels;
mod pixels;
mod quantized;
mod ranking;
mod read;
mod repeats;
mod rows;
mod runs;
mod samples;
mod significance;
mod slices;
mod steps;
mod summary;
mod tables;
mod tokens;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use facts::{RUN_FACTS, with_facts};
pub use inspection::{Inspection, Maps, Near, NextToken, Placed, Shown};
pub use material::{Encoded, Group, Material, ModelCost, Quantized, ReportError, System, Trained};
pub use read::read;
pub use runs::{IndexedRun, index};
pub use words::Language;
pub use write::{Options, write};
