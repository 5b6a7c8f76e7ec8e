//! Decoding: sampling, caches, stopping.
