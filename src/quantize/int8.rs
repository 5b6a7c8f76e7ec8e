//! Symmetric int8: `w ≈ q · scale` with `q` in -127..=127, rounded half to even.

use super::Granularity;

/// A weight as integers and scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8 {
    /// The integers, in the weight's own order.
    pub values: Vec<i8>,
    /// One scale an output channel, or one.
    pub scales: Vec<f32>,
}

/// Which index of a two-dimensional weight is the output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The first: `[out, in]`, Hugging Face's `Linear` and embeddings.
    Row,
    /// The second: `[in, out]`, GPT-2's `Conv1D`.
    Column,
}

impl Int8 {
    /// Quantizes a weight of `columns` values a row.
    ///
    /// A channel's scale is its largest magnitude over 127, so nothing is clipped and zero stays
    /// zero. A channel of zeros (or so small that its scale would be zero) has scale 1.
    pub fn quantize(weight: &[f32], columns: usize, channel: Channel, granularity: Granularity) -> Self {
        let index = scale_index(columns, channel, granularity);
        let count = match (granularity, channel) {
            (Granularity::Tensor, _) => 1,
            (Granularity::Channel, Channel::Row) => weight.len() / columns.max(1),
            (Granularity::Channel, Channel::Column) => columns,
        };
        let mut scales = vec![0f32; count];
        for (at, value) in weight.iter().enumerate() {
            let largest = &mut scales[index(at)];
            *largest = largest.max(value.abs());
        }
        for scale in &mut scales {
            *scale /= 127.0;
            if *scale == 0.0 {
                *scale = 1.0;
            }
        }
        let round = |(at, value): (usize, &f32)| {
            let steps = (f64::from(*value) / f64::from(scales[index(at)])).round_ties_even();
            steps.clamp(-127.0, 127.0) as i8 // exact: a whole number in the range of i8
        };
        let values = weight.iter().enumerate().map(round).collect();
        Self { values, scales }
    }

    /// The weight that the integers stand for, as `generate` and `evaluate` compute with it.
    pub fn dequantize(&self, columns: usize, channel: Channel, granularity: Granularity) -> Vec<f32> {
        let index = scale_index(columns, channel, granularity);
        let value = |(at, value): (usize, &i8)| f32::from(*value) * self.scales[index(at)];
        self.values.iter().enumerate().map(value).collect()
    }
}

/// From a value's position to its scale's.
fn scale_index(columns: usize, channel: Channel, granularity: Granularity) -> impl Fn(usize) -> usize {
    move |at| match (granularity, channel) {
        (Granularity::Tensor, _) => 0,
        (Granularity::Channel, Channel::Row) => at / columns,
        (Granularity::Channel, Channel::Column) => at % columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_half_to_even_over_a_symmetric_range() {
        // scale 1 by the value 127
        let weight = [127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -126.6, 126.4];
        let int8 = Int8::quantize(&weight, 8, Channel::Row, Granularity::Tensor);
        assert_eq!(int8.scales, [1.0]);
        assert_eq!(int8.values, [127, 0, 2, 2, 0, -2, -127, 126]);
    }

    #[test]
    fn a_scale_is_a_channels_own() {
        // two rows, three columns
        let weight = [1.27, -0.01, 0.0, 254.0, 2.0, -4.0];
        let rows = Int8::quantize(&weight, 3, Channel::Row, Granularity::Channel);
        assert_eq!(rows.scales, [1.27 / 127.0, 2.0]);
        assert_eq!(rows.values, [127, -1, 0, 127, 1, -2]);
        let columns = Int8::quantize(&weight, 3, Channel::Column, Granularity::Channel);
        assert_eq!(columns.scales, [254.0 / 127.0, 2.0 / 127.0, 4.0 / 127.0]);
        assert_eq!(columns.values, [1, -1, 0, 127, 127, -127]);
        let tensor = Int8::quantize(&weight, 3, Channel::Row, Granularity::Tensor);
        assert_eq!(tensor.values, [1, 0, 0, 127, 1, -2]);
    }

    #[test]
    fn zeros_and_the_smallest_numbers_stay_finite() {
        let weight = [0.0, 0.0, f32::from_bits(1), -f32::from_bits(1)];
        let int8 = Int8::quantize(&weight, 2, Channel::Row, Granularity::Channel);
        assert_eq!(int8.values, [0, 0, 0, 0]);
        assert!(int8.scales.iter().all(|scale| scale.is_finite() && *scale > 0.0));
    }

    proptest! {
        #[test]
        fn the_error_is_at_most_half_a_step(
            weight in prop::collection::vec(-3f32..3.0, 1..12).prop_map(|row| row.repeat(4)),
            by_row in any::<bool>(),
            per_channel in any::<bool>(),
        ) {
            let columns = weight.len() / 4;
            let channel = if by_row { Channel::Row } else { Channel::Column };
            let granularity = if per_channel { Granularity::Channel } else { Granularity::Tensor };
            let int8 = Int8::quantize(&weight, columns, channel, granularity);
            let back = int8.dequantize(columns, channel, granularity);
            let index = scale_index(columns, channel, granularity);
            for (at, (exact, stored)) in weight.iter().zip(&back).enumerate() {
                prop_assert!((exact - stored).abs() <= int8.scales[index(at)] * 0.500_01);
            }
            // what is stored is a fixed point: quantizing it again changes no integer
            prop_assert_eq!(Int8::quantize(&back, columns, channel, granularity).values, int8.values);
        }
    }
}
