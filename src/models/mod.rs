//! Language models: one file an architecture over shared layers; Hugging Face directories both ways.
