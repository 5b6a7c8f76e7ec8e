//! Operations by themselves: products, activations, norms, recurrent layers, lookups, losses.

use burn::tensor::Device;

use super::exact::Matrix;
use super::{Case, Sizes, case, recurrent, references, rotation};
use crate::kernels::cross_entropy::composed as composed_cross_entropy;
use crate::kernels::linear::composed as composed_linear;
use crate::kernels::norm::{composed_layer_norm, composed_rms_norm};
use crate::kernels::*;

pub(super) fn simple(sizes: &Sizes, list: &mut Vec<Case>) {
    let Sizes {
        heads, seq, width, mlp, ..
    } = *sizes;
    let rows = sizes.rows();
    let vector = [1, width];
    for (orientation, weight) in [
        (Orientation::InputOutput, [width, mlp]),
        (Orientation::OutputInput, [mlp, width]),
    ] {
        list.push(case(
            "linear",
            [[rows, width], weight, [1, mlp]],
            move |[x, w, b]| linear(x, w, Some(b), orientation),
            move |[x, w, b]| composed_linear(x, w, Some(b), orientation),
        ));
    }
    list.push(case(
        "gelu",
        [[rows, mlp]],
        |[x]| gelu(x),
        |[x]| activation::composed_gelu(x),
    ));
    list.push(case(
        "swiglu",
        [[rows, 2 * mlp]],
        |[x]| swiglu(x),
        |[x]| activation::composed_swiglu(x),
    ));
    list.push(case(
        "layer norm",
        [[rows, width], vector, vector],
        |[x, w, b]| layer_norm(x, w, b, 1e-5),
        |[x, w, b]| composed_layer_norm(x, w, b, 1e-5),
    ));
    list.push(case(
        "rms norm",
        [[rows, width], vector],
        |[x, w]| rms_norm(x, w, 1e-6),
        |[x, w]| composed_rms_norm(x, w, 1e-6),
    ));
    let drop = sizes.drop();
    list.push(case(
        "dropout",
        [[rows, width]],
        move |[x]| dropout(x, drop),
        move |[x]| match drop {
            Some(drop) => {
                let mask = drop.mask(x.dims(), &x.device());
                x.mul(mask)
            }
            None => x,
        },
    ));
    let rotation = rotation(3);
    list.push(case(
        "rotary",
        [[rows, heads.packed()]],
        move |[x]| rotary(x, heads, seq, rotation),
        move |[x]| rotary::composed(x, heads, seq, rotation),
    ));
    for cell in [Cell::Lstm, Cell::Gru] {
        let (width, seq) = (width.min(9), seq.min(12));
        let (rows, gates) = (sizes.lengths.len() * seq, cell.gates() * width);
        let case = case(
            "recurrence",
            [[rows, gates], [gates, width], [1, gates]],
            move |[x, w, b]| recurrence(x, w, b, cell, seq),
            move |[x, w, b]| recurrence::composed(x, w, b, cell, seq),
        );
        list.push(case.beside([rows, width], move |inputs, weights| {
            let [projected, weight, bias] = inputs else {
                unreachable!("three inputs")
            };
            recurrent::recurrence(cell, seq, [projected, weight, bias], weights)
        }));
    }
}

pub(super) fn lookups(sizes: &Sizes, list: &mut Vec<Case>) {
    let Sizes {
        seq, width, vocabulary, ..
    } = *sizes;
    let rows = sizes.rows();
    let tokens = {
        let sizes = sizes.clone();
        move |device: &Device| sizes.tokens(rows, vocabulary, false, device)
    };
    let targets = {
        let sizes = sizes.clone();
        move |device: &Device| sizes.tokens(rows, vocabulary, true, device)
    };
    let also = tokens.clone();
    list.push(case(
        "embedding with positions",
        [[vocabulary, width], [seq, width]],
        move |[t, p]| embedding_at(tokens(&t.device()), t, p, 0, seq),
        move |[t, p]| embedding::composed_at(also(&t.device()), t, p),
    ));
    for smoothing in [0.0, 0.1] {
        let (targets, also) = (targets.clone(), targets.clone());
        let case = case(
            "loss",
            [[rows, width], [vocabulary, width]],
            move |[h, t]| linear_cross_entropy(h, t.clone(), targets(&t.device()), smoothing).unsqueeze(),
            move |[h, t]| {
                let targets = also(&t.device());
                let logits = composed_linear(h, t, None, Orientation::OutputInput);
                let loss = match smoothing {
                    0.0 => composed_cross_entropy(logits, targets),
                    _ => smoothed_cross_entropy(logits, targets, smoothing),
                };
                loss.unsqueeze()
            },
        );
        let sizes = sizes.clone();
        list.push(case.beside([1, 1], move |inputs, weights| {
            let targets = sizes.numbers(rows, vocabulary, true);
            let [loss, hidden, table] = references::cross_entropy(&inputs[0], &inputs[1], &targets, smoothing);
            let weight = weights.at(0, 0);
            let weighed = |gradient: Matrix| gradient.each(|_, _, number| number.times(weight));
            vec![loss, weighed(hidden), weighed(table)]
        }));
    }
}
