//! Products of rows with a weight.

use rayon::prelude::*;

use super::lanes::{Lanes, Line, by_lanes};
use crate::kernels::Orientation;
use crate::kernels::flex::Shared;

/// Panels that lie together.
const GROUP: usize = 4;

/// Products of fewer multiplications than this are not worth a second thread.
const SPLIT: usize = 1 << 17;

/// A weight laid out for products: sixteen outputs side by side are a panel, and up to four panels lie
/// together, `[group][input][panel][16]`, so that a product reads the weight once from its first byte
/// to its last.
///
/// An output is `Σ x[k] · w[k]` from the first input to the last by fused multiply-add, then the bias
/// is added: the same sum whatever the other rows and outputs.
#[derive(Clone, Debug)]
pub struct Panels {
    lines: Vec<Line>,
    inputs: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
}

/// Whether a product replaces what is in its target or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It replaces.
    Replace,
    /// It is added.
    Add,
}

impl Panels {
    /// Zeros, to be filled by [`Self::place`].
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            lines: vec![Line::ZERO; outputs.div_ceil(16) * inputs],
            inputs,
            outputs,
            bias: None,
        }
    }

    /// From a weight's values in row-major order.
    pub fn of(values: &[f32], [rows, columns]: [usize; 2], orientation: Orientation) -> Self {
        let (inputs, outputs) = match orientation {
            Orientation::InputOutput => (rows, columns),
            Orientation::OutputInput => (columns, rows),
        };
        let mut panels = Self::new(inputs, outputs);
        match orientation {
            Orientation::OutputInput => (0..outputs).for_each(|output| {
                panels.place(output, values[output * inputs..][..inputs].iter().copied());
            }),
            Orientation::InputOutput => (0..outputs).for_each(|output| {
                panels.place(output, values[output..].iter().step_by(outputs).copied());
            }),
        }
        panels
    }

    /// Writes what leads to one output.
    pub fn place(&mut self, output: usize, weights: impl Iterator<Item = f32>) {
        let (start, step, lane) = self.at(output);
        for (line, weight) in self.lines[start..].iter_mut().step_by(step).zip(weights) {
            line.0[lane] = weight;
        }
    }

    /// With terms that are added to the outputs.
    pub fn with_bias(mut self, bias: Option<Vec<f32>>) -> Self {
        if let Some(bias) = &bias {
            assert_eq!(bias.len(), self.outputs, "a bias for each output");
        }
        self.bias = bias;
        self
    }

    /// Columns of what is multiplied.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns of the product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The bytes of its weights.
    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// Copies what leads to one output: a row of an embedding that is also the output layer.
    pub fn row(&self, output: usize, into: &mut [f32]) {
        let (start, step, lane) = self.at(output);
        for (value, line) in into.iter_mut().zip(self.lines[start..].iter().step_by(step)) {
            *value = line.0[lane];
        }
    }

    /// The first line of an output, the step to the next input's, and the lane.
    fn at(&self, output: usize) -> (usize, usize, usize) {
        let (panel, lane) = (output / 16, output % 16);
        let group = panel / GROUP;
        let panels = self.panels(group);
        (group * GROUP * self.inputs + panel % GROUP, panels, lane)
    }

    /// Panels of a group: fewer in the last.
    fn panels(&self, group: usize) -> usize {
        (self.outputs.div_ceil(16) - group * GROUP).min(GROUP)
    }

    /// `x · W (+ bias)`, `[rows, inputs] → [rows, outputs]`, on the threads of the pool that this is
    /// called in where there is enough to do.
    pub fn multiply(&self, x: &[f32], out: &mut [f32], target: Target) {
        let rows = x.len() / self.inputs;
        assert!(
            x.len() == rows * self.inputs && out.len() == rows * self.outputs,
            "rows of the weight's inputs and outputs"
        );
        let shared = Shared::new(out);
        let groups = self.outputs.div_ceil(16 * GROUP);
        let threads = rayon::current_num_threads();
        if threads == 1 || groups == 1 || rows * self.inputs * self.outputs < SPLIT {
            return multiply_groups(self, x, shared, rows, 0, groups, target);
        }
        // a part a thread, each of neighbouring groups: a sum is never split
        let share = groups.div_ceil(threads);
        (0..groups.div_ceil(share)).into_par_iter().for_each(|part| {
            let from = part * share;
            multiply_groups(self, x, shared, rows, from, (from + share).min(groups), target);
        });
    }
}

by_lanes! {
    /// The outputs of some groups, for all rows.
    fn multiply_groups(
        panels: &Panels, x: &[f32], out: Shared<'_>, rows: usize, from: usize, to: usize, target: Target,
    ) by groups_of
}

#[inline(always)]
fn groups_of<L: Lanes>(
    panels: &Panels,
    x: &[f32],
    out: Shared<'_>,
    rows: usize,
    from: usize,
    to: usize,
    target: Target,
) {
    for group in from..to {
        let count = panels.panels(group);
        let mut panel = 0;
        while panel < count {
            let place = Place {
                panels,
                x,
                out,
                line: group * GROUP * panels.inputs + panel,
                step: count,
                output: (group * GROUP + panel) * 16,
                target,
            };
            let width = (count - panel).min(L::PANELS);
            match width {
                4 => rows_of::<L, 4>(&place, rows),
                3 => rows_of::<L, 3>(&place, rows),
                2 => rows_of::<L, 2>(&place, rows),
                _ => rows_of::<L, 1>(&place, rows),
            }
            panel += width;
        }
    }
}

/// Where a tile lies.
struct Place<'a> {
    panels: &'a Panels,
    x: &'a [f32],
    out: Shared<'a>,
    /// The first line, and lines from one input to the next.
    line: usize,
    step: usize,
    /// The first output.
    output: usize,
    target: Target,
}

#[inline(always)]
fn rows_of<L: Lanes, const P: usize>(place: &Place<'_>, rows: usize) {
    let mut row = 0;
    while row < rows {
        let height = (rows - row).min(L::ROWS);
        match height {
            6 => tile::<L, 6, P>(place, row),
            5 => tile::<L, 5, P>(place, row),
            4 => tile::<L, 4, P>(place, row),
            3 => tile::<L, 3, P>(place, row),
            2 => tile::<L, 2, P>(place, row),
            _ => tile::<L, 1, P>(place, row),
        }
        row += height;
    }
}

#[inline(always)]
fn tile<L: Lanes, const R: usize, const P: usize>(place: &Place<'_>, row: usize) {
    let Panels {
        lines, inputs, outputs, ..
    } = place.panels;
    let (inputs, outputs) = (*inputs, *outputs);
    assert!(inputs == 0 || place.line + (inputs - 1) * place.step + P <= lines.len());
    assert!((row + R) * inputs <= place.x.len());
    let mut sums = [[L::splat(0.0); P]; R];
    // SAFETY: the lines and the rows lie inside their slices, as asserted.
    unsafe {
        let mut line = lines.as_ptr().add(place.line);
        let x = place.x.as_ptr().add(row * inputs);
        for k in 0..inputs {
            let weights: [L; P] = std::array::from_fn(|panel| L::load(line.add(panel).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = L::splat(*x.add(r * inputs + k));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = sum.add_product(value, weight);
                }
            }
            line = line.wrapping_add(place.step);
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (panel, sum) in sums.into_iter().enumerate() {
            let output = place.output + panel * 16;
            let width = (outputs - output).min(16);
            // SAFETY: each tile writes its own rows and outputs.
            let out = unsafe { place.out.part((row + r) * outputs + output, width) };
            let bias = place.panels.bias.as_ref().map(|bias| &bias[output..output + width]);
            finish(sum, out, bias, place.target);
        }
    }
}

#[inline(always)]
fn finish<L: Lanes>(sum: L, out: &mut [f32], bias: Option<&[f32]>, target: Target) {
    if out.len() == 16 {
        let mut sum = sum;
        // SAFETY: sixteen values each.
        unsafe {
            if let Some(bias) = bias {
                sum = sum.add(L::load(bias.as_ptr()));
            }
            if target == Target::Add {
                sum = sum.add(L::load(out.as_ptr()));
            }
            sum.store(out.as_mut_ptr());
        }
        return;
    }
    for (lane, (out, mut sum)) in out.iter_mut().zip(sum.array()).enumerate() {
        if let Some(bias) = bias {
            sum += bias[lane];
        }
        *out = match target {
            Target::Replace => sum,
            Target::Add => sum + *out,
        };
    }
}
