//! A recurrent layer over whole sequences, fused: the recurrent weight is packed once for all steps, each
//! thread takes sequences of its own through all of them, and the gates of a step follow its product while
//! that is in the cache. Gates take the place of what comes from the input, and their gradients that of the
//! gates, so that a layer holds nothing twice.

use std::ops::Range;

use rayon::prelude::*;

use super::Cell;
use super::entry::chunk_product;
use super::flex::{Array, Fused, Matrix, PANEL, Panels, Plus, Precision, Shared, Target, buffer, product_in};
use super::gates::{gru, gru_back, lstm, lstm_back};
use super::linear::column_sums;

/// The layer's kind, and the tokens of a sequence.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    cell: Cell,
    seq: usize,
    precision: Precision,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    weight: Array,
    out: Array,
    /// `[rows, gates·width]`
    gates: Array,
    /// `[rows, width]`: an LSTM's cells, or the part of a GRU's candidates that comes from the state.
    inner: Vec<f32>,
}

/// How the work of a step is divided among threads. No bit of a result depends on it: each sum is made by
/// one thread, of all its terms in their order.
#[derive(Clone, Copy, Debug)]
enum Division {
    /// So many sequences each, through all steps.
    Sequences(usize),
    /// So many units each, of all sequences, one step at a time.
    Units(usize),
}

/// What one thread does in a step.
struct Part {
    step: usize,
    sequences: Range<usize>,
    units: Range<usize>,
}

impl Division {
    /// Numbers of a weight from which a step is long enough to be divided itself: those that do not stay in a
    /// core's second cache.
    const LARGE: usize = 1 << 18;
    /// Sequences of a part: two tiles of a product, whose sums stay in the second cache.
    const MOST: usize = 28;

    fn of([batch, width, gates]: [usize; 3]) -> Self {
        let threads = rayon::current_num_threads();
        match batch < threads && gates * width * width > Self::LARGE {
            // as many parts for each thread as hold no more than so many sequences
            false => Self::Sequences(batch.div_ceil(threads * batch.div_ceil(threads * Self::MOST))),
            true => Self::Units(width.div_ceil(threads).next_multiple_of(PANEL)),
        }
    }

    /// The units of each part of a step.
    fn units(self, width: usize) -> impl Iterator<Item = Range<usize>> {
        let each = match self {
            Self::Sequences(_) => width,
            Self::Units(each) => each,
        };
        (0..width)
            .step_by(each)
            .map(move |first| first..width.min(first + each))
    }

    /// States that are kept: where parts of a step share one, those of the step before are still read while
    /// the next are written.
    fn turns(self) -> usize {
        match self {
            Self::Sequences(_) => 1,
            Self::Units(_) => 2,
        }
    }

    /// Does the work of all steps in their order.
    fn run(
        self,
        [batch, width]: [usize; 2],
        steps: impl Iterator<Item = usize> + Clone + Sync,
        work: impl Fn(Part) + Sync,
    ) {
        match self {
            Self::Sequences(each) => (0..batch.div_ceil(each)).into_par_iter().for_each(|part| {
                for step in steps.clone() {
                    work(Part {
                        step,
                        sequences: part * each..batch.min((part + 1) * each),
                        units: 0..width,
                    });
                }
            }),
            Self::Units(each) => {
                for step in steps {
                    (0..width.div_ceil(each)).into_par_iter().for_each(|part| {
                        work(Part {
                            step,
                            sequences: 0..batch,
                            units: part * each..width.min((part + 1) * each),
                        });
                    });
                }
            }
        }
    }
}

impl Part {
    /// The part's own block of a buffer with `each` values a sequence and unit: where it begins, and how many.
    fn block(&self, width: usize, each: usize) -> (usize, usize) {
        let (sequences, units) = (self.sequences.len(), self.units.len());
        let start = self.sequences.start * width + sequences * self.units.start;
        (each * start, each * sequences * units)
    }
}

impl Layer {
    pub(super) fn new(cell: Cell, seq: usize) -> Self {
        Self {
            cell,
            seq,
            precision: Precision::now(),
        }
    }

    /// Turns what comes from the input, `[batch, seq, gates·width]`, into gates, and writes the outputs, and
    /// unless it is empty `inner`.
    fn run(&self, gates: &mut [f32], [weight, bias]: [&Array; 2], out: &mut [f32], inner: &mut [f32]) {
        let (seq, count) = (self.seq, self.cell.gates());
        let [columns, width] = weight.dims();
        let batch = gates.len() / columns / seq;
        let division = Division::of([batch, width, count]);
        // the gates of a part's units lie side by side
        let by_gate = Matrix::rows(weight.values(), width).transposed();
        let parts: Vec<Range<usize>> = division
            .units(width)
            .flat_map(|units| (0..count).map(move |gate| gate * width + units.start..gate * width + units.end))
            .collect();
        let bias: Vec<f32> = parts
            .iter()
            .flat_map(|part| &bias.values()[part.clone()])
            .copied()
            .collect();
        let parts: Vec<_> = parts
            .iter()
            .map(|part| (by_gate.from(0, part.start), part.len()))
            .collect();
        let panels = Panels::of(self.precision, &parts, width);

        let turns = division.turns();
        let mut hidden = vec![0.0; turns * batch * width];
        let mut cells = vec![0.0; if self.cell == Cell::Lstm { batch * width } else { 0 }];
        let mut sums = buffer(batch * columns);
        let tracked = !inner.is_empty();
        let [gates, out, inner] = [gates, out, inner].map(Shared::new);
        let [hidden, cells, sums] = [&mut hidden, &mut cells, &mut sums].map(|buffer| Shared::new(buffer));
        division.run([batch, width], 0..seq, |part| {
            let (step, each) = (part.step, part.units.len());
            let (first, rows) = (part.sequences.start, part.sequences.len());
            let [now, before] = [step % turns, (step + turns - 1) % turns].map(|turn| turn * batch);
            let (start, length) = part.block(width, count);
            let bias = &bias[count * part.units.start..][..count * each];
            // SAFETY: each part has its block alone.
            let sums = unsafe { sums.part(start, length) };
            if step == 0 {
                sums.chunks_exact_mut(count * each)
                    .for_each(|row| row.copy_from_slice(bias));
            } else {
                // SAFETY: nobody writes the states of the step before.
                let hidden = unsafe { hidden.read((before + first) * width, rows * width) };
                let plus = Plus {
                    bias: Some(bias),
                    rows: None,
                };
                chunk_product(
                    sums,
                    count * each,
                    [rows, count * each, width],
                    Matrix::rows(hidden, width),
                    panels.right().from(count * part.units.start),
                    plus,
                    Target::Replace,
                );
            }
            for (sequence, sums) in part.sequences.clone().zip(sums.chunks_exact(count * each)) {
                let (row, unit) = (sequence * seq + step, part.units.start);
                // SAFETY: each part has its sequences' units alone, in all buffers.
                let gate = |gate: usize| unsafe { gates.part(row * columns + gate * width + unit, each) };
                // SAFETY: as above.
                let out = unsafe { out.part(row * width + unit, each) };
                let kept = match self.cell {
                    Cell::Lstm => {
                        // SAFETY: as above.
                        let cells = unsafe { cells.part(sequence * width + unit, each) };
                        lstm(gate(0), gate(1), gate(2), gate(3), sums, cells, out);
                        &*cells
                    }
                    Cell::Gru => {
                        // SAFETY: as above.
                        let before = unsafe { hidden.read((before + sequence) * width + unit, each) };
                        gru(gate(0), gate(1), gate(2), sums, before, out);
                        &sums[2 * each..]
                    }
                };
                // SAFETY: as above.
                unsafe { hidden.part((now + sequence) * width + unit, each) }.copy_from_slice(out);
                if tracked {
                    // SAFETY: as above.
                    unsafe { inner.part(row * width + unit, each) }.copy_from_slice(kept);
                }
            }
        });
    }

    /// Turns gates into the gradients of what they are functions of, and a GRU's `inner` into its own.
    fn run_back(&self, gates: &mut [f32], inner: &mut [f32], [weight, out, gradient]: [&Array; 3]) {
        let (seq, count) = (self.seq, self.cell.gates());
        let [columns, width] = weight.dims();
        let batch = gates.len() / columns / seq;
        let division = Division::of([batch, width, count]);
        let panels = Panels::of(
            self.precision,
            &[(Matrix::rows(weight.values(), width), width)],
            columns,
        );

        let turns = division.turns();
        // the gradients of what comes from the state, gate by gate, as the step before reads them
        let mut through = buffer(turns * batch * columns);
        let [mut hidden, mut carried] = [(); 2].map(|()| vec![0.0; batch * width]);
        let none = vec![0.0; width];
        let [gates, inner] = [gates, inner].map(Shared::new);
        let [through, hidden, carried] = [&mut through, &mut hidden, &mut carried].map(|buffer| Shared::new(buffer));
        division.run([batch, width], (0..seq).rev(), |part| {
            let (step, each) = (part.step, part.units.len());
            let (first, rows) = (part.sequences.start, part.sequences.len());
            let [now, after] = [step % turns, (step + 1) % turns].map(|turn| turn * batch);
            let (start, length) = part.block(width, 1);
            // SAFETY: each part has its blocks alone.
            let (hidden, carried) = unsafe { (hidden.part(start, length), carried.part(start, length)) };
            if step + 1 < seq {
                // SAFETY: nobody writes the gradients of the step after.
                let through = unsafe { through.read((after + first) * columns, rows * columns) };
                let plus = Plus {
                    bias: None,
                    rows: (self.cell == Cell::Gru).then(|| Matrix::rows(carried, each)),
                };
                chunk_product(
                    hidden,
                    each,
                    [rows, each, columns],
                    Matrix::rows(through, columns),
                    panels.right().from(part.units.start),
                    plus,
                    Target::Replace,
                );
            }
            let blocks = hidden.chunks_exact(each).zip(carried.chunks_exact_mut(each));
            for (sequence, (hidden, carried)) in part.sequences.clone().zip(blocks) {
                let (row, unit) = (sequence * seq + step, part.units.start);
                // SAFETY: each part has its sequences' units alone, in all buffers.
                let gate = |gate: usize| unsafe { gates.part(row * columns + gate * width + unit, each) };
                let given = &gradient.values()[row * width + unit..];
                let last = match self.cell {
                    Cell::Lstm => {
                        // SAFETY: as above.
                        let cells = |row: usize| unsafe { inner.read(row * width + unit, each) };
                        let before = if step > 0 { cells(row - 1) } else { &none };
                        let [write, keep, candidate, show] = [0, 1, 2, 3].map(gate);
                        lstm_back(write, keep, candidate, show, carried, hidden, given, cells(row), before);
                        gate(3)
                    }
                    Cell::Gru => {
                        // SAFETY: as above.
                        let inner = unsafe { inner.part(row * width + unit, each) };
                        let before = match step {
                            0 => &none,
                            _ => &out.values()[(row - 1) * width + unit..],
                        };
                        gru_back(gate(0), gate(1), gate(2), inner, carried, hidden, given, before);
                        inner
                    }
                };
                if step > 0 {
                    // SAFETY: as above.
                    let through =
                        |gate: usize| unsafe { through.part((now + sequence) * columns + gate * width + unit, each) };
                    for place in 0..count - 1 {
                        through(place).copy_from_slice(gate(place));
                    }
                    through(count - 1).copy_from_slice(last);
                }
            }
        });
    }

    /// The recurrent weight's gradient: one sum over all tokens.
    fn weight_gradient(&self, gates: &Array, inner: &[f32], out: &Array) -> Array {
        let ([rows, width], [_, columns]) = (out.dims(), gates.dims());
        let each = self.seq * width;
        // each token's state before it, zeros before the first
        let mut before = buffer(rows * width);
        let sequences = before.par_chunks_mut(each).zip(out.values().par_chunks(each));
        sequences.for_each(|(before, out)| {
            before[..width].fill(0.0);
            before[width..].copy_from_slice(&out[..each - width]);
        });
        let before = Matrix::rows(&before, width);
        let mut dweight = buffer(columns * width);
        let mut sum = |gradients: Matrix<'_>, first: usize, count: usize| {
            let (out, shape) = (&mut dweight[first * width..], [count, width, rows]);
            product_in(
                self.precision,
                out,
                shape,
                gradients.transposed(),
                before,
                Target::Replace,
            );
        };
        let gates = Matrix::rows(gates.values(), columns);
        match self.cell {
            Cell::Lstm => sum(gates, 0, columns),
            Cell::Gru => {
                sum(gates, 0, 2 * width);
                sum(Matrix::rows(inner, width), 2 * width, width);
            }
        }
        Array::new(dweight, [columns, width])
    }
}

impl Fused<3> for Layer {
    type Saved = Saved;

    fn forward(&self, [projected, weight, bias]: [Array; 3], tracked: bool) -> (Array, Saved) {
        let ([rows, _], [_, width]) = (projected.dims(), weight.dims());
        let mut out = buffer(rows * width);
        let mut inner = buffer(if tracked { rows * width } else { 0 });
        let gates = projected.map_values(|gates| self.run(gates, [&weight, &bias], &mut out, &mut inner));
        let out = Array::new(out, [rows, width]);
        let saved = Saved {
            weight,
            out: out.clone(),
            gates,
            inner,
        };
        (out, saved)
    }

    fn backward(&self, saved: Saved, gradient: Array, wanted: [bool; 3]) -> [Option<Array>; 3] {
        let Saved {
            weight,
            out,
            gates,
            mut inner,
        } = saved;
        let [rows, width] = out.dims();
        let gates = gates.map_values(|gates| self.run_back(gates, &mut inner, [&weight, &out, &gradient]));
        drop(gradient);
        let dweight = wanted[1].then(|| self.weight_gradient(&gates, &inner, &out));
        let dbias = wanted[2].then(|| match self.cell {
            Cell::Lstm => column_sums(&gates),
            Cell::Gru => {
                let both = column_sums(&gates).values()[..2 * width].to_vec();
                let inner = column_sums(&Array::new(inner, [rows, width]));
                Array::new([&both, inner.values()].concat(), [1, 3 * width])
            }
        });
        [wanted[0].then_some(gates), dweight, dbias]
    }
}
