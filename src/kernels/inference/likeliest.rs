//! The largest output of each row, without keeping all of them.

use rayon::prelude::*;

use super::logits::largest;
use super::panels::Panels;
use crate::kernels::flex::Shared;

/// Groups of outputs that are computed for all rows at a time: their values stay in a core's second cache.
const AT_ONCE: usize = 8;

/// Outputs of a group.
const GROUP: usize = 64;

/// Memory for finding likeliest outputs, which grows to the largest and is then reused.
#[derive(Debug, Default)]
pub struct Finding {
    values: Vec<f32>,
    best: Vec<Best>,
}

/// The first of the largest outputs so far; NaN if one was not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) value: f32,
    pub(super) output: usize,
}

impl Best {
    pub(super) const NONE: Self = Self {
        value: f32::NEG_INFINITY,
        output: 0,
    };

    /// Takes in the values of neighbouring outputs that come after all that were seen.
    fn see(&mut self, first: usize, values: &[f32]) {
        let most = largest(values);
        if most.is_nan() {
            self.value = most;
        } else if most > self.value {
            let at = values.iter().position(|value| *value == most);
            *self = Self {
                value: most,
                output: first + at.expect("the largest is one of them"),
            };
        }
    }

    /// Takes in what was found among later outputs.
    fn join(&mut self, later: Self) {
        if later.value.is_nan() || later.value > self.value {
            *self = later;
        }
    }

    /// The output, where its value is a number that ends nothing.
    pub(super) fn found(self) -> Option<u32> {
        let output = u32::try_from(self.output).ok();
        output.filter(|_| self.value.is_finite())
    }
}

impl Panels {
    /// The first of the largest outputs of each row of `x`; none where the largest is not a finite number.
    ///
    /// The outputs are those of [`Panels::multiply`], bit for bit, and are compared while they are in a cache.
    pub fn likeliest(&self, x: &[f32], found: &mut [Option<u32>], memory: &mut Finding) {
        let rows = found.len();
        assert_eq!(x.len(), rows * self.inputs(), "rows of the weight's inputs");
        let parts = self.parts(rows);
        let (count, size) = (parts.count(), rows * AT_ONCE * GROUP);
        let Finding { values, best } = memory;
        if values.len() < count * size {
            values.resize(count * size, 0.0);
        }
        best.clear();
        best.resize(count * rows, Best::NONE);
        let (values, all) = (Shared::new(values), Shared::new(best));
        let work = |part: usize| {
            // SAFETY: each part has its own values and rows.
            let (values, best) = unsafe { (values.part(part * size, size), all.part(part * rows, rows)) };
            let groups = parts.of(part);
            for from in groups.clone().step_by(AT_ONCE) {
                let some = from..(from + AT_ONCE).min(groups.end);
                let first = from * GROUP;
                let width = (some.end * GROUP).min(self.outputs()) - first;
                let values = &mut values[..rows * width];
                self.multiply_some(x, values, some);
                for (best, values) in best.iter_mut().zip(values.chunks_exact(width)) {
                    best.see(first, values);
                }
            }
        };
        match count {
            1 => work(0),
            _ => (0..count).into_par_iter().for_each(work),
        }
        for (row, found) in found.iter_mut().enumerate() {
            let mut whole = Best::NONE;
            (0..count).for_each(|part| whole.join(best[part * rows + row]));
            *found = whole.found();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::super::Target;
    use super::*;
    use crate::kernels::Orientation;

    /// As it is found among all outputs.
    fn expected(values: &[f32]) -> Option<u32> {
        let most = largest(values);
        let at = values.iter().position(|value| *value == most);
        at.filter(|_| most.is_finite()).map(|at| at as u32)
    }

    proptest! {
        #[test]
        fn likeliest_outputs_are_those_among_all(
            rows in 1usize..8, inputs in 1usize..20, outputs in 1usize..1500, values in 1usize..40, odd in 0usize..12,
        ) {
            // few values, so that many outputs are equal
            let mut x: Vec<f32> = (0..rows * inputs).map(|i| ((i * 7919) % values) as f32 - 3.0).collect();
            let mut weight: Vec<f32> = (0..inputs * outputs).map(|i| ((i * 6007) % 13) as f32 - 6.0).collect();
            match odd {
                0 => x[0] = f32::NAN,
                1 => x[0] = f32::INFINITY,
                2 => weight[inputs * (outputs / 2)] = f32::NAN,
                3 => weight[inputs * (outputs - 1)] = f32::NEG_INFINITY,
                4 => x.fill(0.0),
                _ => {}
            }
            let panels = Panels::of(&weight, [outputs, inputs], Orientation::OutputInput);
            let mut all = vec![0.0; rows * outputs];
            panels.multiply(&x, &mut all, Target::Replace);
            let all: Vec<_> = all.chunks_exact(outputs).map(expected).collect();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut found = vec![Some(9); rows];
                pool.install(|| panels.likeliest(&x, &mut found, &mut Finding::default()));
                prop_assert_eq!(&found, &all);
            }
        }
    }
}
