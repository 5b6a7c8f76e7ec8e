//! Samples in, statistics kept: the streaming half of an evaluation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::classes::{self, Labels};
use super::resume::Resume;
use super::samples::Row;
use super::slices::{self, Field, Keys};
use super::table::Column;
use super::{Evaluated, Metric, MetricsError, Pair, ReferenceCount, Sample, ScoredSample, Settings, Workspace, all};
use crate::seed::Seed;

/// Samples that one thread scores at once.
const CHUNK: usize = 64;

/// Scores samples as they come and keeps of each only its statistics: some tens of numbers. Distinct-n
/// alone keeps more, 16 bytes or so for each different n-gram.
pub struct Scorer {
    metrics: Vec<Arc<dyn Metric>>,
    /// The chosen metrics that are figures of a confusion matrix.
    class_names: Vec<String>,
    labels: Option<Labels>,
    columns: Vec<Column>,
    /// For each metric that counts different things, those things.
    keys: Vec<Keys>,
    fields: Vec<Field>,
    references: Option<ReferenceCount>,
    samples: usize,
    /// What an earlier attempt computed.
    resume: Option<Resume>,
    /// Buffers that threads take and give back.
    workspaces: Mutex<Vec<Workspace>>,
}

/// What a chunk of samples contributes.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// How many samples it is of.
    pub samples: usize,
    /// The metrics' statistics side by side, a row a sample.
    numbers: Vec<f64>,
    /// For each sample and each metric that counts different things, its keys.
    keys: Vec<Vec<u64>>,
    labels: Vec<(String, u64)>,
}

impl Scorer {
    /// A scorer by the named metrics (groups resolved), in the order of the registry.
    pub fn new(names: &[String], settings: &Settings) -> Self {
        let chosen = all(settings).into_iter();
        let chosen = chosen.filter(|metric| names.iter().any(|name| name == metric.facts().name));
        let mut scorer = Self::of(chosen.collect());
        let classes = classes::facts().map(|facts| facts.name.to_owned());
        scorer.class_names = classes.filter(|name| names.contains(name)).collect();
        scorer.labels = (!scorer.class_names.is_empty()).then(Labels::default);
        scorer
    }

    /// A scorer by some metrics.
    pub fn of(metrics: Vec<Arc<dyn Metric>>) -> Self {
        let keyed = metrics.iter().filter(|metric| metric.counts_keys()).count();
        Self {
            columns: metrics.iter().map(Column::of_metric).collect(),
            metrics,
            class_names: Vec::new(),
            labels: None,
            keys: vec![Keys::default(); keyed],
            fields: Vec::new(),
            references: None,
            samples: 0,
            resume: None,
            workspaces: Mutex::default(),
        }
    }

    /// The same, with the samples of each value of these fields scored apart as well.
    pub fn sliced(mut self, fields: &[String]) -> Self {
        self.fields = fields.iter().cloned().map(Field::new).collect();
        self
    }

    /// The same, keeping what each sample contributes in a checkpoint folder as it goes, and taking from
    /// there what an earlier attempt at the same evaluation kept. The second is how many samples that is.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn resuming(mut self, checkpoints: &Path) -> Result<(Self, usize), MetricsError> {
        let resume = Resume::open(checkpoints)?;
        let before = resume.samples();
        self.resume = Some(resume);
        Ok((self, before))
    }

    /// Adds samples, with their rows of the dataset where there are slices; gives them back with
    /// their own scores.
    ///
    /// # Errors
    /// A sample without reference, a row without a field to slice by, references that are no labels
    /// where those are asked for.
    pub fn add(&mut self, samples: Vec<Sample>, rows: &[Row]) -> Result<Vec<ScoredSample>, MetricsError> {
        let pairs: Vec<Pair<'_>> = samples.iter().map(Sample::pair).collect();
        let values = self.slice_values(&samples, rows)?;
        let name = |index: usize| samples[index].id.clone();
        let chunks = self.statistics(&pairs, &name)?;
        self.keep(&pairs, &chunks, &values)?;
        let width: usize = self.width();
        let numbers = chunks.par_iter().flat_map_iter(|chunk| {
            let rows = chunk.numbers.chunks(width.max(1));
            rows.map(|row| self.own_scores(row))
        });
        let mut own: Vec<(Map<String, Value>, Map<String, Value>)> = numbers.collect();
        own.resize(samples.len(), (Map::new(), Map::new())); // without a metric of texts there is none
        let scored = samples
            .into_iter()
            .zip(own)
            .enumerate()
            .map(|(index, (sample, (scores, statistics)))| {
                let slices = self.fields.iter().zip(values.get(index).into_iter().flatten());
                ScoredSample {
                    sample,
                    scores,
                    statistics,
                    slices: slices
                        .map(|(field, value)| (field.name.clone(), value.clone()))
                        .collect(),
                }
            });
        Ok(scored.collect())
    }

    /// Adds texts without a name: line `before` and on. For each its sentence score by each metric is
    /// given back where `own` asks for it.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_lines(
        &mut self,
        pairs: &[Pair<'_>],
        values: &[Vec<String>],
        own: bool,
    ) -> Result<Vec<Vec<f64>>, MetricsError> {
        let before = self.samples;
        let name = |index: usize| format!("{}", before + index + 1);
        let chunks = self.statistics(pairs, &name)?;
        self.keep(pairs, &chunks, values)?;
        if !own {
            return Ok(Vec::new());
        }
        let width = self.width().max(1);
        let rows = chunks.iter().flat_map(|chunk| chunk.numbers.chunks(width));
        Ok(rows
            .map(|row| self.sentences(row).map(|(_, score)| score).collect())
            .collect())
    }

    /// The metrics of texts that samples are scored by.
    pub fn names(&self) -> Vec<&'static str> {
        self.metrics.iter().map(|metric| metric.facts().name).collect()
    }

    /// Whether every sample must have a reference.
    pub fn needs_references(&self) -> bool {
        self.labels.is_some() || self.metrics.iter().any(|metric| metric.needs_references())
    }

    fn width(&self) -> usize {
        self.metrics.iter().map(|metric| metric.shape().width()).sum()
    }

    fn slice_values(&self, samples: &[Sample], rows: &[Row]) -> Result<Vec<Vec<String>>, MetricsError> {
        let of_row = |(sample, row): (&Sample, &Row)| {
            let fields = self.fields.iter();
            fields
                .map(|field| slices::value(&field.name, &sample.id, row))
                .collect()
        };
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        samples.iter().zip(rows).map(of_row).collect()
    }

    /// The statistics of some samples, in chunks, whatever thread computed which.
    fn statistics(
        &self,
        pairs: &[Pair<'_>],
        name: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<Vec<Chunk>, MetricsError> {
        let needs = self.needs_references();
        if let Some(index) = pairs.iter().position(|pair| needs && pair.references.is_empty()) {
            return Err(MetricsError::NoReference { id: name(index) });
        }
        let chunks = pairs.par_chunks(CHUNK).enumerate();
        let chunk = |(number, pairs): (usize, &[Pair<'_>])| match &self.resume {
            Some(resume) => {
                let first = self.samples + number * CHUNK;
                resume.chunk(first, pairs.len(), || self.chunk(pairs))
            }
            None => Ok(self.chunk(pairs)),
        };
        chunks.map(chunk).collect()
    }

    fn chunk(&self, pairs: &[Pair<'_>]) -> Chunk {
        let free = || {
            self.workspaces
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        let mut work = free().pop().unwrap_or_default();
        let mut numbers = vec![0.0; pairs.len() * self.width()];
        let mut keys = Vec::new();
        let mut rest = numbers.as_mut_slice();
        for pair in pairs {
            work.begin();
            for metric in &self.metrics {
                let (own, after) = rest.split_at_mut(metric.shape().width());
                rest = after;
                metric.statistics(*pair, &mut work, own);
                if metric.counts_keys() {
                    let mut own = Vec::new();
                    metric.keys(*pair, &mut work, &mut own);
                    keys.push(own);
                }
            }
        }
        free().push(work);
        let labels = self
            .labels
            .is_some()
            .then(|| pairs.iter().map(|pair| classes::label(*pair)).collect());
        Chunk {
            samples: pairs.len(),
            numbers,
            keys,
            labels: labels.unwrap_or_default(),
        }
    }

    /// Keeps what the corpus needs, sample by sample in order.
    fn keep(&mut self, pairs: &[Pair<'_>], chunks: &[Chunk], values: &[Vec<String>]) -> Result<(), MetricsError> {
        let width = self.width();
        for row in chunks.iter().flat_map(|chunk| chunk.numbers.chunks(width.max(1))) {
            let mut rest = row;
            for column in &mut self.columns {
                let (own, after) = rest.split_at(column.table.width());
                rest = after;
                column.table.push(own);
            }
        }
        for values in values {
            for (field, value) in self.fields.iter_mut().zip(values) {
                field.push(value.clone(), self.keys.len())?;
            }
        }
        let keyed = self.keys.len();
        for (index, keys) in chunks.iter().flat_map(|chunk| &chunk.keys).enumerate() {
            let (sample, which) = (index / keyed, index % keyed);
            self.keys[which].extend(keys);
            for field in &mut self.fields {
                field.extend(self.samples + sample, which, keys);
            }
        }
        if let Some(labels) = &mut self.labels {
            for chunk in chunks {
                chunk.labels.iter().try_for_each(|label| labels.push(label.clone()))?;
            }
        }
        for pair in pairs {
            let count = ReferenceCount::Each(pair.references.len());
            self.references = match self.references {
                None => Some(count),
                Some(known) if known == count => Some(known),
                Some(_) => Some(ReferenceCount::Varying),
            };
        }
        self.samples += pairs.len();
        Ok(())
    }

    /// A sample's scores, from its statistics.
    fn sentences<'a>(&'a self, mut row: &'a [f64]) -> impl Iterator<Item = (&'a [f64], f64)> {
        self.metrics.iter().map(move |metric| {
            let (own, after) = row.split_at(metric.shape().width());
            row = after;
            (own, metric.sentence(own))
        })
    }

    /// A sample's scores by name, and the statistics of those metrics that have more than one.
    fn own_scores(&self, row: &[f64]) -> (Map<String, Value>, Map<String, Value>) {
        let (mut scores, mut statistics) = (Map::new(), Map::new());
        for (metric, (own, score)) in self.metrics.iter().zip(self.sentences(row)) {
            let name = metric.facts().name;
            scores.insert(name.to_owned(), Value::from(score));
            if own.len() > 1 {
                statistics.insert(name.to_owned(), own.iter().map(|number| exact(*number)).collect());
            }
        }
        (scores, statistics)
    }

    /// What can be asked of all samples; intervals are drawn from `seed`.
    ///
    /// # Errors
    /// When there were no samples.
    pub fn finish(self, seed: Seed) -> Result<Evaluated, MetricsError> {
        self.end(Some(seed))
    }

    /// The same without intervals.
    ///
    /// # Errors
    /// When there were no samples.
    pub fn finish_without_intervals(self) -> Result<Evaluated, MetricsError> {
        self.end(None)
    }

    fn end(self, seed: Option<Seed>) -> Result<Evaluated, MetricsError> {
        if self.samples == 0 {
            return Err(MetricsError::Empty);
        }
        let references = self.references.unwrap_or(ReferenceCount::Each(0));
        let mut columns = self.columns;
        let mut signatures: BTreeMap<&str, String> = BTreeMap::new();
        for metric in &self.metrics {
            signatures.insert(metric.facts().name, metric.signature(references));
        }
        let mut confusion = None;
        if let Some(labels) = self.labels {
            let (of_classes, matrix) = labels.finish(&self.class_names);
            for column in &of_classes {
                let signature = classes::signature(column.facts.name, references, matrix.labels.len());
                signatures.insert(column.facts.name, signature);
            }
            columns.extend(of_classes);
            confusion = Some(matrix);
        }
        let distinct: Vec<usize> = self.keys.iter().map(Keys::len).collect();
        Ok(Evaluated::new(
            self.metrics,
            columns,
            signatures,
            &distinct,
            self.samples,
            confusion,
            &self.fields,
            seed,
        ))
    }
}

/// A number as JSON, whole where it is.
fn exact(number: f64) -> Value {
    if number.fract() == 0.0 && (0.0..9e15).contains(&number) {
        Value::from(number as u64)
    } else {
        Value::from(number)
    }
}
