//! Scoring files that no pipeline made: systems and references read side by side, in batches.

use std::path::PathBuf;

use rayon::prelude::*;

use super::segments::{Layout, OUTPUT_FIELDS, REFERENCE_FIELDS, Segment, Segments, SegmentsError, system_name};
use super::slices::value;
use super::{Evaluated, MetricsError, Pair, Scorer, Settings};
use crate::seed::Seed;

/// Fields that hold references beside the output.
const OWN_REFERENCE_FIELDS: &[&str] = &["references", "reference", "target", "answer"];

/// Segments of each file that are in memory at once.
const BATCH: usize = 4096;

/// Files to score and how to read them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Files of references, one segment each for a segment of a system. None: they stand beside the
    /// outputs.
    pub references: Vec<PathBuf>,
    /// What each system wrote.
    pub systems: Vec<PathBuf>,
    /// How segments are written; by the names of the files where it is not told.
    pub layout: Option<Layout>,
    /// The field that holds outputs.
    pub field: Option<String>,
    /// The field that holds references.
    pub reference_field: Option<String>,
    /// Fields whose values are scored apart.
    pub slices: Vec<String>,
}

/// What keeps files from being scored.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    /// What they hold cannot be scored.
    #[error("{system}: {source}")]
    Metrics {
        /// The system.
        system: String,
        /// Why.
        source: MetricsError,
    },
    /// Two files that are to be read side by side, and are not of one length.
    #[error("{one} has {ones} segments and {other} has {others}: line them up, one segment a line")]
    Lengths {
        /// One file.
        one: String,
        /// Its segments.
        ones: usize,
        /// The other.
        other: String,
        /// Its segments.
        others: usize,
    },
    /// Something about the files as a whole.
    #[error("{0}")]
    Question(String),
}

/// A system's name with its scores.
pub type Scored = (String, Evaluated);

/// Is given the place of a system, the number of a segment from 1, and its scores by metric.
pub type OwnScores<'a> = &'a mut dyn FnMut(usize, usize, &[(&'static str, f64)]);

/// Scores each system by the named metrics (groups resolved). `seed` is that of the intervals;
/// without, there are none. `each`, where it is given, is called with each segment's own scores.
///
/// # Errors
/// Files that cannot be read or do not line up, and what cannot be scored.
pub fn score_files(
    files: &Files,
    names: &[String],
    settings: &Settings,
    seed: Option<Seed>,
    mut each: Option<OwnScores<'_>>,
) -> Result<Vec<Scored>, FilesError> {
    let mut systems = open_systems(files, names, settings)?;
    let mut references = Vec::new();
    for path in &files.references {
        references.push(Segments::open(
            path,
            files.layout,
            files.reference_field.as_deref(),
            REFERENCE_FIELDS,
        )?);
    }
    loop {
        let mut shared = Vec::new();
        for file in &mut references {
            shared.push(file.batch(BATCH)?);
        }
        // systems side by side: what is read and put together for one is not waited for by the others
        let read = |system: &mut System| -> Result<_, SegmentsError> {
            let outputs = system.outputs.batch(BATCH)?;
            Ok((outputs, system.own.as_mut().map(|file| file.batch(BATCH)).transpose()?))
        };
        let batches: Vec<_> = systems.par_iter_mut().map(read).collect();
        let batches = batches.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (system, (outputs, _)) in systems.iter_mut().zip(&batches) {
            line_up(system, outputs.len(), &shared, &mut references)?;
        }
        let ended = batches.iter().all(|(outputs, _)| outputs.is_empty());
        let own_scores = each.is_some();
        let add = |(system, (outputs, own)): (&mut System, &(Vec<Segment>, Option<Vec<Segment>>))| {
            let columns: Vec<&[Segment]> = shared.iter().chain(own).map(Vec::as_slice).collect();
            let before = system.outputs.read() - outputs.len();
            system.add(files, outputs, &columns, before, own_scores)
        };
        let scored: Vec<_> = systems.par_iter_mut().zip(&batches).map(add).collect();
        for (place, scores) in scored.into_iter().enumerate() {
            let (system, scores) = (&systems[place], scores?);
            if let Some(each) = &mut each {
                let metrics = system.scorer.names();
                let before = system.outputs.read() - batches[place].0.len();
                for (segment, scores) in (before + 1..).zip(scores) {
                    let named: Vec<_> = metrics.iter().copied().zip(scores).collect();
                    each(place, segment, &named);
                }
            }
        }
        if ended {
            break;
        }
    }
    let finish = |system: System| {
        let evaluated = match seed {
            Some(seed) => system.scorer.finish(seed),
            None => system.scorer.finish_without_intervals(),
        };
        match evaluated {
            Ok(evaluated) => Ok((system.name, evaluated)),
            Err(MetricsError::Empty) => Err(FilesError::Question(format!("{} is empty", system.outputs.name()))),
            Err(source) => Err(FilesError::Metrics {
                system: system.name,
                source,
            }),
        }
    };
    systems.into_iter().map(finish).collect()
}

struct System {
    name: String,
    outputs: Segments,
    /// The same file again, for the references beside the outputs.
    own: Option<Segments>,
    scorer: Scorer,
}

fn open_systems(files: &Files, names: &[String], settings: &Settings) -> Result<Vec<System>, FilesError> {
    let all = files.references.iter().chain(&files.systems);
    if all.filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(FilesError::Question(
            "standard input can be read once: name a file for the other".to_owned(),
        ));
    }
    let mut systems: Vec<System> = Vec::new();
    for path in &files.systems {
        let name = system_name(path);
        if systems.iter().any(|known| known.name == name) {
            let message = format!("two systems are called `{name}`, after their files: rename one of them");
            return Err(FilesError::Question(message));
        }
        let scorer = Scorer::new(names, settings).sliced(&files.slices);
        let layout = files.layout.unwrap_or_else(|| Layout::of(path));
        let beside = files.references.is_empty() && scorer.needs_references();
        if beside && (layout == Layout::Text || path.as_os_str() == "-") {
            let message = format!("there is nothing to compare `{name}` with: give the references by --references");
            return Err(FilesError::Question(message));
        }
        let own = beside.then(|| {
            Segments::open(
                path,
                files.layout,
                files.reference_field.as_deref(),
                OWN_REFERENCE_FIELDS,
            )
        });
        systems.push(System {
            name,
            outputs: Segments::open(path, files.layout, files.field.as_deref(), OUTPUT_FIELDS)?,
            own: own.transpose()?,
            scorer,
        });
    }
    Ok(systems)
}

/// Whether a system and all references go on or end together; reads on to tell their lengths where not.
fn line_up(
    system: &mut System,
    outputs: usize,
    shared: &[Vec<Segment>],
    references: &mut [Segments],
) -> Result<(), FilesError> {
    let Some(index) = shared.iter().position(|batch| batch.len() != outputs) else {
        return Ok(());
    };
    let rest = |file: &mut Segments| -> Result<usize, SegmentsError> {
        while !file.batch(BATCH)?.is_empty() {}
        Ok(file.read())
    };
    let (ones, others) = (rest(&mut system.outputs)?, rest(&mut references[index])?);
    Err(FilesError::Lengths {
        one: system.outputs.name().to_owned(),
        ones,
        other: references[index].name().to_owned(),
        others,
    })
}

impl System {
    fn add(
        &mut self,
        files: &Files,
        outputs: &[Segment],
        references: &[&[Segment]],
        before: usize,
        own_scores: bool,
    ) -> Result<Vec<Vec<f64>>, FilesError> {
        let failed = |source| FilesError::Metrics {
            system: self.name.clone(),
            source,
        };
        let mut texts = Vec::with_capacity(outputs.len());
        let mut values = Vec::new();
        for (index, output) in outputs.iter().enumerate() {
            let [_] = output.texts.as_slice() else {
                let what = format!(
                    "segment {} of {} is a list: an output is one text",
                    before + index + 1,
                    self.name
                );
                return Err(FilesError::Question(what));
            };
            let of_segment = references.iter().flat_map(|file| &file[index].texts).cloned();
            texts.push(of_segment.collect::<Vec<String>>());
            if !files.slices.is_empty() {
                let id = (before + index + 1).to_string();
                let rows: Vec<_> = references
                    .iter()
                    .map(|file| &file[index].row)
                    .chain([&output.row])
                    .collect();
                let of_field = |field: &String| {
                    let row = rows
                        .iter()
                        .find(|row| row.contains_key(field))
                        .unwrap_or(&rows[rows.len() - 1]);
                    value(field, &id, row)
                };
                let of_segment: Result<Vec<String>, _> = files.slices.iter().map(of_field).collect();
                values.push(of_segment.map_err(failed)?);
            }
        }
        let pairs = outputs.iter().zip(&texts).map(|(output, references)| Pair {
            output: &output.texts[0],
            references,
        });
        let pairs: Vec<Pair<'_>> = pairs.collect();
        self.scorer
            .add_lines(&pairs, &values, own_scores)
            .map_err(|source| FilesError::Metrics {
                system: self.name.clone(),
                source,
            })
    }
}
