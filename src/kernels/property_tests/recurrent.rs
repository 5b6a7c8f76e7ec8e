//! Recurrent layers in f64 with bounds, by their units' equations. Where weights are large, a step makes much
//! of the errors of the one before: the bounds grow as the errors may.

use super::exact::{Matrix, Near, sum};
use crate::kernels::Cell;

const ONE: f64 = 1.0;

/// The number of an interval that is nearest to zero.
fn flattest(number: Near) -> f64 {
    (number.value.abs() - number.off).max(0.0)
}

fn sigmoid(x: Near) -> Near {
    let of = |x: f64| 1.0 / (1.0 + (-x).exp());
    let steep = of(flattest(x)) * of(-flattest(x));
    x.through(of(x.value), steep).within(ONE)
}

/// Held to a few units in the last place of one, which is looser than fused it is near zero.
fn tanh(x: Near) -> Near {
    let steep = ONE - flattest(x).tanh().powi(2);
    x.through(x.value.tanh(), steep).absolute(4.0).within(2.0)
}

/// `g (1 − g)`, which is not above a quarter.
fn sigmoid_slope(gate: Near) -> Near {
    gate.times(Near::exact(ONE).minus(gate)).within(0.25)
}

fn tanh_slope(value: Near) -> Near {
    Near::exact(ONE).minus(value.times(value)).within(ONE)
}

/// What a unit of an LSTM or a GRU made of one token.
#[derive(Clone, Copy, Default)]
struct Made {
    /// Write, keep, candidate, show; or reset, update, new.
    gates: [Near; 4],
    /// The cell after it, or the part of a candidate that comes from the state.
    inner: Near,
}

/// The outputs, and the gradients of inputs, weight and bias.
pub(super) fn recurrence(
    cell: Cell,
    seq: usize,
    [projected, weight, bias]: [&Matrix; 3],
    gradient: &Matrix,
) -> Vec<Matrix> {
    let (rows, width, gates) = (projected.rows(), weight.columns, cell.gates());
    let mut out = Matrix::zeros(rows, width);
    let mut made = vec![Made::default(); rows * width];
    let zero = Near::default();
    let before = |out: &Matrix, row: usize, unit: usize| match row % seq {
        0 => zero,
        _ => out.at(row - 1, unit),
    };
    for row in 0..rows {
        for unit in 0..width {
            let through = |gate: usize| {
                let place = gate * width + unit;
                sum((0..width).map(|i| weight.at(place, i).times(before(&out, row, i)))).plus(bias.at(0, place))
            };
            let given = |gate: usize| projected.at(row, gate * width + unit);
            let both = |gate: usize| given(gate).plus(through(gate));
            let (unit_made, output) = match cell {
                Cell::Lstm => {
                    let [write, keep, show] = [0, 1, 3].map(|gate| sigmoid(both(gate)));
                    let candidate = tanh(both(2));
                    let last = if row % seq == 0 {
                        zero
                    } else {
                        made[(row - 1) * width + unit].inner
                    };
                    let inner = keep.times(last).plus(write.times(candidate));
                    let gates = [write, keep, candidate, show];
                    (Made { gates, inner }, show.times(tanh(inner)))
                }
                Cell::Gru => {
                    let [reset, update] = [0, 1].map(|gate| sigmoid(both(gate)));
                    let inner = through(2);
                    let new = tanh(given(2).plus(reset.times(inner)));
                    let gates = [reset, update, new, zero];
                    let step = update.times(before(&out, row, unit).minus(new));
                    (Made { gates, inner }, new.plus(step).within(2.0))
                }
            };
            made[row * width + unit] = unit_made;
            out.set(row, unit, output);
        }
    }

    // gradients of what comes from the input, and of what comes from the state
    let mut of_input = Matrix::zeros(rows, gates * width);
    let mut of_state = Matrix::zeros(rows, gates * width);
    let mut carried = vec![zero; rows * width];
    for row in (0..rows).rev() {
        let last = row % seq + 1 == seq;
        for unit in 0..width {
            let mut hidden = gradient.at(row, unit);
            if !last {
                let terms = (0..gates * width).map(|i| of_state.at(row + 1, i).times(weight.at(i, unit)));
                hidden = hidden.plus(sum(terms));
            }
            let after = if last { zero } else { carried[(row + 1) * width + unit] };
            let Made {
                gates: [a, b, c, d],
                inner,
            } = made[row * width + unit];
            let (values, pass) = match cell {
                Cell::Lstm => {
                    let shown = tanh(inner);
                    let dcell = after.plus(hidden.times(d).times(tanh_slope(shown)));
                    let earlier = if row % seq == 0 {
                        zero
                    } else {
                        made[(row - 1) * width + unit].inner
                    };
                    let values = [
                        dcell.times(c).times(sigmoid_slope(a)),
                        dcell.times(earlier).times(sigmoid_slope(b)),
                        dcell.times(a).times(tanh_slope(c)),
                        hidden.times(shown).times(sigmoid_slope(d)),
                    ];
                    ([values, values], dcell.times(b))
                }
                Cell::Gru => {
                    let hidden = hidden.plus(after);
                    let dnew = hidden.times(Near::exact(ONE).minus(b)).times(tanh_slope(c));
                    let apart = before(&out, row, unit).minus(c);
                    let mut values = [
                        dnew.times(inner).times(sigmoid_slope(a)),
                        hidden.times(apart).times(sigmoid_slope(b)),
                        dnew,
                        zero,
                    ];
                    let given = values;
                    values[2] = dnew.times(a);
                    ([given, values], hidden.times(b))
                }
            };
            carried[row * width + unit] = pass;
            for (into, values) in [&mut of_input, &mut of_state].into_iter().zip(values) {
                for (gate, value) in values.into_iter().take(gates).enumerate() {
                    into.set(row, gate * width + unit, value);
                }
            }
        }
    }
    let mut states = Matrix::zeros(rows, width);
    for row in 0..rows {
        for unit in 0..width {
            states.set(row, unit, before(&out, row, unit));
        }
    }
    let of_weight = of_state.turned().product(&states);
    let of_bias = of_state.column_sums();
    vec![out, of_input, of_weight, of_bias]
}
