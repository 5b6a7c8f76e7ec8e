//! What the gates of recurrent units make of a step's products, forward and backward: each function over
//! some units of one token.

use super::flex::{sigmoid, tanh, vectorized};

vectorized! {
    /// An LSTM's gates, in the place of what comes from the input, and the units' cells and outputs; `sums`
    /// holds what comes from the state, gate by gate.
    pub(super) fn lstm(
        write: &mut [f32], keep: &mut [f32], candidate: &mut [f32], show: &mut [f32], sums: &[f32],
        cell: &mut [f32], out: &mut [f32],
    ) {
        let units = out.len();
        let (write, keep) = (&mut write[..units], &mut keep[..units]);
        let (candidate, show, cell) = (&mut candidate[..units], &mut show[..units], &mut cell[..units]);
        let (writes, sums) = sums.split_at(units);
        let (keeps, sums) = sums.split_at(units);
        let (candidates, shows) = sums.split_at(units);
        let shows = &shows[..units];
        for i in 0..units {
            write[i] = sigmoid(write[i] + writes[i]);
            keep[i] = sigmoid(keep[i] + keeps[i]);
            candidate[i] = tanh(candidate[i] + candidates[i]);
            show[i] = sigmoid(show[i] + shows[i]);
            cell[i] = keep[i] * cell[i] + write[i] * candidate[i];
            out[i] = show[i] * tanh(cell[i]);
        }
    }
}

vectorized! {
    /// The gradients of an LSTM's gates before their functions, in their place. `hidden` and `given` are the
    /// gradients of the outputs, from the step after and from above; `carried` is that of the cells, of this
    /// step and then of the one before.
    #[expect(clippy::too_many_arguments, reason = "slices of their own: loops over them vectorize")]
    pub(super) fn lstm_back(
        write: &mut [f32], keep: &mut [f32], candidate: &mut [f32], show: &mut [f32], carried: &mut [f32],
        hidden: &[f32], given: &[f32], cell: &[f32], before: &[f32],
    ) {
        let units = carried.len();
        let (write, keep) = (&mut write[..units], &mut keep[..units]);
        let (candidate, show) = (&mut candidate[..units], &mut show[..units]);
        let (hidden, given, cell, before) = (&hidden[..units], &given[..units], &cell[..units], &before[..units]);
        for i in 0..units {
            let (writes, keeps, new, shows) = (write[i], keep[i], candidate[i], show[i]);
            let (dout, shown) = (hidden[i] + given[i], tanh(cell[i]));
            let dcell = carried[i] + dout * shows * (1.0 - shown * shown);
            write[i] = dcell * new * writes * (1.0 - writes);
            keep[i] = dcell * before[i] * keeps * (1.0 - keeps);
            candidate[i] = dcell * writes * (1.0 - new * new);
            show[i] = dout * shown * shows * (1.0 - shows);
            carried[i] = dcell * keeps;
        }
    }
}

vectorized! {
    /// A GRU's gates, in the place of what comes from the input, and the units' outputs after those `before`;
    /// `sums` holds what comes from the state, gate by gate.
    pub(super) fn gru(
        reset: &mut [f32], update: &mut [f32], candidate: &mut [f32], sums: &[f32], before: &[f32],
        out: &mut [f32],
    ) {
        let units = out.len();
        let (reset, update) = (&mut reset[..units], &mut update[..units]);
        let (candidate, before) = (&mut candidate[..units], &before[..units]);
        let (resets, sums) = sums.split_at(units);
        let (updates, inner) = sums.split_at(units);
        let inner = &inner[..units];
        for i in 0..units {
            reset[i] = sigmoid(reset[i] + resets[i]);
            update[i] = sigmoid(update[i] + updates[i]);
            candidate[i] = tanh(candidate[i] + reset[i] * inner[i]);
            out[i] = candidate[i] + update[i] * (before[i] - candidate[i]);
        }
    }
}

vectorized! {
    /// The gradients of a GRU's gates before their functions, in their place, and in the place of `inner`,
    /// the candidates' part that comes from the state, its gradient. `hidden` and `given` are the gradients of
    /// the outputs, from the step after and from above; `carried` is what of them the update gates let pass.
    #[expect(clippy::too_many_arguments, reason = "slices of their own: loops over them vectorize")]
    pub(super) fn gru_back(
        reset: &mut [f32], update: &mut [f32], candidate: &mut [f32], inner: &mut [f32], carried: &mut [f32],
        hidden: &[f32], given: &[f32], before: &[f32],
    ) {
        let units = carried.len();
        let (reset, update) = (&mut reset[..units], &mut update[..units]);
        let (candidate, inner) = (&mut candidate[..units], &mut inner[..units]);
        let (hidden, given, before) = (&hidden[..units], &given[..units], &before[..units]);
        for i in 0..units {
            let (resets, updates, new) = (reset[i], update[i], candidate[i]);
            let dout = hidden[i] + given[i];
            let dnew = dout * (1.0 - updates) * (1.0 - new * new);
            reset[i] = dnew * inner[i] * resets * (1.0 - resets);
            update[i] = dout * (before[i] - new) * updates * (1.0 - updates);
            candidate[i] = dnew;
            inner[i] = dnew * resets;
            carried[i] = dout * updates;
        }
    }
}
