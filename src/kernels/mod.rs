//! Operations over burn tensors, one file an operation: what a model's forward pass is made of.
//!
//! Each has a composed form, made of burn's own operations, which runs and differentiates on every
//! device, and most have a fused form for f32 on the CPU, where burn's autodiff would make many passes
//! over memory (see [`flex`]); tests hold the two together. Activations are flat, `[rows, width]` with `rows = batch · seq`, so that a product with a
//! weight is one matrix product and not one for each sequence.

mod activation;
mod adamw;
mod attention;
mod attention_maps;
#[cfg(test)]
mod bf16_tests;
mod cached_attention;
mod cross_entropy;
#[cfg(test)]
mod difference_tests;
mod dropout;
mod embedding;
mod entry;
mod exit;
mod flex;
mod fused_attention;
mod fused_mlp;
mod fused_recurrence;
mod gates;
mod halves;
pub mod inference;
mod kept;
mod linear;
mod low_rank;
#[cfg(test)]
mod low_rank_tests;
mod norm;
mod position_bias;
#[cfg(test)]
mod precision_tests;
#[cfg(test)]
mod property_tests;
mod recomputed;
mod recurrence;
mod rotary;
mod self_attention;
mod summands;
#[cfg(test)]
mod tests;

pub use activation::{Activation, gelu, swiglu};
pub use adamw::{AdamW, Moving, sum_of_squares, updated};
pub use attention::{
    Bias, Heads, Scoring, attention, by_head, cross_attention, regroup, scored_attention, source_attention,
};
pub use attention_maps::{AttentionMap, watch_attention};
pub use cached_attention::{KeyValues, cached_attention, scored_cached_attention};
pub use cross_entropy::{cross_entropy, linear_cross_entropy, smoothed_cross_entropy};
pub use dropout::{Dropout, dropout};
pub use embedding::{embedding, embedding_at};
pub use flex::{Entered, Precision};
pub use halves::{Attending, Products, RowNorm, mlp, self_attention};
pub use linear::{Orientation, joined_linear, linear};
pub use low_rank::{LowRank, low_rank_linear, merged};
pub use norm::{Kind as NormKind, layer_norm, rms_norm};
pub use position_bias::{RelativeBuckets, alibi, alibi_terms};
pub use recomputed::{Part, gathered, recomputed};
pub use recurrence::{Cell, State, recurrence};
pub use rotary::{Rotation, Scaling, rotary};
