//! Precision, recall and F1 by class, from a confusion matrix, for answers that are a label.
//!
//! A label is a text without case, runs of white space and outer punctuation, as for accuracy. The
//! classes are the labels of the references; an output that is none of them counts against its right
//! class and for no other. Averages are scikit-learn's over those classes: `macro` is the mean over
//! classes, `weighted` the mean weighted by how often a class is right, `micro` counts all answers
//! alike. What would be divided by zero is 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::accuracy::normal;
use super::table::{Column, Table};
use super::text::hash;
use super::{Facts, MetricsError, Pair, Range, ReferenceCount, VERSION};

/// The members of the group `classes`.
pub(super) const USUAL: &[&str] = &["precision_macro", "recall_macro", "f1_macro", "f1_micro", "f1_weighted"];

/// Different labels that references may have: more are no classes.
const MOST: usize = 200;

#[derive(Clone, Copy)]
enum Figure {
    Precision,
    Recall,
    F1,
}

#[derive(Clone, Copy)]
enum Average {
    Macro,
    Micro,
    Weighted,
}

/// `(name, label, what it is)`, in the order of tables.
const MEMBERS: [(&str, &str, Figure, Average); 9] = [
    (
        "precision_macro",
        "Precision (macro)",
        Figure::Precision,
        Average::Macro,
    ),
    ("recall_macro", "Recall (macro)", Figure::Recall, Average::Macro),
    ("f1_macro", "F1 (macro)", Figure::F1, Average::Macro),
    (
        "precision_micro",
        "Precision (micro)",
        Figure::Precision,
        Average::Micro,
    ),
    ("recall_micro", "Recall (micro)", Figure::Recall, Average::Micro),
    ("f1_micro", "F1 (micro)", Figure::F1, Average::Micro),
    (
        "precision_weighted",
        "Precision (weighted)",
        Figure::Precision,
        Average::Weighted,
    ),
    (
        "recall_weighted",
        "Recall (weighted)",
        Figure::Recall,
        Average::Weighted,
    ),
    ("f1_weighted", "F1 (weighted)", Figure::F1, Average::Weighted),
];

/// How to read the members of this file.
pub(super) fn facts() -> impl Iterator<Item = Facts> {
    MEMBERS.into_iter().map(|(name, label, figure, _)| Facts {
        name,
        label,
        about: match figure {
            Figure::Precision => "of the answers that name a class, those that are right",
            Figure::Recall => "of the answers that should name a class, those that do",
            Figure::F1 => "the harmonic mean of precision and recall of each class",
        },
        range: Range::Fraction,
    })
}

/// What was answered where what was right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The labels of the references, in alphabetical order.
    pub labels: Vec<String>,
    /// For each right label how often each was answered, and at the end any other text.
    pub matrix: Vec<Vec<u64>>,
    /// Precision, recall, F1 and how often it is right, for each label.
    pub classes: Vec<Class>,
}

/// The figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Its label.
    pub label: String,
    /// Of the answers that name it, those that are right.
    pub precision: f64,
    /// Of the answers that should name it, those that do.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// How often it is right.
    pub support: u64,
}

/// Labels as they come, sample by sample. Of an answer only a 64-bit hash is kept: any text may be
/// one.
#[derive(Default)]
pub(super) struct Labels {
    numbers: BTreeMap<String, u32>,
    right: Vec<u32>,
    answered: Vec<u64>,
}

/// A sample's right label, and the hash of the answered one. Of several references the answered one
/// is right if it is among them, else the first.
pub(super) fn label(pair: Pair<'_>) -> (String, u64) {
    let answered = normal(pair.output);
    let among = pair.references.iter().map(|reference| normal(reference));
    let first = pair
        .references
        .first()
        .map(|reference| normal(reference))
        .unwrap_or_default();
    let right = among
        .into_iter()
        .find(|reference| *reference == answered)
        .unwrap_or(first);
    (right, hash(answered.as_bytes()))
}

impl Labels {
    pub(super) fn push(&mut self, (right, answered): (String, u64)) -> Result<(), MetricsError> {
        let next = self.numbers.len() as u32; // at most `MOST`
        self.right.push(*self.numbers.entry(right).or_insert(next));
        self.answered.push(answered);
        if self.numbers.len() > MOST {
            return Err(MetricsError::Classes { most: MOST });
        }
        Ok(())
    }

    /// The columns of the chosen members, and the matrix of all samples.
    pub(super) fn finish(self, names: &[String]) -> (Vec<Column>, Confusion) {
        let labels: Vec<String> = self.numbers.keys().cloned().collect();
        let count = labels.len();
        // from the order of appearance to that of the alphabet
        let mut order = vec![0; count];
        self.numbers
            .values()
            .enumerate()
            .for_each(|(place, number)| order[*number as usize] = place);
        let by_hash: BTreeMap<u64, usize> = labels
            .iter()
            .enumerate()
            .map(|(place, label)| (hash(label.as_bytes()), place))
            .collect();
        let places = self.right.iter().zip(&self.answered).map(|(right, answered)| {
            let answered = by_hash.get(answered).copied().unwrap_or(count);
            (order[*right as usize] * (count + 1) + answered) as u32 // at most `MOST` squared
        });
        let table = Table::Places {
            width: count * (count + 1),
            data: places.collect(),
        };
        let sums = table.sums();
        let counts = Counts::of(&sums, count);
        let class = |(label, counts): (&String, &Counts)| Class {
            label: label.clone(),
            precision: counts.figure(Figure::Precision),
            recall: counts.figure(Figure::Recall),
            f1: counts.figure(Figure::F1),
            support: counts.right as u64,
        };
        let confusion = Confusion {
            matrix: sums
                .chunks(count + 1)
                .map(|row| row.iter().map(|count| *count as u64).collect())
                .collect(),
            classes: labels.iter().zip(&counts).map(class).collect(),
            labels,
        };
        let chosen = facts()
            .zip(MEMBERS)
            .filter(|(facts, _)| names.iter().any(|name| name == facts.name));
        let columns = chosen.map(|(facts, (_, _, figure, average))| Column {
            facts,
            table: table.clone(),
            of: Arc::new(move |sums, _| averaged(&Counts::of(sums, count), figure, average)),
            resamples: true,
        });
        (columns.collect(), confusion)
    }
}

/// Everything that a member's value depends on.
pub(super) fn signature(name: &str, references: ReferenceCount, labels: usize) -> String {
    format!("{name}|nrefs:{references}|labels:{labels}|case:lower|trim:space,punctuation|version:{VERSION}")
}

/// How often a class is right, is answered, and both.
#[derive(Clone, Copy, Default)]
struct Counts {
    right: f64,
    answered: f64,
    both: f64,
}

impl Counts {
    /// Of each class, from a matrix.
    fn of(sums: &[f64], classes: usize) -> Vec<Self> {
        let mut counts = vec![Self::default(); classes];
        for (right, row) in sums.chunks(classes + 1).enumerate() {
            counts[right].right = row.iter().sum();
            counts[right].both = row[right];
            counts
                .iter_mut()
                .zip(row)
                .for_each(|(class, count)| class.answered += count);
        }
        counts
    }

    fn figure(&self, figure: Figure) -> f64 {
        let (above, below) = match figure {
            Figure::Precision => (self.both, self.answered),
            Figure::Recall => (self.both, self.right),
            Figure::F1 => (2.0 * self.both, self.answered + self.right),
        };
        if below > 0.0 { above / below } else { 0.0 }
    }
}

/// The average over the classes that are right somewhere (in a slice or a resample not all are).
fn averaged(counts: &[Counts], figure: Figure, average: Average) -> f64 {
    let present = counts.iter().filter(|class| class.right > 0.0);
    match average {
        Average::Macro => {
            let (sum, classes) = present.fold((0.0, 0.0), |(sum, n), class| (sum + class.figure(figure), n + 1.0));
            sum / f64::max(classes, 1.0)
        }
        Average::Weighted => {
            let weigh = |(sum, all), class: &Counts| (sum + class.right * class.figure(figure), all + class.right);
            let (sum, all) = present.fold((0.0, 0.0), weigh);
            sum / f64::max(all, 1.0)
        }
        Average::Micro => {
            let total = present.fold(Counts::default(), |sum, class| Counts {
                right: sum.right + class.right,
                answered: sum.answered + class.answered,
                both: sum.both + class.both,
            });
            total.figure(figure)
        }
    }
}
