//! The perplexity of a model on a split, for `evaluate`.
