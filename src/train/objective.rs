//! What is learned from running text besides the next token: what was hidden of it.
//!
//! An objective makes of a window of text a source, which is read, and a target, which is learned. A
//! model with an encoder reads the source there; another reads both as one sequence, and learns the
//! target.

use rand::Rng;
use rand::seq::index::sample;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batches::{Batch, Example, Reading, Source, id};
use super::error::TrainError;
use super::windows::Windows;
use crate::data::tokens::TokenFile;
use crate::seed::Seed;

/// Which spans of a text are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spans {
    /// The share of tokens that is hidden.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub density: f64,
    /// Tokens of a hidden span, on average.
    #[schemars(range(min = 1))]
    pub mean_length: f64,
}

impl Default for Spans {
    /// As T5 was trained.
    fn default() -> Self {
        Self {
            density: 0.15,
            mean_length: 3.0,
        }
    }
}

/// What is hidden of a window of text.
#[derive(Clone, Debug, PartialEq)]
pub enum Hiding {
    /// Spans, each replaced by a sentinel of its own; the target is the sentinels, each followed by
    /// what it stands for (Raffel et al. 2020).
    Spans {
        /// Which.
        spans: Spans,
        /// The tokens that stand for spans, in order.
        sentinels: Vec<u32>,
    },
    /// What follows a place that is drawn.
    Continuation,
}

/// Windows of a token file with something hidden.
pub struct Objectives<'a> {
    tokens: &'a TokenFile,
    windows: Windows<'a>,
    hiding: Hiding,
    reading: Reading,
    /// Ends every source and target, if there is such a token.
    end: Option<u32>,
    seed: Seed,
}

impl<'a> Objectives<'a> {
    /// Windows of a file, from each of which `hiding` takes something. `end` ends every source and
    /// target.
    ///
    /// # Errors
    /// When the file has fewer than three tokens: a window needs one to read and one to learn.
    pub fn new(
        tokens: &'a TokenFile,
        windows: Windows<'a>,
        hiding: Hiding,
        reading: Reading,
        end: Option<u32>,
        seed: Seed,
    ) -> Result<Self, TrainError> {
        if windows.context() < 2 {
            return Err(TrainError::TooFewTokens {
                place: "the text".into(),
                tokens: tokens.len(),
            });
        }
        Ok(Self {
            tokens,
            windows,
            hiding,
            reading,
            end,
            seed,
        })
    }

    /// Tokens of a window in which something is hidden, so that what is read fits the context: one
    /// sequence of both, with what hiding adds, or each on its side. At least 2.
    pub fn window(hiding: &Hiding, reading: Reading, context: usize) -> usize {
        let spans = |length: usize| match hiding {
            Hiding::Spans { spans, .. } => (length as f64 * spans.density / spans.mean_length).ceil() as usize + 2,
            Hiding::Continuation => 1,
        };
        let fits = |length: &usize| match reading {
            // each span has a sentinel on both sides
            Reading::OneSequence => length + 2 * spans(*length) <= context,
            Reading::Encoder { .. } => length + spans(*length) <= context,
        };
        (2..=context).rev().find(fits).unwrap_or(2)
    }

    /// What an encoder reads of a window of `length` tokens (0 without one), and what a decoder does.
    pub fn sides(hiding: &Hiding, reading: Reading, length: usize) -> [usize; 2] {
        let [source, target] = match hiding {
            // a place is drawn for each window: of many, one is near each end
            Hiding::Continuation => [length; 2],
            Hiding::Spans { spans, .. } => {
                let hidden = (length as f64 * spans.density).round() as usize;
                let pieces = (hidden as f64 / spans.mean_length).round() as usize;
                [length.saturating_sub(hidden) + pieces + 1, hidden + pieces + 2]
            }
        };
        match (reading, hiding) {
            (Reading::Encoder { .. }, _) => [source, target],
            (Reading::OneSequence, Hiding::Continuation) => [0, length],
            (Reading::OneSequence, Hiding::Spans { .. }) => [0, source + target],
        }
    }

    /// Tokens that a window has in a batch, at most.
    pub fn longest(&self) -> usize {
        self.windows.context()
    }

    /// The window at `start`, with what `seed` hides of it.
    fn example(&self, start: usize, seed: &Seed) -> Example {
        let end = (start + self.windows.context()).min(self.tokens.len());
        let window = self.tokens.slice(start..end);
        let mut random = seed.rng();
        let (mut source, mut target) = match &self.hiding {
            Hiding::Continuation => {
                let at = random.random_range(1..window.len() as u64) as usize; // a window has at least 2 tokens
                (window[..at].to_vec(), window[at..].to_vec())
            }
            Hiding::Spans { spans, sentinels } => hide(&window, *spans, sentinels, &mut random),
        };
        let encodes = matches!(self.reading, Reading::Encoder { .. });
        if encodes || matches!(self.hiding, Hiding::Spans { .. }) {
            source.extend(self.end);
            target.extend(self.end);
        }
        let all = |tokens: Vec<u32>| tokens.into_iter().map(id).collect();
        self.reading.example(all(source), all(target))
    }

    /// All windows side by side, for evaluation; what is hidden of each does not change.
    pub fn side_by_side(&self, sequences: usize) -> impl Iterator<Item = Batch> {
        let length = self.windows.context();
        let starts: Vec<usize> = (0..self.tokens.len().saturating_sub(1)).step_by(length).collect();
        let batches = starts.len().div_ceil(sequences);
        (0..batches).map(move |batch| {
            let range = batch * sequences..((batch + 1) * sequences).min(starts.len());
            let examples: Vec<_> = starts[range]
                .iter()
                .map(|start| self.example(*start, &self.seed.child("validation").child(*start)))
                .collect();
            Batch::of_examples(&examples)
        })
    }
}

impl Source for Objectives<'_> {
    fn updates_an_epoch(&self) -> f64 {
        self.windows.updates_an_epoch()
    }

    fn update(&mut self, update: u64) -> Vec<Batch> {
        let starts = self.windows.starts(update);
        let seed = self.seed.child("update").child(update);
        let examples: Vec<_> = starts
            .into_iter()
            .enumerate()
            .map(|(sequence, start)| self.example(start, &seed.child(sequence)))
            .collect();
        examples
            .chunks(self.windows.sequences())
            .map(Batch::of_examples)
            .collect()
    }
}

/// Hides spans as T5 does: the hidden and the kept tokens are each cut into as many pieces of random
/// lengths, which alternate, a kept one first.
fn hide(window: &[u32], spans: Spans, sentinels: &[u32], random: &mut impl Rng) -> (Vec<u32>, Vec<u32>) {
    let length = window.len();
    let hidden = ((length as f64 * spans.density).round() as usize).clamp(1, length - 1);
    let pieces = ((hidden as f64 / spans.mean_length).round() as usize)
        .clamp(1, hidden.min(length - hidden))
        .min(sentinels.len() - 1);
    let (kept, hidden) = (cut(length - hidden, pieces, random), cut(hidden, pieces, random));
    let (mut source, mut target) = (Vec::new(), Vec::new());
    let mut at = 0;
    for ((kept, hidden), sentinel) in kept.into_iter().zip(hidden).zip(sentinels) {
        source.extend(&window[at..at + kept]);
        source.push(*sentinel);
        target.push(*sentinel);
        target.extend(&window[at + kept..at + kept + hidden]);
        at += kept + hidden;
    }
    target.push(sentinels[pieces]); // nothing follows
    (source, target)
}

/// `total` in `pieces` parts of at least 1, all ways alike.
fn cut(total: usize, pieces: usize, random: &mut impl Rng) -> Vec<usize> {
    let mut ends: Vec<usize> = sample(random, total - 1, pieces - 1)
        .into_iter()
        .map(|end| end + 1)
        .collect();
    ends.sort_unstable();
    ends.push(total);
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let length = end - start;
            start = end;
            length
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sources_and_targets_are_the_whole_text(
            length in 2usize..200, density in 0.01f64..0.9, mean_length in 1.0f64..9.0, seed in 0u64..100,
        ) {
            let window: Vec<u32> = (0..length as u32).collect();
            let sentinels: Vec<u32> = (1000..1020).collect();
            let spans = Spans { density, mean_length };
            let (source, target) = hide(&window, spans, &sentinels, &mut Seed::root(seed).rng());
            // put each hidden span back in the place of its sentinel
            let mut hidden: Vec<Vec<u32>> = Vec::new();
            for token in &target {
                match token {
                    1000.. => hidden.push(Vec::new()),
                    token => hidden.last_mut().unwrap().push(*token),
                }
            }
            prop_assert_eq!(hidden.pop().unwrap(), Vec::<u32>::new());
            prop_assert!(hidden.iter().all(|span| !span.is_empty()));
            let whole: Vec<u32> = source.iter().flat_map(|token| match token {
                1000.. => hidden[(*token - 1000) as usize].clone(),
                token => vec![*token],
            }).collect();
            prop_assert_eq!(whole, window);
            let share = hidden.concat().len() as f64;
            prop_assert!((share - length as f64 * density).abs() <= 1.0);
        }
    }

    #[test]
    fn t5s_shares_are_as_published() {
        let window: Vec<u32> = (0..568).collect();
        let sentinels: Vec<u32> = (1000..1100).collect();
        let (source, target) = hide(&window, Spans::default(), &sentinels, &mut Seed::root(1).rng());
        // 568 tokens become 512 and 114 with the end of each, by the T5 paper's own settings
        assert_eq!((source.len() + 1, target.len() + 1), (512, 115));
    }
}
