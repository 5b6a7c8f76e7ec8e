//! Rotary positions.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::Heads;
use super::flex::{self, Array, Fused, vectorized};

/// Rotary position embedding (Su et al. 2021): the pair of elements `i` and `i + width/2` of a head
/// (Hugging Face's halves, not neighbours) is turned by `position · theta^(−2i/width)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// The base of the frequencies, usually 10,000.
    pub theta: f32,
    /// The position of the first row of each sequence.
    pub start: usize,
    /// How frequencies are changed for a longer context.
    pub scaling: Scaling,
}

/// Changes of the rotary frequencies by which a model reads more tokens than it was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scaling {
    /// As they are.
    #[default]
    None,
    /// Positions divided by a factor (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f32,
    },
    /// Llama 3's: low frequencies divided, high ones left, those between interpolated.
    Llama3 {
        /// What low frequencies are divided by.
        factor: f32,
        /// Turns within the original context below which a frequency is low.
        low: f32,
        /// Turns above which it is high.
        high: f32,
        /// The original context, in tokens.
        context: f32,
    },
}

impl Scaling {
    fn of(self, frequency: f32) -> f32 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low,
                high,
                context,
            } => {
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength > context / low {
                    frequency / factor
                } else if wavelength < context / high {
                    frequency
                } else {
                    let share = (context / wavelength - low) / (high - low);
                    (1.0 - share) * (frequency / factor) + share * frequency
                }
            }
        }
    }
}

impl Rotation {
    /// Cosines and sines, `[seq, head_width/2]` each, in f32 arithmetic as Hugging Face has it.
    pub fn tables(&self, seq: usize, head_width: usize) -> (Vec<f32>, Vec<f32>) {
        let half = head_width / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| 1.0 / (f64::from(self.theta).powf(2.0 * i as f64 / head_width as f64) as f32))
            .map(|frequency| self.scaling.of(frequency))
            .collect();
        let mut cosines = Vec::with_capacity(seq * half);
        let mut sines = Vec::with_capacity(seq * half);
        for position in self.start..self.start + seq {
            for frequency in &frequencies {
                let angle = f64::from(position as f32 * frequency);
                cosines.push(angle.cos() as f32);
                sines.push(angle.sin() as f32);
            }
        }
        (cosines, sines)
    }
}

/// Turns the queries and keys of `[batch·seq, (query + 2·key_value)·width]` rows
/// `[queries | keys | values]`; the values pass through.
pub fn rotary(packed: Tensor<2>, heads: Heads, seq: usize, rotation: Rotation) -> Tensor<2> {
    if flex::applies(&packed) {
        flex::run(Turn::new(heads, seq, rotation), [packed])
    } else {
        composed(packed, heads, seq, rotation)
    }
}

pub(super) fn composed(packed: Tensor<2>, heads: Heads, seq: usize, rotation: Rotation) -> Tensor<2> {
    let [rows, columns] = packed.dims();
    let (batch, half) = (rows / seq, heads.width / 2);
    let turned_heads = heads.query + heads.key_value;
    let turned = turned_heads * heads.width;
    let device: Device = packed.device();
    let (cosines, sines) = rotation.tables(seq, heads.width);
    let cosines = Tensor::<4>::from_data(TensorData::new(cosines, [1, seq, 1, half]), &device);
    let sines = Tensor::<4>::from_data(TensorData::new(sines, [1, seq, 1, half]), &device);
    // [rows, turned] → [batch, seq, head, head_width], halves apart
    let x: Tensor<4> = packed
        .clone()
        .narrow(1, 0, turned)
        .reshape([batch, seq, turned_heads, heads.width]);
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let first_turned = first
        .clone()
        .mul(cosines.clone())
        .sub(second.clone().mul(sines.clone()));
    let second_turned = second.mul(cosines).add(first.mul(sines));
    let x: Tensor<2> = Tensor::cat(vec![first_turned, second_turned], 3).reshape([rows, turned]);
    Tensor::cat(vec![x, packed.narrow(1, turned, columns - turned)], 1)
}

#[derive(Clone, Debug)]
pub(super) struct Turn {
    heads: Heads,
    /// `[seq, head_width/2]`
    cosines: Arc<[f32]>,
    sines: Arc<[f32]>,
}

impl Turn {
    /// The tables are those of the last call where they can be: all layers of a model have the same.
    pub(super) fn new(heads: Heads, seq: usize, rotation: Rotation) -> Self {
        type Last = (Rotation, [usize; 2], Arc<[f32]>, Arc<[f32]>);
        static LAST: Mutex<Option<Last>> = Mutex::new(None);
        let shape = [seq, heads.width];
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let (cosines, sines) = match &*last {
            Some((same, of, cosines, sines)) if *same == rotation && *of == shape => (cosines.clone(), sines.clone()),
            _ => {
                let (cosines, sines) = rotation.tables(seq, heads.width);
                let tables: (Arc<[f32]>, Arc<[f32]>) = (cosines.into(), sines.into());
                *last = Some((rotation, shape, tables.0.clone(), tables.1.clone()));
                tables
            }
        };
        Self { heads, cosines, sines }
    }

    /// Turns the queries and keys of packed rows of `columns` values, the first being row `first` of
    /// the batch.
    pub(super) fn rows(&self, values: &mut [f32], columns: usize, first: usize, direction: f32) {
        let (turned, half) = (self.heads.query + self.heads.key_value, self.heads.width / 2);
        let seq = self.cosines.len() / half;
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            let table = (first + row) % seq * half..((first + row) % seq + 1) * half;
            let (cosines, sines) = (&self.cosines[table.clone()], &self.sines[table]);
            turn_row(&mut values[..turned * 2 * half], cosines, sines, direction);
        }
    }

    fn apply(&self, packed: Array, direction: f32) -> Array {
        const ROWS: usize = 16;
        let [_, columns] = packed.dims();
        packed.map_values(|values| {
            let pieces = values.par_chunks_mut(ROWS * columns).enumerate();
            pieces.for_each(|(piece, values)| self.rows(values, columns, piece * ROWS, direction));
        })
    }
}

vectorized! {
    fn turn_row(heads: &mut [f32], cosines: &[f32], sines: &[f32], direction: f32) {
        let half = cosines.len();
        for head in heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for i in 0..half {
                let (x, y, sine) = (first[i], second[i], direction * sines[i]);
                first[i] = x * cosines[i] - y * sine;
                second[i] = y * cosines[i] + x * sine;
            }
        }
    }
}

impl Fused<1> for Turn {
    type Saved = ();

    fn forward(&self, [packed]: [Array; 1], _tracked: bool) -> (Array, ()) {
        (self.apply(packed, 1.0), ())
    }

    // the derivative of a turn is the turn back
    fn backward(&self, (): (), gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        [Some(self.apply(gradient, -1.0))]
    }
}
