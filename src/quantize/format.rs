//! The formats that weights can be stored in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A smaller number format for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// IEEE half precision: 11 bits of precision up to 65,504. Half the size.
    Fp16,
    /// bfloat16: the range of f32 with 8 bits of precision. Half the size.
    Bf16,
    /// Integers in -127..=127 times an f32 scale, symmetric around zero. About a quarter of the size.
    Int8,
}

impl Format {
    /// The word in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Hugging Face's word for the type of the stored tensors that are not integers.
    pub fn dtype(self) -> &'static str {
        match self {
            Self::Fp16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::Int8 => "float32",
        }
    }
}

/// How many scales an int8 weight has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One an output channel (for an embedding, one a token).
    #[default]
    Channel,
    /// One for the whole weight: a little smaller, less exact.
    Tensor,
}

impl Granularity {
    /// The word in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Tensor => "tensor",
        }
    }
}
