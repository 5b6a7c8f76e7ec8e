//! Dropout whose mask is a function of a seed and an element's place alone, so that it is the same
//! on every device, for any number of threads, and after an interruption.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::flex::{self, Array, Fused, vectorized};
use crate::seed::Seed;

/// One use of dropout (Srivastava et al. 2014): elements are zeroed with probability `rate` and the
/// others scaled by `1 / (1 − rate)`.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f32,
    key: u64,
}

impl Dropout {
    /// Dropout at `rate` in `0..1` with the mask that `seed` names; `None` when the rate is 0.
    pub fn new(rate: f32, seed: &Seed) -> Option<Self> {
        assert!((0.0..1.0).contains(&rate), "dropout rates are validated to be in 0..1");
        (rate > 0.0).then(|| Self {
            rate,
            key: seed.number(),
        })
    }

    /// What element `index` is multiplied by: 0 or `1 / (1 − rate)`.
    #[inline(always)]
    pub(super) fn factor(&self, index: u64) -> f32 {
        // SplitMix64 (Steele et al. 2014) used as a counter-based generator
        let mut bits = self.key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let uniform = (bits >> 40) as f32 * (1.0 / 16_777_216.0); // 24 bits: exact in f32
        if uniform < self.rate {
            0.0
        } else {
            1.0 / (1.0 - self.rate)
        }
    }

    /// Multiplies a whole tensor's values by their factors.
    fn multiply(&self, values: &mut [f32]) {
        const PIECE: usize = 1 << 14;
        let pieces = values.par_chunks_mut(PIECE).enumerate();
        pieces.for_each(|(piece, values)| multiply_from(values, self, (piece * PIECE) as u64));
    }

    /// The factors of a whole tensor, in row-major order.
    pub(super) fn mask<const D: usize>(&self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let mut factors = vec![1.0f32; shape.iter().product()];
        self.multiply(&mut factors);
        Tensor::from_data(TensorData::new(factors, shape), device)
    }
}

/// Applies dropout if there is any.
pub fn dropout(x: Tensor<2>, dropout: Option<Dropout>) -> Tensor<2> {
    match dropout {
        Some(dropout) if flex::applies(&x) => flex::run(dropout, [x]),
        Some(dropout) => {
            let mask = dropout.mask(x.dims(), &x.device());
            x.mul(mask)
        }
        None => x,
    }
}

vectorized! {
    /// Multiplies values by their factors, the first being that of element `start`.
    pub(super) fn multiply_from(values: &mut [f32], dropout: &Dropout, start: u64) {
        for (offset, value) in values.iter_mut().enumerate() {
            *value *= dropout.factor(start + offset as u64);
        }
    }
}

impl Fused<1> for Dropout {
    type Saved = ();

    fn forward(&self, [x]: [Array; 1], _tracked: bool) -> (Array, ()) {
        (x.map_values(|values| self.multiply(values)), ())
    }

    // the mask is made again instead of kept
    fn backward(&self, (): (), gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        [Some(gradient.map_values(|values| self.multiply(values)))]
    }
}
