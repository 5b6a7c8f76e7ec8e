//! Operations over burn tensors, one file an operation, with the composed form beside any fused one.
