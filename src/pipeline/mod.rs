//! The pipeline file: YAML as typed, parameters and matrix, references, diagnostics, schema.
