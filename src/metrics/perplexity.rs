//! Perplexity: the exponential of the mean negative log-likelihood a token. And bits per byte: the
//! same likelihood over the text's bytes, which models with different tokenizers can be compared by.

use super::{Facts, Range};

/// How to read it. A metric of a model over tokens, not of texts: see [`super::perplexity()`].
pub const PERPLEXITY: Facts = Facts {
    name: "perplexity",
    label: "Perplexity",
    about: "how many tokens the model hesitates between; only comparable over the same tokenizer and text",
    range: Range::Perplexity,
};

/// How to read it: see [`super::bits_per_byte()`].
pub const BITS_PER_BYTE: Facts = Facts {
    name: "bits_per_byte",
    label: "Bits per byte",
    about: "bits that the model needs for a byte of the text; comparable whatever the tokenizer",
    range: Range::Bits,
};
