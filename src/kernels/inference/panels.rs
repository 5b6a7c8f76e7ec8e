//! Products of rows with a weight.

use std::ops::Range;

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
        let sheet = Sheet {
            out: Shared::new(out),
            first: 0,
            stride: self.outputs,
        };
        let parts = self.parts(rows);
        match parts.count() {
            1 => multiply_groups(self, x, sheet, rows, 0, self.groups(), target),
            count => (0..count).into_par_iter().for_each(|part| {
                let groups = parts.of(part);
                multiply_groups(self, x, sheet, rows, groups.start, groups.end, target);
            }),
        }
    }

    /// Groups of panels.
    pub(super) fn groups(&self) -> usize {
        self.outputs.div_ceil(16 * GROUP)
    }

    /// How a product of so many rows is shared among the threads of the pool.
    pub(super) fn parts(&self, rows: usize) -> Parts {
        Parts::of_product(self.groups(), rows * self.inputs * self.outputs)
    }

    /// Some neighbouring groups' outputs for all rows, into rows of their own.
    pub(super) fn multiply_some(&self, x: &[f32], out: &mut [f32], groups: Range<usize>) {
        let first = groups.start * GROUP * 16;
        let stride = (groups.end * GROUP * 16).min(self.outputs) - first;
        let rows = x.len() / self.inputs;
        assert!(out.len() >= rows * stride, "room for so many outputs");
        let sheet = Sheet {
            out: Shared::new(out),
            first,
            stride,
        };
        multiply_groups(self, x, sheet, rows, groups.start, groups.end, Target::Replace);
    }

    /// The outputs of one panel for one row, of which there are fewer than sixteen in the last.
    pub(super) fn multiply_panel<'o>(&self, row: &[f32], panel: usize, out: &'o mut [f32; 16]) -> &'o [f32] {
        let width = (self.outputs - panel * 16).min(16);
        let sheet = Sheet {
            out: Shared::new(out),
            first: panel * 16,
            stride: width,
        };
        panel_alone(self, row, sheet, panel);
        &out[..width]
    }

    /// The lines of a panel, from the first input to the last.
    pub(super) fn panel(&self, panel: usize) -> impl Iterator<Item = &Line> {
        let (start, step, _) = self.at(panel * 16);
        self.lines[start..].iter().step_by(step).take(self.inputs)
    }

    /// Whether something is added to its products.
    pub(super) fn is_biased(&self) -> bool {
        self.bias.is_some()
    }
}

/// Neighbouring groups for each thread: a sum is never split.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    groups: usize,
    share: usize,
}

impl Parts {
    /// For a product of so many multiplications on the threads of the pool.
    pub(super) fn of_product(groups: usize, multiplications: usize) -> Self {
        let threads = match multiplications {
            0..SPLIT => 1,
            _ => rayon::current_num_threads(),
        };
        Self {
            groups,
            share: groups.div_ceil(threads).max(1),
        }
    }

    /// How many there are: one at least.
    pub(super) fn count(self) -> usize {
        self.groups.div_ceil(self.share).max(1)
    }

    /// The groups of one.
    pub(super) fn of(self, part: usize) -> Range<usize> {
        part * self.share..((part + 1) * self.share).min(self.groups)
    }
}

/// Where products are written: some outputs of each row.
#[derive(Clone, Copy)]
struct Sheet<'a> {
    out: Shared<'a>,
    /// The output that its first column is of.
    first: usize,
    /// Values from one row to the next.
    stride: usize,
}

by_lanes! {
    /// The outputs of some groups, for all rows.
    fn multiply_groups(
        panels: &Panels, x: &[f32], out: Sheet<'_>, rows: usize, from: usize, to: usize, target: Target,
    ) by groups_of
}

by_lanes! {
    /// The outputs of a panel, for one row.
    fn panel_alone(panels: &Panels, row: &[f32], out: Sheet<'_>, panel: usize) by one_panel
}

#[inline(always)]
fn one_panel<L: Lanes>(panels: &Panels, row: &[f32], out: Sheet<'_>, panel: usize) {
    let (line, step, _) = panels.at(panel * 16);
    let place = Place {
        panels,
        x: row,
        out,
        line,
        step,
        output: panel * 16,
        target: Target::Replace,
    };
    tile::<L, 1, 1>(&place, 0);
}

#[inline(always)]
fn groups_of<L: Lanes>(
    panels: &Panels,
    x: &[f32],
    out: Sheet<'_>,
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
    out: Sheet<'a>,
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
            let Sheet { out, first, stride } = place.out;
            // SAFETY: each tile writes its own rows and outputs.
            let out = unsafe { out.part((row + r) * stride + output - first, width) };
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

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    /// Whole rows of outputs.
    fn sheet(out: &mut [f32], outputs: usize) -> Sheet<'_> {
        Sheet {
            out: Shared::new(out),
            first: 0,
            stride: outputs,
        }
    }

    proptest! {
        #[test]
        fn products_are_sums_and_alike_on_every_instruction_set(
            rows in 1usize..15, inputs in 1usize..70, outputs in 1usize..150, biased: bool, add: bool, turned: bool,
        ) {
            let (x, weight) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 2));
            let bias = biased.then(|| numbers(outputs, 3));
            let before = numbers(rows * outputs, 4);
            let target = if add { Target::Add } else { Target::Replace };
            let panels = match turned {
                true => Panels::of(&weight, [inputs, outputs], Orientation::InputOutput),
                false => Panels::of(&weight, [outputs, inputs], Orientation::OutputInput),
            };
            let panels = panels.with_bias(bias.clone());
            let mut found = before.clone();
            panels.multiply(&x, &mut found, target);
            for row in 0..rows {
                for output in 0..outputs {
                    let at = |input: usize| if turned { input * outputs + output } else { output * inputs + input };
                    let terms = (0..inputs).map(|k| f64::from(x[row * inputs + k]) * f64::from(weight[at(k)]));
                    let mut expected: f64 = terms.sum();
                    expected += bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
                    expected += if add { f64::from(before[row * outputs + output]) } else { 0.0 };
                    prop_assert!((f64::from(found[row * outputs + output]) - expected).abs() < 2e-5);
                }
            }
            // each row alone, and on another instruction set
            for row in 0..rows {
                let at = row * outputs..(row + 1) * outputs;
                let mut alone = before[at.clone()].to_vec();
                panels.multiply(&x[row * inputs..][..inputs], &mut alone, target);
                prop_assert_eq!(&alone[..], &found[at]);
            }
            let groups = panels.groups();
            let mut portable = before.clone();
            groups_of::<[f32; 16]>(&panels, &x, sheet(&mut portable, outputs), rows, 0, groups, target);
            prop_assert_eq!(&portable, &found);
            #[cfg(target_arch = "x86_64")]
            if crate::kernels::inference::available() {
                let mut narrow = before;
                #[target_feature(enable = "avx2,fma")]
                fn by_avx2(panels: &Panels, x: &[f32], out: Sheet<'_>, rows: usize, groups: usize, target: Target) {
                    groups_of::<crate::kernels::inference::lanes::Avx2>(panels, x, out, rows, 0, groups, target);
                }
                // SAFETY: the processor has these instructions.
                unsafe { by_avx2(&panels, &x, sheet(&mut narrow, outputs), rows, groups, target) };
                prop_assert_eq!(&narrow, &found);
            }
            // some of the outputs, and a panel by itself
            if !add {
                let last = groups - 1..groups;
                let first = last.start * GROUP * 16;
                let mut some = vec![0.0; rows * (outputs - first)];
                panels.multiply_some(&x, &mut some, last);
                for row in 0..rows {
                    let expected = &found[row * outputs..][first..outputs];
                    prop_assert_eq!(&some[row * expected.len()..][..expected.len()], expected);
                    let panel = (row * 5) % outputs.div_ceil(16);
                    let mut values = [0.0; 16];
                    let values = panels.multiply_panel(&x[row * inputs..][..inputs], panel, &mut values);
                    prop_assert_eq!(values, &found[row * outputs + panel * 16..][..values.len()]);
                }
            }
            let mut row = vec![0.0; inputs];
            panels.row(outputs - 1, &mut row);
            for (k, value) in row.into_iter().enumerate() {
                prop_assert_eq!(value, weight[if turned { k * outputs + outputs - 1 } else { (outputs - 1) * inputs + k }]);
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_product() {
        let (x, weight) = (numbers(3 * 300, 5), numbers(300 * 500, 6));
        let panels = Panels::of(&weight, [500, 300], Orientation::OutputInput);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; 3 * 500];
            pool.install(|| panels.multiply(&x, &mut out, Target::Replace));
            out
        };
        assert!(on(1) == on(2) && on(1) == on(7));
    }
}
