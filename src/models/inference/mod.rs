//! A model's form for inference on the CPU: its weights laid out once for products, and a pass that
//! allocates nothing for a token.
//!
//! [`super::Model::compile`] turns a model into an [`Inference`]; each architecture says in its own file
//! what it is made of. A [`Sequence`] is what is kept of one text; [`Inference::extend`] takes some of
//! them a few tokens further in one pass, so that each weight is read once for all. What a sequence
//! gives does not depend on the others: see [`crate::kernels::inference`].

mod embedding;
mod extend;
mod parts;
mod recurrent;
mod sequence;
mod stack;
#[cfg(test)]
mod tests;
mod workspace;

pub(super) use embedding::Embedding;
pub(super) use extend::{Decoder, Network};
pub use extend::{Feed, Inference, screen_bytes};
pub(super) use parts::{Block, Cross, Mlp, Norm};
pub(super) use recurrent::{Recurrent, RecurrentBlock};
pub use sequence::Sequence;
pub(super) use stack::{Order, Positions, Stack};
pub use workspace::{PIECE, SIDE_BY_SIDE, Workspace, room_for_sequences};

pub use crate::kernels::inference::logits;
