//! The matrices that pairs can stand beside.

use crate::models::{Architecture, Layout, ModelConfig};

/// The matrices of an architecture's blocks by the end of their names: those of attention, and those of the
/// MLP.
pub(in crate::models) fn matrices(architecture: Architecture) -> [&'static [&'static str]; 2] {
    match architecture {
        Architecture::Gpt2 => [&["attn.c_attn", "attn.c_proj"], &["mlp.c_fc", "mlp.c_proj"]],
        Architecture::Llama | Architecture::Palm => [
            &[
                "self_attn.q_proj",
                "self_attn.k_proj",
                "self_attn.v_proj",
                "self_attn.o_proj",
            ],
            &["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
        ],
        Architecture::Falcon => [
            &["self_attention.query_key_value", "self_attention.dense"],
            &["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
        ],
        Architecture::T5 => [
            &[
                "SelfAttention.q",
                "SelfAttention.k",
                "SelfAttention.v",
                "SelfAttention.o",
                "EncDecAttention.q",
                "EncDecAttention.k",
                "EncDecAttention.v",
                "EncDecAttention.o",
            ],
            &[
                "DenseReluDense.wi",
                "DenseReluDense.wi_0",
                "DenseReluDense.wi_1",
                "DenseReluDense.wo",
            ],
        ],
        Architecture::Transformer => [
            &[
                "self_attn.q_proj",
                "self_attn.k_proj",
                "self_attn.v_proj",
                "self_attn.out_proj",
                "encoder_attn.q_proj",
                "encoder_attn.k_proj",
                "encoder_attn.v_proj",
                "encoder_attn.out_proj",
            ],
            &["fc1", "fc2"],
        ],
        Architecture::Rnn => [&[], &[]],
    }
}

/// Inputs and outputs of a matrix.
pub(super) fn sides(config: &ModelConfig, matrix: &str) -> [usize; 2] {
    let (width, mlp) = (config.width, config.mlp_width);
    let [queries, keys] = [config.heads, config.kv_heads].map(|heads| heads * config.head_width);
    let (_, part) = matrix.rsplit_once('.').unwrap_or(("", matrix));
    match (matrix, part) {
        ("mlp.c_proj", _) => [mlp, width],
        (_, "c_attn" | "query_key_value") => [width, queries + 2 * keys],
        (_, "q_proj" | "q") => [width, queries],
        (_, "k_proj" | "v_proj" | "k" | "v") => [width, keys],
        (_, "o_proj" | "out_proj" | "c_proj" | "dense" | "o") => [queries, width],
        (_, "down_proj" | "dense_4h_to_h" | "wo" | "fc2") => [mlp, width],
        _ => [width, mlp],
    }
}

/// How often a model has a matrix: in each block, of the encoder or the decoder or both, or not at all.
pub(super) fn times(config: &ModelConfig, matrix: &str) -> usize {
    if let Layout::T5(layout) = config.layout {
        let gated = matches!(matrix, "DenseReluDense.wi_0" | "DenseReluDense.wi_1");
        if gated && !layout.gated || matrix == "DenseReluDense.wi" && layout.gated {
            return 0;
        }
    }
    let crossed = matrix.starts_with("EncDecAttention") || matrix.starts_with("encoder_attn");
    match (config.architecture().encodes(), crossed) {
        (true, true) => config.decoder_layers(),
        (true, false) => config.layers + config.decoder_layers(),
        (false, _) => config.layers,
    }
}
