//! How many numbers a model's weights have.

use crate::models::falcon::{Blocks, FalconLayout};
use crate::models::llama::LlamaLayout;
use crate::models::t5::T5Layout;
use crate::models::transformer::TransformerLayout;
use crate::models::{Layout, ModelConfig};

/// Weights with one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The purpose.
    pub name: &'static str,
    /// How often there are such weights: once a block.
    pub times: u64,
    /// Their numbers, each time.
    pub each: u64,
}

impl Group {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.times.saturating_mul(self.each)
    }
}

/// The widths of a model, as counts.
struct Widths {
    width: u64,
    mlp: u64,
    /// Of all queries together, and of all keys.
    queries: u64,
    keys: u64,
}

impl Widths {
    /// Queries, keys, values and the way out, with or without biases.
    fn attention(&self, biased: bool, out_biased: bool) -> u64 {
        let inside = self.queries + 2 * self.keys;
        let biases = u64::from(biased) * inside + u64::from(out_biased) * self.width;
        self.width * inside + self.queries * self.width + biases
    }

    /// Two products, or three where one gates.
    fn mlp(&self, gated: bool, biased: bool) -> u64 {
        let inner = 1 + u64::from(gated);
        let biases = u64::from(biased) * (inner * self.mlp + self.width);
        (inner + 1) * self.width * self.mlp + biases
    }
}

/// The weights of a model by purpose; their sum is exact.
pub fn parameters(config: &ModelConfig) -> Vec<Group> {
    let widths = Widths {
        width: config.width as u64,
        mlp: config.mlp_width as u64,
        queries: (config.heads * config.head_width) as u64,
        keys: (config.kv_heads * config.head_width) as u64,
    };
    let (width, vocabulary, layers) = (widths.width, config.vocab_size as u64, config.layers as u64);
    let mut groups = Vec::new();
    let mut add = |name, times: u64, each: u64| groups.push(Group { name, times, each });
    add("token embedding", 1, vocabulary * width);
    match config.layout {
        Layout::Gpt2 => {
            add("position embedding", 1, config.context as u64 * width);
            add("attention", layers, widths.attention(true, true));
            add("mlp", layers, widths.mlp(false, true));
            add("norms", 2 * layers + 1, 2 * width);
        }
        Layout::Llama(LlamaLayout {
            attention_bias,
            output_bias,
            mlp_bias,
            ..
        }) => {
            add("attention", layers, widths.attention(attention_bias, output_bias));
            add("mlp", layers, widths.mlp(true, mlp_bias));
            add("norms", 2 * layers + 1, width);
        }
        Layout::Falcon(FalconLayout { blocks, bias, .. }) => {
            let norms = match blocks {
                Blocks::Parallel => 1,
                Blocks::Sequential | Blocks::ParallelTwoNorms => 2,
            };
            add("attention", layers, widths.attention(bias, bias));
            add("mlp", layers, widths.mlp(false, bias));
            add("norms", norms * layers + 1, 2 * width);
        }
        Layout::Palm => {
            add("attention", layers, widths.attention(false, false));
            add("mlp", layers, widths.mlp(true, false));
            add("norms", layers + 1, width);
        }
        Layout::T5(T5Layout {
            decoder_layers,
            gated,
            buckets,
            ..
        }) => {
            let decoder = decoder_layers as u64;
            add("relative positions", 2, (buckets * config.heads) as u64);
            add("attention", layers + decoder, widths.attention(false, false));
            add("cross-attention", decoder, widths.attention(false, false));
            add("mlp", layers + decoder, widths.mlp(gated, false));
            add("norms", 2 * layers + 3 * decoder + 2, width);
        }
        Layout::Transformer(TransformerLayout {
            decoder_layers,
            pre_norm,
            ..
        }) => {
            let decoder = decoder_layers as u64;
            add("attention", layers + decoder, widths.attention(true, true));
            add("cross-attention", decoder, widths.attention(true, true));
            add("mlp", layers + decoder, widths.mlp(false, true));
            add("norms", 2 * layers + 3 * decoder + 2 * u64::from(pre_norm), 2 * width);
        }
        Layout::Rnn(cell) => {
            let gates = cell.gates() as u64 * width;
            add("recurrent layers", layers, 2 * gates * width + 2 * gates);
        }
    }
    if !config.tied_embeddings {
        add("output layer", 1, vocabulary * width);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceSpec;
    use crate::models::{Architecture, Model, ModelSettings, SpecialIds};
    use crate::seed::Seed;

    fn counted(config: &ModelConfig) -> u64 {
        parameters(config).iter().map(Group::count).sum()
    }

    #[test]
    fn counts_are_those_of_the_weights_of_every_architecture() {
        let variants = [
            "{}",
            r#"{"tied_embeddings": false, "layers": 3}"#,
            r#"{"architecture": "llama", "kv_heads": 2, "attention_bias": true}"#,
            r#"{"architecture": "falcon", "kv_heads": 2}"#,
            r#"{"architecture": "falcon", "positions": "alibi"}"#,
            r#"{"architecture": "t5", "feed_forward": "relu", "decoder_layers": 5}"#,
            r#"{"architecture": "t5", "tied_embeddings": false, "mlp_width": 40}"#,
            r#"{"architecture": "transformer", "norm": "pre", "decoder_layers": 1}"#,
            r#"{"architecture": "rnn", "cell": "gru"}"#,
        ];
        let device = DeviceSpec::CPU.open().unwrap();
        for architecture in Architecture::ALL {
            for variant in variants {
                let mut settings: serde_json::Value = serde_json::from_str(variant).unwrap();
                let members = settings.as_object_mut().unwrap();
                if members
                    .get("architecture")
                    .is_some_and(|name| name != architecture.name())
                {
                    continue;
                }
                members.insert("architecture".into(), architecture.name().into());
                members.insert("width".into(), 32.into());
                members.insert("context".into(), 16.into());
                let settings: ModelSettings = serde_json::from_value(settings).unwrap();
                let config = settings.config(71, SpecialIds::default());
                let model = Model::init(&config, Seed::root(1), &device);
                assert_eq!(counted(&config), model.parameters() as u64, "{settings:?}");
            }
        }
    }

    #[test]
    fn counts_are_those_that_were_published() {
        let of = |settings: serde_json::Value, vocabulary: usize| {
            let settings: ModelSettings = serde_json::from_value(settings).unwrap();
            counted(&settings.config(vocabulary, SpecialIds::default()))
        };
        let gpt2 =
            serde_json::json!({"architecture": "gpt2", "layers": 12, "heads": 12, "width": 768, "context": 1024});
        assert_eq!(of(gpt2, 50_257), 124_439_808);
        let llama = serde_json::json!({"layers": 32, "heads": 32, "width": 4096, "mlp_width": 11008,
            "context": 4096, "tied_embeddings": false});
        assert_eq!(of(llama, 32_000), 6_738_415_616);
        let falcon = serde_json::json!({"architecture": "falcon", "layers": 80, "heads": 232, "kv_heads": 8,
            "width": 14848, "context": 2048, "tied_embeddings": false});
        assert_eq!(of(falcon, 65_024), 179_522_565_120);
    }
}
