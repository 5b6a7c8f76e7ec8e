//! Training and loading tokenizers.
