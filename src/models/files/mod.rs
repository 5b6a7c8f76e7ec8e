//! A model's weights on disk: read without executing anything and with little more memory than they
//! need, written as safetensors.

mod loaded;
mod pickle;
mod torch;
mod weight_file;
mod write;
mod zip;

pub(super) use loaded::{Loaded, Numbers};
pub use weight_file::WeightFile;
pub(super) use write::write_tensors;
pub use write::write_weights;
