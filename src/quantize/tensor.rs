//! One tensor in a smaller format.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView, View};

use super::int8::{Channel, Int8};
use super::{ErrorSums, Format, Granularity, QuantizeError, TensorQuantization};

/// GPT-2's `Conv1D` weights, which are `[in, out]` in Hugging Face's files.
const CONV1D: &[&str] = &["c_attn.weight", "c_proj.weight", "c_fc.weight"];

/// One tensor, smaller.
pub(super) struct Quantized {
    /// What goes into the file: the tensor, and for int8 its scales.
    pub stored: Vec<(String, Stored)>,
    /// Its error, to be added to the others'.
    pub sums: ErrorSums,
    /// Whether it is stored in the format, not as it was.
    pub smaller: bool,
    /// What is told of it.
    pub report: TensorQuantization,
}

impl Quantized {
    /// Stores a tensor in the format; `conv1d` says that the model is GPT-2, whose products are `[in, out]`.
    pub fn new(
        name: &str,
        view: &TensorView<'_>,
        format: Format,
        granularity: Granularity,
        conv1d: bool,
    ) -> Result<Self, QuantizeError> {
        let exact = floats(name, view)?;
        if exact.iter().any(|value| !value.is_finite()) {
            return Err(QuantizeError::NotFinite(name.to_owned()));
        }
        let shape = view.shape().to_vec();
        let tensor = |dtype, data| Stored {
            dtype,
            shape: shape.clone(),
            data,
        };
        let (back, stored) = match format {
            Format::Fp16 => {
                let halves: Vec<f16> = exact.iter().map(|&value| f16::from_f32(value)).collect();
                if halves.iter().any(|half| half.is_infinite()) {
                    return Err(QuantizeError::TooLarge(name.to_owned()));
                }
                let data = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
                let back = halves.iter().map(|half| half.to_f32()).collect();
                (back, vec![(name.to_owned(), tensor(Dtype::F16, data))])
            }
            Format::Bf16 => {
                let halves: Vec<bf16> = exact.iter().map(|&value| bf16::from_f32(value)).collect();
                if halves.iter().any(|half| half.is_infinite()) {
                    return Err(QuantizeError::NotFinite(name.to_owned())); // beyond f32's largest, rounded
                }
                let data = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
                let back = halves.iter().map(|half| half.to_f32()).collect();
                (back, vec![(name.to_owned(), tensor(Dtype::BF16, data))])
            }
            Format::Int8 if shape.len() == 2 => {
                let channel = if conv1d && CONV1D.iter().any(|end| name.ends_with(end)) {
                    Channel::Column
                } else {
                    Channel::Row
                };
                let int8 = Int8::quantize(&exact, shape[1], channel, granularity);
                let back = int8.dequantize(shape[1], channel, granularity);
                let data = int8.values.iter().map(|value| value.cast_unsigned()).collect();
                let scale = Stored {
                    dtype: Dtype::F32,
                    shape: vec![int8.scales.len()],
                    data: little_endian(&int8.scales),
                };
                let stored = vec![
                    (name.to_owned(), tensor(Dtype::I8, data)),
                    (format!("{name}_scale"), scale),
                ];
                (back, stored)
            }
            Format::Int8 => {
                let data = little_endian(&exact);
                (exact.clone(), vec![(name.to_owned(), tensor(Dtype::F32, data))])
            }
        };
        let sums = ErrorSums::of(&exact, &back);
        let report = TensorQuantization {
            name: name.to_owned(),
            dtype: format!("{:?}", stored[0].1.dtype),
            error: sums.error(),
            shape,
        };
        let smaller = format != Format::Int8 || report.shape.len() == 2;
        Ok(Self {
            stored,
            sums,
            smaller,
            report,
        })
    }
}

/// A tensor as it goes into the file.
pub(super) struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// A tensor's values in f32, which holds each of the accepted types exactly.
fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, QuantizeError> {
    let data = view.data();
    let pairs = || data.as_chunks::<2>().0.iter();
    Ok(match view.dtype() {
        Dtype::F32 => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
        Dtype::F16 => pairs().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        dtype => {
            let name = name.to_owned();
            return Err(QuantizeError::Dtype { name, dtype });
        }
    })
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
