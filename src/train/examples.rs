//! Finetuning's batches: prompt and answer of a row as one sequence, learned from where the answer
//! is. An epoch takes all examples once, in an order drawn for it; a batch is padded to its longest.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batches::{Batch, Example, IGNORED, Reading, Source, id};
use super::error::TrainError;
use crate::data::tokens::TokenFile;
use crate::seed::Seed;

/// What to do with an example that is longer than the model's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    /// End with an error that names the row.
    #[default]
    Error,
    /// Leave out the beginning of the prompt, as much as needed; an answer that does not fit is
    /// still an error.
    DropPromptStart,
}

/// How a model takes examples.
#[derive(Clone, Debug)]
pub struct Taking {
    /// Tokens that it sees at once; an encoder and its decoder as many each.
    pub context: usize,
    /// Whether prompt and answer are one sequence.
    pub reading: Reading,
    /// What the tokenizer puts after every source (T5's `</s>`).
    pub suffix: Vec<u32>,
}

impl From<usize> for Taking {
    /// One sequence of at most `context` tokens.
    fn from(context: usize) -> Self {
        Self {
            context,
            reading: Reading::OneSequence,
            suffix: Vec::new(),
        }
    }
}

/// The examples of one split.
pub struct Examples<'a> {
    tokens: &'a TokenFile,
    taking: Taking,
    /// Where each example is in the file: its first token, that of its answer, and its end.
    ranges: Vec<[usize; 3]>,
    /// Examples whose prompt's beginning is left out.
    shortened: usize,
}

impl<'a> Examples<'a> {
    /// The examples of a file whose loss spans mark the answers, for a model of `context` tokens.
    /// `place` names the split in errors.
    ///
    /// # Errors
    /// A file without examples or answers; a row that does not fit (see [`Overlong`]) or has no
    /// answer.
    pub fn of(
        tokens: &'a TokenFile,
        place: &str,
        taking: impl Into<Taking>,
        overlong: Overlong,
    ) -> Result<Self, TrainError> {
        let taking = taking.into();
        let context = taking.context;
        let place = || place.to_owned();
        let Some(spans) = tokens.loss_spans() else {
            return Err(TrainError::NoAnswers { place: place() });
        };
        let mut ranges = Vec::with_capacity(tokens.documents().len());
        let mut shortened = 0;
        let mut start = 0;
        let mut next_span = 0;
        for (index, &end) in tokens.documents().iter().enumerate() {
            let row = index + 1;
            // spans are in order: skip those before this example
            while next_span < spans.len() && spans[next_span].1 <= start + 1 {
                next_span += 1;
            }
            // a first token has nothing before it to be predicted from, and an encoder nothing to read
            let answer = spans.get(next_span).map(|&(from, _)| from.max(start + 1));
            let Some(answer) = answer.filter(|&answer| answer < end) else {
                return Err(TrainError::EmptyAnswer { place: place(), row });
            };
            let earliest = match taking.reading {
                Reading::OneSequence => end.saturating_sub(context + 1),
                // the prompt beside its suffix; an answer that is too long leaves no room for any
                Reading::Encoder { .. } if end - answer > context => end,
                Reading::Encoder { .. } => answer.saturating_sub(context.saturating_sub(taking.suffix.len())),
            };
            if start >= earliest {
                ranges.push([start, answer, end]);
            } else if overlong == Overlong::Error {
                return Err(TrainError::Overlong {
                    place: place(),
                    row,
                    tokens: end - start,
                    context: context + 1,
                });
            } else if answer <= earliest {
                return Err(TrainError::OverlongAnswer {
                    place: place(),
                    row,
                    tokens: end - answer,
                    context,
                });
            } else {
                shortened += 1;
                ranges.push([earliest, answer, end]);
            }
            start = end;
        }
        if ranges.is_empty() {
            return Err(TrainError::NoExamples { place: place() });
        }
        Ok(Self {
            tokens,
            taking,
            ranges,
            shortened,
        })
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // there is always one
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// How many lost the beginning of their prompt to [`Overlong::DropPromptStart`].
    pub fn shortened(&self) -> usize {
        self.shortened
    }

    /// Input tokens of the longest, source included.
    pub fn longest(&self) -> usize {
        (0..self.len()).map(|index| self.length(index)).max().unwrap_or(0)
    }

    /// The longest that an encoder reads (0 without one), and the longest that a decoder does.
    pub fn sides(&self) -> [usize; 2] {
        let side = |index: usize| {
            let [start, answer, end] = self.ranges[index];
            match self.taking.reading {
                Reading::OneSequence => [0, end - start - 1],
                Reading::Encoder { .. } => [answer - start + self.taking.suffix.len(), end - answer],
            }
        };
        (0..self.len())
            .map(side)
            .fold([0, 0], |[source, target], [one, other]| {
                [source.max(one), target.max(other)]
            })
    }

    fn length(&self, index: usize) -> usize {
        let [start, _, end] = self.ranges[index];
        match self.taking.reading {
            Reading::OneSequence => end - start - 1,
            Reading::Encoder { .. } => end - start + self.taking.suffix.len(),
        }
    }

    /// Inputs and targets of an example; targets outside the answer are ignored.
    fn example(&self, index: usize) -> Example {
        let [start, answer, end] = self.ranges[index];
        if let Reading::Encoder { .. } = self.taking.reading {
            let mut source = self.tokens.slice(start..answer);
            source.extend(&self.taking.suffix);
            let all = |tokens: Vec<u32>| tokens.into_iter().map(id).collect();
            return self
                .taking
                .reading
                .example(all(source), all(self.tokens.slice(answer..end)));
        }
        let ids: Vec<i32> = self.tokens.slice(start..end).into_iter().map(id).collect();
        let spans = self.tokens.loss_spans().unwrap_or_default();
        let mut targets = vec![IGNORED; ids.len() - 1];
        let first = spans.partition_point(|&(_, to)| to <= start);
        for &(from, to) in spans[first..].iter().take_while(|&&(from, _)| from < end) {
            // targets trail inputs by one: the token at a position is the target of the one before
            for position in from.max(start + 1)..to.min(end) {
                targets[position - start - 1] = ids[position - start];
            }
        }
        Example {
            source: Vec::new(),
            inputs: ids[..ids.len() - 1].to_vec(),
            targets,
        }
    }

    /// All examples once, short ones together, for evaluation.
    pub fn by_length(&self, sequences: usize) -> impl Iterator<Item = Batch> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&index| (self.length(index), index));
        let batches = order.len().div_ceil(sequences);
        (0..batches).map(move |batch| {
            let range = batch * sequences..((batch + 1) * sequences).min(order.len());
            let drawn: Vec<_> = order[range].iter().map(|&index| self.example(index)).collect();
            Batch::of_examples(&drawn)
        })
    }
}

/// Examples in an order drawn for each epoch.
pub struct Shuffled<'a> {
    examples: Examples<'a>,
    sequences: usize,
    accumulate: usize,
    seed: Seed,
    /// The epoch of `order`.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl<'a> Shuffled<'a> {
    /// `sequences` examples in a micro-batch, `accumulate` micro-batches in an update. An epoch's
    /// last update has what is left.
    pub fn new(examples: Examples<'a>, sequences: usize, accumulate: usize, seed: Seed) -> Self {
        Self {
            examples,
            sequences,
            accumulate,
            seed,
            epoch: None,
            order: Vec::new(),
        }
    }
}

impl Source for Shuffled<'_> {
    fn updates_an_epoch(&self) -> f64 {
        self.examples.len().div_ceil(self.sequences * self.accumulate) as f64
    }

    fn update(&mut self, update: u64) -> Vec<Batch> {
        let in_update = self.sequences * self.accumulate;
        let in_epoch = self.examples.len().div_ceil(in_update) as u64;
        let epoch = update / in_epoch;
        if self.epoch != Some(epoch) {
            self.order = (0..self.examples.len()).collect();
            self.order.shuffle(&mut self.seed.child(epoch).rng());
            self.epoch = Some(epoch);
        }
        let start = (update % in_epoch) as usize * in_update;
        let mut drawn: Vec<_> = self.order[start..(start + in_update).min(self.order.len())]
            .iter()
            .map(|&index| self.examples.example(index))
            .collect();
        // an update is a sum over its examples: put those of like length together, to pad less
        drawn.sort_by_key(|example| example.source.len() + example.inputs.len());
        drawn.chunks(self.sequences).map(Batch::of_examples).collect()
    }
}
