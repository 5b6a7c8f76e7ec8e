//! Readers, splits, packing and token files: text in, rows and tokens out.
