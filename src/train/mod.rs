//! The training loop: batches, schedule, optimizer, checkpoints.
