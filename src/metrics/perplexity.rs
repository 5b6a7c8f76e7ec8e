//! Perplexity: the exponential of the mean negative log-likelihood a token.

use super::{Facts, Range};

/// How to read it. A metric of a model over tokens, not of texts: see [`super::perplexity()`].
pub const PERPLEXITY: Facts = Facts {
    name: "perplexity",
    label: "Perplexity",
    about: "how many tokens the model hesitates between; only comparable over the same tokenizer and text",
    range: Range::Perplexity,
};
