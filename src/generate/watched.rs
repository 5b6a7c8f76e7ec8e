//! Output while it is made: each token told, only whole characters, and an end when it is asked for.

use std::ops::ControlFlow;

use super::{GenerateError, NextToken};

/// A model whose output is followed token by token.
///
/// Decoding gives a model each token that it chose, to learn what comes next; so what it is given
/// after the prompt is the output, but for the last token.
pub struct Watched<'a, M> {
    model: M,
    begun: bool,
    output: Vec<u32>,
    tell: &'a mut dyn FnMut(&[u32]) -> ControlFlow<()>,
}

impl<'a, M: NextToken> Watched<'a, M> {
    /// `tell` hears of the output so far whenever it grows, and ends it with `Break`.
    pub fn new(model: M, tell: &'a mut dyn FnMut(&[u32]) -> ControlFlow<()>) -> Self {
        Self {
            model,
            begun: false,
            output: Vec::new(),
            tell,
        }
    }

    /// What was written before the end that was asked for.
    pub fn output(self) -> Vec<u32> {
        self.output
    }
}

impl<M: NextToken> Watched<'_, M> {
    /// Tells of tokens that the model is given.
    fn see(&mut self, tokens: &[u32]) -> Result<(), GenerateError> {
        if self.begun {
            self.output.extend(tokens);
        }
        self.begun = true;
        match (self.tell)(&self.output) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(GenerateError::Stopped),
        }
    }
}

impl<M: NextToken> NextToken for Watched<'_, M> {
    fn extend(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), GenerateError> {
        self.see(tokens)?;
        self.model.extend(tokens, logits)
    }

    fn extend_to_likeliest(
        &mut self,
        tokens: &[u32],
        more: usize,
        logits: &mut Vec<f32>,
    ) -> Result<Option<u32>, GenerateError> {
        self.see(tokens)?;
        self.model.extend_to_likeliest(tokens, more, logits)
    }
}

/// Tells a text that grows, piece by piece.
#[derive(Debug, Default)]
pub struct Pieces {
    told: String,
}

impl Pieces {
    /// What of a text can be told now and was not told before. A character that is not whole yet stays
    /// back, as does what may be the beginning of a stop text.
    pub fn next<'t>(&mut self, text: &'t str, stops: &[String]) -> &'t str {
        let whole = text.trim_end_matches('\u{fffd}');
        let held = |stop: &String| {
            let beginnings = (1..stop.len()).rev().filter(|at| stop.is_char_boundary(*at));
            beginnings
                .into_iter()
                .find(|at| whole.ends_with(&stop[..*at]))
                .unwrap_or(0)
        };
        let held = stops.iter().map(held).max().unwrap_or(0);
        self.rest(&whole[..whole.len() - held])
    }

    /// What of the finished text was not told before.
    pub fn rest<'t>(&mut self, text: &'t str) -> &'t str {
        let new = text.strip_prefix(self.told.as_str()).unwrap_or_default();
        self.told.push_str(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_characters_and_never_a_stop_text() {
        let mut pieces = Pieces::default();
        let stops = ["\n\n".to_owned(), "###".to_owned()];
        assert_eq!(pieces.next("ni\u{fffd}", &stops), "ni");
        assert_eq!(pieces.next("niño#", &stops), "ño");
        assert_eq!(pieces.next("niño#1\n", &stops), "#1");
        assert_eq!(pieces.next("niño#1\nx\n", &stops), "\nx");
        assert_eq!(pieces.rest("niño#1\nx"), "");
        assert_eq!(Pieces::default().rest("all"), "all");
    }

    #[test]
    fn a_watched_model_tells_its_output_and_ends_when_told_to() {
        struct Counter;
        impl NextToken for Counter {
            fn extend(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), GenerateError> {
                let next = tokens.last().unwrap() + 1;
                *logits = (0..10).map(|token| f32::from(u8::from(token == next))).collect();
                Ok(())
            }
        }
        let mut seen = Vec::new();
        let mut tell = |output: &[u32]| {
            seen.push(output.to_vec());
            if output.len() == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut model = Watched::new(Counter, &mut tell);
        let sampling = super::super::Sampling::default();
        let ended = super::super::decode(
            &mut model,
            &[1, 2],
            &sampling,
            &[],
            &|_| String::new(),
            crate::seed::Seed::root(0),
        );
        assert!(matches!(ended, Err(GenerateError::Stopped)));
        assert_eq!(model.output(), [3, 4, 5]);
        assert_eq!(seen, [vec![], vec![3], vec![3, 4], vec![3, 4, 5]]);
    }
}
