//! The largest output of each row by whole numbers of eight bits, four of which a processor multiplies in the
//! time of one f32 number.
//!
//! A weight is kept a second time, each output's row of it as whole numbers from −127 to 127 and a scale; the
//! rows that are multiplied with it are rounded alike. With `x = x̃ + δ` and `w = w̃ + ε`, where `x̃` and `w̃` are what
//! the whole numbers stand for, `x·w = x̃·w̃ + x̃·ε + δ·w`, and by Cauchy and Schwarz
//!
//! ```text
//! x·w ≤ x̃·w̃ + ‖x̃‖‖ε‖ + ‖δ‖‖w‖
//! ```
//!
//! The sum of whole numbers is exact, and the norms are known: so every output has a bound that it cannot
//! exceed. What [`Panels::multiply`] computes differs from `x·w` by rounding, at most `γ‖x‖‖w‖` with `γ` about inputs ×
//! 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), which is added to the bound. Panels of
//! outputs are then computed in f32, the one of the highest bound first, until no bound reaches the largest
//! output so far: it is the largest of all. **What is chosen is what all outputs would choose, bit for bit**, and the
//! whole numbers decide only how soon it is known.

use rayon::prelude::*;

use super::lanes::Line;
use super::likeliest::Best;
use super::panels::{Panels, Parts};
use crate::kernels::flex::{Shared, largest, vectorized};

mod portable;
#[cfg(target_arch = "x86_64")]
mod vnni;

/// Panels that lie together.
const GROUP: usize = 4;
/// The fewest outputs that are worth it.
const OUTPUTS: usize = 2048;
/// The most terms of a sum, which 32 bits then hold.
const INPUTS: usize = 1 << 16;
/// Numbers of rows and weights are at most so large, so that no sum is infinite.
const LARGEST: f32 = 1e15;
/// Rows have a number at least so large, and norms count as at least so large, so that what rounding of
/// denormal numbers loses is far below a bound.
const LEAST: f32 = 1e-15;

/// Sixteen outputs' weights of four inputs: whole numbers with 128 added.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Words([[u8; 4]; 16]);

/// A weight in whole numbers: see [the module](self).
#[derive(Debug)]
pub struct Screen {
    /// `[group][four inputs][panel]`
    words: Vec<Words>,
    /// Of each panel's outputs.
    about: Vec<About>,
    inputs: usize,
    panels: usize,
}

/// What is known of sixteen outputs.
#[derive(Clone, Copy, Debug)]
struct About {
    /// What a whole number stands for.
    scales: Line,
    /// The norms of what rounding lost, and of the weights.
    lost: Line,
    norms: Line,
}

/// What is known of a row in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    /// What sums start at: the weights' 128 times the row's numbers, taken off.
    start: i32,
    scale: f32,
    /// What a bound takes of [`About::lost`] and of [`About::norms`].
    of_lost: f32,
    of_norms: f32,
}

/// Memory for choosing by a screen, which grows to the largest and is then reused, and whether it was worth it.
#[derive(Debug, Default)]
pub struct Screening {
    /// `[rows][four inputs]`
    numbers: Vec<[i8; 4]>,
    rows: Vec<Row>,
    /// Rows that can be in whole numbers.
    whole: Vec<bool>,
    /// `[rows][panels]`
    bounds: Vec<f32>,
    /// Rows so far, and those that stayed open.
    seen: usize,
    open: usize,
}

impl Screening {
    /// Whether rows are mostly decided: else the time is better spent on all outputs. What is chosen does not
    /// depend on it.
    pub fn pays(&self) -> bool {
        self.open <= 64 + self.seen / 4
    }
}

/// Whether the processor has instructions for it.
fn is_native() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

impl Screen {
    /// Of a weight, where the processor has instructions for it and it is worth it.
    pub fn of(panels: &Panels) -> Option<Self> {
        let worth = is_native() && panels.outputs() >= OUTPUTS;
        worth.then(|| Self::build(panels)).flatten()
    }

    /// The bytes that one of a weight of this shape takes where [`Self::of`] makes it.
    pub fn bytes_of(inputs: usize, outputs: usize) -> usize {
        let panels = outputs.div_ceil(16).next_multiple_of(GROUP);
        match is_native() && outputs >= OUTPUTS && inputs <= INPUTS {
            true => panels * (inputs.div_ceil(4) * size_of::<Words>() + size_of::<About>()),
            false => 0,
        }
    }

    fn build(panels: &Panels) -> Option<Self> {
        let (inputs, outputs) = (panels.inputs(), panels.outputs());
        if inputs == 0 || inputs > INPUTS || outputs == 0 || panels.is_biased() {
            return None;
        }
        let (fours, count) = (inputs.div_ceil(4), outputs.div_ceil(16));
        let padded = count.next_multiple_of(GROUP);
        let mut words = vec![Words([[128; 4]; 16]); padded * fours];
        let mut about = vec![About::ZERO; padded];
        let groups = words
            .par_chunks_mut(GROUP * fours)
            .zip(about.par_chunks_mut(GROUP))
            .enumerate();
        let fine = groups.map(|(group, (words, about))| {
            let mut panel_of = |panel: usize| {
                let number = group * GROUP + panel;
                let weights: Vec<Line> = panels.panel(number).copied().collect();
                let mut rounded = vec![Words([[128; 4]; 16]); fours];
                about[panel] = round_panel(&weights, &mut rounded);
                let missing = (16 * (number + 1)).saturating_sub(outputs);
                about[panel].repeat(16 - missing, &mut rounded);
                for (four, rounded) in rounded.into_iter().enumerate() {
                    words[four * GROUP + panel] = rounded;
                }
                let numbers = about[panel].norms.0.iter().chain(&about[panel].scales.0);
                numbers.into_iter().all(|number| *number <= LARGEST)
            };
            (0..GROUP.min(count - group * GROUP)).all(&mut panel_of)
        });
        fine.reduce(|| true, |a, b| a && b).then_some(Self {
            words,
            about,
            inputs,
            panels: count,
        })
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + size_of_val(self.about.as_slice())
    }

    /// The first of the largest outputs of each row, as [`Panels::likeliest`] finds it; none where that is
    /// not found soon: of rows that are not finite or tiny or huge, and where many outputs are nearly as large.
    ///
    /// `panels` is the weight that this was made of.
    pub fn likeliest(&self, panels: &Panels, x: &[f32], found: &mut [Option<u32>], memory: &mut Screening) {
        self.decide(panels, x, found, memory, is_native());
    }

    fn decide(
        &self,
        panels: &Panels,
        x: &[f32],
        found: &mut [Option<u32>],
        memory: &mut Screening,
        #[allow(unused_variables)] native: bool,
    ) {
        let (count, fours) = (found.len(), self.inputs.div_ceil(4));
        assert_eq!(x.len(), count * self.inputs, "rows of the weight's inputs");
        assert_eq!(
            [panels.inputs(), panels.outputs().div_ceil(16)],
            [self.inputs, self.panels]
        );
        let Screening {
            numbers,
            rows,
            whole,
            bounds,
            seen,
            open,
        } = memory;
        numbers.resize(count * fours, [0; 4]);
        rows.clear();
        whole.clear();
        for (x, numbers) in x.chunks_exact(self.inputs).zip(numbers.chunks_exact_mut(fours)) {
            let row = round_row(x, numbers);
            whole.push(row.is_some());
            rows.push(row.unwrap_or(Row::ZERO));
        }
        let width = self.about.len();
        bounds.resize(count * width, 0.0);
        let groups = width / GROUP;
        let parts = Parts::of_product(groups, count * width * fours);
        let sheet = Shared::new(bounds);
        let bound = |part: usize| {
            let groups = parts.of(part);
            #[cfg(target_arch = "x86_64")]
            if native {
                // SAFETY: the processor has the instructions, and parts are disjoint.
                unsafe { vnni::bounds(self, numbers, rows, sheet, groups) };
                return;
            }
            // SAFETY: parts are disjoint.
            unsafe { portable::bounds(self, numbers, rows, sheet, groups) };
        };
        match parts.count() {
            1 => bound(0),
            parts => (0..parts).into_par_iter().for_each(bound),
        }
        let choose_one = |(((x, bounds), whole), found): (((&[f32], &mut [f32]), &bool), &mut Option<u32>)| {
            let bounds = &mut bounds[..self.panels];
            *found = whole.then(|| choose(panels, x, bounds)).flatten();
        };
        if parts.count() == 1 {
            let rows = x.chunks_exact(self.inputs).zip(bounds.chunks_exact_mut(width));
            rows.zip(whole.iter()).zip(found.iter_mut()).for_each(choose_one);
        } else {
            let rows = x.par_chunks_exact(self.inputs).zip(bounds.par_chunks_exact_mut(width));
            rows.zip(whole.par_iter())
                .zip(found.par_iter_mut())
                .for_each(choose_one);
        }
        *seen += count;
        *open += found.iter().filter(|found| found.is_none()).count();
    }
}

/// The largest output of a row, by the bounds of its panels: none if more panels must be computed than are
/// worth it.
fn choose(panels: &Panels, x: &[f32], bounds: &mut [f32]) -> Option<u32> {
    let most = (bounds.len() / 32).max(8);
    let mut best = Best::NONE;
    for _ in 0..most {
        let (panel, bound) = highest(bounds);
        // as large a value may be there, of an output that comes first
        if bound < best.value {
            return best.found();
        }
        bounds[panel] = f32::NEG_INFINITY;
        let mut values = [0.0; 16];
        for (lane, value) in panels.multiply_panel(x, panel, &mut values).iter().enumerate() {
            let output = panel * 16 + lane;
            if *value > best.value || *value == best.value && output < best.output {
                best = Best { value: *value, output };
            }
        }
    }
    (highest(bounds).1 < best.value).then(|| best.found()).flatten()
}

vectorized! {
    /// The first of the highest bounds, and whose it is.
    fn highest(bounds: &[f32]) -> (usize, f32) {
        const PIECE: usize = 64;
        let most = largest(bounds);
        // pieces are compared whole, which is faster than one by one
        let holds = |piece: &[f32]| piece.iter().fold(false, |holds, bound| holds | (*bound == most));
        let start = bounds.chunks(PIECE).position(holds).unwrap_or(0) * PIECE;
        let at = bounds[start..].iter().position(|bound| *bound == most);
        (start + at.unwrap_or(0), most)
    }
}

/// `1.5 · 2²³`: adding it rounds to a whole number in the low bits.
const ROUND: f32 = 12_582_912.0;

/// The nearest whole number of one of at most 127 in magnitude.
#[inline(always)]
fn nearest(value: f32) -> i32 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}

/// A norm rounded up: of a sum of squares in f64, whose own rounding is far below a part in a million.
fn norm(squares: f64) -> f32 {
    (squares.sqrt() * (1.0 + 1e-6)) as f32
}

impl Row {
    const ZERO: Self = Self {
        start: 0,
        scale: 0.0,
        of_lost: 0.0,
        of_norms: 0.0,
    };
}

/// A row in whole numbers; none if it is not finite, or tiny or huge.
fn round_row(x: &[f32], numbers: &mut [[i8; 4]]) -> Option<Row> {
    let most = largest_magnitude(x);
    // NaN, which a largest value passes over, is seen by the sums below
    if !(LEAST..=LARGEST).contains(&most) {
        return None;
    }
    let mut sums = [0.0f64; 3];
    let mut total = 0;
    let scale = most / 127.0;
    round_values(
        x,
        numbers.as_flattened_mut(),
        [scale, 127.0 / most],
        &mut sums,
        &mut total,
    );
    let [all, kept, lost] = sums;
    if !all.is_finite() {
        return None;
    }
    // what a sum of as many products in f32 loses, and what the bound itself does
    let lost_by_sums = f64::from(2.0f32.powi(-24)) * (x.len() + 16) as f64 * 1.01;
    let lost = lost.sqrt() + lost_by_sums * all.sqrt().max(kept.sqrt());
    Some(Row {
        start: -128 * total,
        scale,
        of_lost: (kept.sqrt() * (1.0 + 1e-5)) as f32,
        of_norms: (lost * (1.0 + 1e-5)) as f32,
    })
}

vectorized! {
    fn largest_magnitude(x: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            for lane in 0..16 {
                let value = chunk[lane].abs();
                lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
            }
        }
        rest.iter().map(|value| value.abs()).chain(lanes).fold(0.0, f32::max)
    }
}

vectorized! {
    /// Whole numbers, their sum, and the sums of squares of the values, of what the numbers stand for, and of
    /// what that lost.
    fn round_values(x: &[f32], numbers: &mut [i8], scales: [f32; 2], sums: &mut [f64; 3], total: &mut i32) {
        let [scale, inverse] = scales;
        let mut squares = [[0.0f64; 8]; 3];
        let mut totals = [0i32; 8];
        let mut each = |lane: usize, x: f32, number: &mut i8| {
            let rounded = nearest(x * inverse);
            *number = rounded as i8;
            totals[lane] = totals[lane].wrapping_add(rounded); // of NaN it is any number
            let (x, stands) = (f64::from(x), f64::from(rounded) * f64::from(scale));
            squares[0][lane] += x * x;
            squares[1][lane] += stands * stands;
            squares[2][lane] += (x - stands) * (x - stands);
        };
        let (chunks, rest) = x.as_chunks::<8>();
        let (whole, others) = numbers.split_at_mut(chunks.len() * 8);
        for (x, numbers) in chunks.iter().zip(whole.as_chunks_mut::<8>().0) {
            for lane in 0..8 {
                each(lane, x[lane], &mut numbers[lane]);
            }
        }
        others.fill(0);
        for (x, number) in rest.iter().zip(others) {
            each(0, *x, number);
        }
        *total = totals.iter().copied().fold(0, i32::wrapping_add);
        *sums = squares.map(|lanes| lanes.iter().sum());
    }
}

impl About {
    const ZERO: Self = Self {
        scales: Line::ZERO,
        lost: Line::ZERO,
        norms: Line::ZERO,
    };

    /// Makes the lanes from `width` on copies of the one before, so that outputs that are not there are
    /// bounded as one that is.
    fn repeat(&mut self, width: usize, words: &mut [Words]) {
        for lane in width..16 {
            for line in [&mut self.scales, &mut self.lost, &mut self.norms] {
                line.0[lane] = line.0[width - 1];
            }
            words.iter_mut().for_each(|word| word.0[lane] = word.0[width - 1]);
        }
    }
}

/// A panel in whole numbers. What is not finite shows in its norms.
fn round_panel(weights: &[Line], words: &mut [Words]) -> About {
    let mut about = About::ZERO;
    round_lanes(weights, words, &mut about);
    about
}

vectorized! {
    fn round_lanes(weights: &[Line], words: &mut [Words], about: &mut About) {
        let mut most = [0.0f32; 16];
        let mut squares = [0.0f64; 16];
        for line in weights {
            for lane in 0..16 {
                let value = line.0[lane].abs();
                most[lane] = if value > most[lane] { value } else { most[lane] };
                squares[lane] += f64::from(value) * f64::from(value);
            }
        }
        let mut inverse = [0.0f32; 16];
        for lane in 0..16 {
            // of tiny weights everything is lost, which is little
            if most[lane] > 1e-20 {
                about.scales.0[lane] = most[lane] / 127.0;
                inverse[lane] = 127.0 / most[lane];
            }
        }
        let mut lost = [0.0f64; 16];
        for (at, line) in weights.iter().enumerate() {
            let word = &mut words[at / 4].0;
            for lane in 0..16 {
                let rounded = nearest(line.0[lane] * inverse[lane]);
                word[lane][at % 4] = (rounded + 128) as u8;
                let left = f64::from(line.0[lane]) - f64::from(rounded) * f64::from(about.scales.0[lane]);
                lost[lane] += left * left;
            }
        }
        for lane in 0..16 {
            about.lost.0[lane] = norm(lost[lane]);
            about.norms.0[lane] = norm(squares[lane]).max(LEAST);
            if !squares[lane].is_finite() {
                about.norms.0[lane] = f32::INFINITY; // which a NaN would not be
            }
        }
    }
}

#[cfg(test)]
mod tests;
