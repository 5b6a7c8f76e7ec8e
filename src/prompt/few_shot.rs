//! Few-shot examples: which rows, and how many of them fit.

use std::collections::BTreeSet;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PromptError, Template};
use crate::data::Row;
use crate::seed::Seed;

/// What to do with a prompt that is too long for the context window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Leave examples out, those drawn last first; if it is too long without any, an error that
    /// names the sample.
    #[default]
    DropExamples,
    /// An error that names the sample.
    Error,
}

/// A prompt that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The prompt.
    pub text: String,
    /// How many examples are in it.
    pub shots_used: usize,
    /// How many tokens it is, as counted.
    pub tokens: usize,
}

/// Rows of a pool as examples for an item, drawn by the seed: positions in the order of drawing. Fewer
/// shots with the same seed are the first of more.
///
/// Never the item itself: neither an equal row nor one with the same prompt (which would give the
/// answer away); nor two rows with the same prompt.
///
/// # Errors
/// A pool with too few such rows; a row that the template cannot render.
pub fn choose(
    template: &Template,
    pool: &[Row],
    item: &Row,
    shots: usize,
    seed: Seed,
) -> Result<Vec<usize>, PromptError> {
    let mut chosen = Vec::new();
    if shots == 0 {
        return Ok(chosen);
    }
    let mut prompts = BTreeSet::from([template.prompt(item)?]);
    // positions not yet drawn, as in a shuffle that ends early: `moved` holds what a swap put elsewhere
    let mut moved = std::collections::BTreeMap::new();
    let mut rng = seed.rng();
    for drawn in 0..pool.len() {
        let at = rng.random_range(drawn..pool.len());
        let candidate = moved.get(&at).copied().unwrap_or(at);
        let first = moved.get(&drawn).copied().unwrap_or(drawn);
        moved.insert(at, first);
        let row = &pool[candidate];
        if row != item && prompts.insert(template.prompt(row)?) {
            chosen.push(candidate);
            if chosen.len() == shots {
                return Ok(chosen);
            }
        }
    }
    Err(PromptError::TooFewExamples {
        shots,
        pool: pool.len(),
        found: chosen.len(),
    })
}

/// The prompt for an item with as many of the examples (in the order of drawing) as the policy allows
/// within `budget` tokens. `sample` names the item in errors; `count` counts a text's tokens.
///
/// # Errors
/// A prompt that does not fit; a row that the template cannot render; a text that cannot be counted.
pub fn fit(
    template: &Template,
    examples: &[&Row],
    item: &Row,
    sample: &str,
    budget: usize,
    count: &dyn Fn(&str) -> Result<usize, String>,
    overflow: Overflow,
) -> Result<Fitted, PromptError> {
    let mut shots = examples.len();
    loop {
        let text = template.with_examples(&examples[..shots], item)?;
        let tokens = count(&text).map_err(|message| PromptError::Count {
            sample: sample.to_owned(),
            message,
        })?;
        if tokens <= budget {
            return Ok(Fitted {
                text,
                shots_used: shots,
                tokens,
            });
        }
        if shots == 0 || overflow == Overflow::Error {
            return Err(PromptError::Overflow {
                sample: sample.to_owned(),
                tokens,
                budget,
                shots,
            });
        }
        shots -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn template() -> Template {
        Template::parse(
            "t",
            "{% block prompt %}{{ q }}={% endblock %}{% block answer %}{{ a }}{% endblock %}",
        )
        .unwrap()
    }

    fn rows(questions: &[u32]) -> Vec<Row> {
        let row = |(at, q): (usize, &u32)| json!({"q": q, "a": at}).as_object().unwrap().clone();
        questions.iter().enumerate().map(row).collect()
    }

    fn words(text: &str) -> Result<usize, String> {
        Ok(text.split_whitespace().count())
    }

    proptest! {
        #[test]
        fn examples_differ_from_the_item_and_each_other(
            questions in prop::collection::vec(0u32..30, 1..60), at in any::<prop::sample::Index>(), seed in any::<u64>(),
        ) {
            let pool = rows(&questions);
            let item = &pool[at.index(pool.len())];
            let distinct: BTreeSet<_> = questions.iter().collect();
            let all = distinct.len() - 1;
            let seed = Seed::root(seed);
            let chosen = choose(&template(), &pool, item, all, seed).unwrap();
            let asked: BTreeSet<_> = chosen.iter().map(|&at| pool[at]["q"].to_string()).collect();
            prop_assert_eq!(asked.len(), all);
            prop_assert!(!asked.contains(&item["q"].to_string()));
            prop_assert!(choose(&template(), &pool, item, all + 1, seed).is_err());
            for fewer in 0..all {
                prop_assert_eq!(&choose(&template(), &pool, item, fewer, seed).unwrap(), &chosen[..fewer]);
            }
        }
    }

    #[test]
    fn every_row_is_drawn_as_often() {
        let pool = rows(&[0, 1, 2, 3, 4]);
        let item = rows(&[9]).remove(0);
        let mut counts = [0; 5];
        for seed in 0..5000u64 {
            for at in choose(&template(), &pool, &item, 2, Seed::root(seed)).unwrap() {
                counts[at] += 1;
            }
        }
        assert!(counts.iter().all(|count| (1850..2150).contains(count)), "{counts:?}");
    }

    #[test]
    fn examples_drawn_last_are_dropped_first() {
        let pool = rows(&[1, 2, 3]);
        let (examples, item) = ([&pool[2], &pool[0]], &pool[1]);
        let fit = |budget, overflow| fit(&template(), &examples, item, "row 1", budget, &words, overflow);
        assert_eq!(fit(3, Overflow::DropExamples).unwrap().text, "3=2\n\n1=0\n\n2=");
        let fitted = fit(2, Overflow::DropExamples).unwrap();
        assert_eq!(
            (fitted.text.as_str(), fitted.shots_used, fitted.tokens),
            ("3=2\n\n2=", 1, 2)
        );
        let error = fit(0, Overflow::DropExamples).unwrap_err().to_string();
        assert!(error.contains("row 1 is 1 tokens even without examples"), "{error}");
        assert!(
            fit(2, Overflow::Error)
                .unwrap_err()
                .to_string()
                .contains("with 2 examples")
        );
    }
}
