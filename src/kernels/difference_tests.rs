//! Gradients of fused operations against finite differences of references in f64, which share no line
//! with them: norms, the loss with smoothing, attention, the second half of a block, recurrent layers.

use burn::tensor::{Int, Tensor, TensorData};

use super::tests::{LAYER, RMS, cpu, floats, leaf, norm_of, products_of};
use super::*;

/// Holds values and gradients of an operation to a reference of the same inputs, row by row.
fn hold(
    what: &str,
    shapes: &[[usize; 2]],
    fused: impl Fn(Vec<Tensor<2>>) -> Tensor<2>,
    reference: &dyn Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    const STEP: f64 = 1e-5;
    let device = cpu();
    let leaves: Vec<Tensor<2>> = shapes
        .iter()
        .enumerate()
        .map(|(index, shape)| leaf(&format!("{what}{index}"), *shape, &device))
        .collect();
    let out = fused(leaves.clone());
    let weights = leaf("weights", out.dims(), &device).detach();
    let value = floats(out.clone());
    let mut gradients = out.mul(weights.clone()).sum().backward();
    let weights: Vec<f64> = floats(weights).into_iter().map(f64::from).collect();
    let mut inputs: Vec<Vec<f64>> = leaves
        .iter()
        .map(|leaf| floats(leaf.clone()).into_iter().map(f64::from).collect())
        .collect();
    let exact = reference(&inputs);
    assert_eq!(value.len(), exact.len(), "{what}");
    for (index, (value, exact)) in value.iter().zip(&exact).enumerate() {
        let bound = 1e-5 * exact.abs().max(1.0);
        assert!(
            (f64::from(*value) - exact).abs() < bound,
            "{what}[{index}]: {value} for {exact}"
        );
    }
    let total = |inputs: &[Vec<f64>]| -> f64 { reference(inputs).iter().zip(&weights).map(|(x, w)| x * w).sum() };
    for (place, leaf) in leaves.into_iter().enumerate() {
        let gradient = floats(leaf.grad_remove(&mut gradients).unwrap());
        let largest = gradient.iter().fold(1e-2f32, |largest, x| largest.max(x.abs()));
        for (index, gradient) in gradient.into_iter().enumerate() {
            let at = inputs[place][index];
            let mut moved = |to: f64| {
                inputs[place][index] = to;
                total(&inputs)
            };
            let slope = (moved(at + STEP) - moved(at - STEP)) / (2.0 * STEP);
            inputs[place][index] = at;
            assert!(
                (f64::from(gradient) - slope).abs() < 3e-5 * f64::from(largest),
                "{what}: gradient {place}[{index}] is {gradient}, the slope {slope}"
            );
        }
    }
}

/// `[rows, k] · [k, columns]`
fn product(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let columns = b.len() / k;
    a.chunks(k)
        .flat_map(|row| {
            let cell = move |column: usize| row.iter().enumerate().map(|(i, x)| x * b[i * columns + column]).sum();
            (0..columns).map(cell)
        })
        .collect()
}

fn turned(a: &[f64], columns: usize) -> Vec<f64> {
    (0..columns)
        .flat_map(|column| a.iter().skip(column).step_by(columns).copied())
        .collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn layer_norm_of(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    x.chunks(weight.len())
        .flat_map(|row| {
            let centre = mean(row.iter().copied());
            let variance = mean(row.iter().map(|x| (x - centre).powi(2)));
            let normal = move |(i, x): (usize, &f64)| (x - centre) / (variance + 1e-5).sqrt() * weight[i] + bias[i];
            row.iter().enumerate().map(normal)
        })
        .collect()
}

fn rms_norm_of(x: &[f64], weight: &[f64]) -> Vec<f64> {
    x.chunks(weight.len())
        .flat_map(|row| {
            let square = mean(row.iter().map(|x| x * x));
            row.iter()
                .enumerate()
                .map(move |(i, x)| x / (square + 1e-6).sqrt() * weight[i])
        })
        .collect()
}

#[test]
fn norms() {
    let vector = [1, 7];
    hold(
        "layer norm",
        &[[5, 7], vector, vector],
        |inputs| {
            let [x, w, b] = inputs.try_into().unwrap();
            layer_norm(x, w, b, 1e-5)
        },
        &|inputs| layer_norm_of(&inputs[0], &inputs[1], &inputs[2]),
    );
    hold(
        "rms norm",
        &[[5, 7], vector],
        |inputs| {
            let [x, w] = inputs.try_into().unwrap();
            rms_norm(x, w, 1e-6)
        },
        &|inputs| rms_norm_of(&inputs[0], &inputs[1]),
    );
}

#[test]
fn losses() {
    let (width, vocabulary, targets) = (5, 11, [3i64, -1, 10, 0, 3]);
    for smoothing in [0.0f32, 0.15] {
        hold(
            "loss",
            &[[targets.len(), width], [vocabulary, width]],
            |inputs| {
                let [h, table] = inputs.try_into().unwrap();
                let targets = Tensor::<1, Int>::from_data(TensorData::from(targets), &table.device());
                linear_cross_entropy(h, table, targets, smoothing).unsqueeze()
            },
            &|inputs| {
                let logits = product(&inputs[0], &turned(&inputs[1], width), width);
                let smoothing = f64::from(smoothing);
                let loss = |(logits, target): (&[f64], &i64)| {
                    let Ok(target) = usize::try_from(*target) else {
                        return 0.0;
                    };
                    let total = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
                    let log = |x: &f64| x - total;
                    -(1.0 - smoothing) * log(&logits[target]) - smoothing * mean(logits.iter().map(log))
                };
                vec![logits.chunks(vocabulary).zip(&targets).map(loss).sum()]
            },
        );
    }
}

/// Attention of `[batch·queries, …]` to `[batch·keys, …]`, each query to the keys that `sees` says, with
/// terms added to the scores.
fn attention_of(
    heads: Heads,
    [queries, keys]: [usize; 2],
    (q, k, v): (&[f64], &[f64], &[f64]),
    sees: &dyn Fn(usize, usize, usize) -> bool,
    term: &dyn Fn(usize, usize, usize) -> f64,
) -> Vec<f64> {
    let Heads { query, width, .. } = heads;
    let (columns, side) = (query * width, heads.key_value * width);
    let batch = q.len() / columns / queries;
    let mut out = vec![0.0; q.len()];
    for sequence in 0..batch {
        for (head, at) in (0..query).flat_map(|head| (0..queries).map(move |at| (head, at))) {
            let row = (sequence * queries + at) * columns + head * width;
            let of_key = |key: usize| (sequence * keys + key) * side + head / heads.group() * width;
            let weight = |key: usize| {
                let dot: f64 = (0..width).map(|i| q[row + i] * k[of_key(key) + i]).sum();
                (dot / (width as f64).sqrt() + term(head, at, key)).exp()
            };
            let seen: Vec<usize> = (0..keys).filter(|key| sees(sequence, at, *key)).collect();
            let total: f64 = seen.iter().map(|key| weight(*key)).sum();
            for i in 0..width {
                out[row + i] = seen.iter().map(|key| weight(*key) * v[of_key(*key) + i]).sum::<f64>() / total;
            }
        }
    }
    out
}

/// Columns `first..first + count` of rows.
fn columns(rows: &[f64], width: usize, first: usize, count: usize) -> Vec<f64> {
    rows.chunks(width)
        .flat_map(|row| row[first..first + count].iter().copied())
        .collect()
}

#[test]
fn attention_of_every_kind() {
    let heads = Heads {
        query: 4,
        key_value: 2,
        width: 3,
    };
    let (seq, packed) = (5, heads.packed());
    let parts = move |rows: &[f64]| {
        let (query, side) = (heads.query * heads.width, heads.key_value * heads.width);
        [
            columns(rows, packed, 0, query),
            columns(rows, packed, query, side),
            columns(rows, packed, query + side, side),
        ]
    };
    hold(
        "causal attention",
        &[[2 * seq, packed]],
        |inputs| attention(inputs[0].clone(), heads, seq, None),
        &|inputs| {
            let [q, k, v] = parts(&inputs[0]);
            attention_of(heads, [seq; 2], (&q, &k, &v), &|_, at, key| key <= at, &|_, _, _| 0.0)
        },
    );
    let lengths = [5, 3];
    hold(
        "padded attention with terms",
        &[[2 * seq, packed], [heads.query, 2 * seq - 1]],
        |inputs| {
            let [packed, terms] = inputs.try_into().unwrap();
            let scoring = Scoring {
                scale: heads.scale(),
                bias: Some(Bias::Diagonals(terms)),
                causal: None,
                lengths: Some(&lengths),
            };
            scored_attention(packed, heads, seq, &scoring, None)
        },
        &|inputs| {
            let ([q, k, v], terms) = (parts(&inputs[0]), &inputs[1]);
            let term = |head: usize, at: usize, key: usize| terms[head * (2 * seq - 1) + key + seq - 1 - at];
            attention_of(
                heads,
                [seq; 2],
                (&q, &k, &v),
                &|sequence, _, key| key < lengths[sequence],
                &term,
            )
        },
    );
    let (queries, keys, lengths) = (3, 6, [6, 4]);
    let (query, side) = (heads.query * heads.width, heads.key_value * heads.width);
    hold(
        "attention to a source",
        &[[2 * queries, query], [2 * keys, 2 * side]],
        |inputs| {
            let [q, kv] = inputs.try_into().unwrap();
            let scoring = Scoring {
                causal: None,
                lengths: Some(&lengths),
                ..Scoring::causal(heads, 0)
            };
            source_attention(q, kv, 2, heads, &scoring, None)
        },
        &|inputs| {
            let k = columns(&inputs[1], 2 * side, 0, side);
            let v = columns(&inputs[1], 2 * side, side, side);
            let sees = |sequence: usize, _: usize, key: usize| key < lengths[sequence];
            attention_of(heads, [queries, keys], (&inputs[0], &k, &v), &sees, &|_, _, _| 0.0)
        },
    );
}

#[test]
fn second_halves_of_blocks() {
    let (rows, width, mlp_width) = (6, 5, 9);
    let vector = [1, width];
    hold(
        "mlp",
        &[
            [rows, width],
            vector,
            vector,
            [width, mlp_width],
            [1, mlp_width],
            [mlp_width, width],
            vector,
        ],
        |inputs| {
            let mut inputs = inputs.into_iter();
            let x = inputs.next().unwrap();
            let norm = norm_of(&mut inputs, LAYER);
            let inner = products_of(&mut inputs, 1, true, Orientation::InputOutput);
            let outer = products_of(&mut inputs, 1, true, Orientation::InputOutput);
            mlp(x, Some(&norm), &inner, Activation::GeluNew, &outer, None)
        },
        &|inputs| {
            let [x, norm, shift, inner, bias, outer, outer_bias] = inputs else {
                unreachable!("seven inputs")
            };
            let inside = product(&layer_norm_of(x, norm, shift), inner, width);
            let gelu = |x: f64| {
                let root = (2.0 / std::f64::consts::PI).sqrt();
                0.5 * x * (1.0 + (root * (x + 0.044_715 * x.powi(3))).tanh())
            };
            let active: Vec<f64> = inside
                .iter()
                .enumerate()
                .map(|(i, x)| gelu(x + bias[i % mlp_width]))
                .collect();
            let out = product(&active, outer, mlp_width);
            out.iter()
                .enumerate()
                .map(|(i, y)| x[i] + y + outer_bias[i % width])
                .collect()
        },
    );
    hold(
        "gated mlp",
        &[
            [rows, width],
            vector,
            [mlp_width, width],
            [mlp_width, width],
            [width, mlp_width],
        ],
        |inputs| {
            let mut inputs = inputs.into_iter();
            let x = inputs.next().unwrap();
            let norm = norm_of(&mut inputs, RMS);
            let inner = products_of(&mut inputs, 2, false, Orientation::OutputInput);
            let outer = products_of(&mut inputs, 1, false, Orientation::OutputInput);
            mlp(x, Some(&norm), &inner, Activation::Silu, &outer, None)
        },
        &|inputs| {
            let [x, norm, gate, up, down] = inputs else {
                unreachable!("five inputs")
            };
            let normal = rms_norm_of(x, norm);
            let [gate, up] = [gate, up].map(|weight| product(&normal, &turned(weight, width), width));
            let active: Vec<f64> = gate
                .iter()
                .zip(&up)
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect();
            let out = product(&active, &turned(down, mlp_width), mlp_width);
            x.iter().zip(out).map(|(x, y)| x + y).collect()
        },
    );
}

/// A recurrent layer by its units' equations, as PyTorch's documentation of `nn.LSTM` and `nn.GRU` has them.
fn recurrence_of(cell: Cell, seq: usize, [projected, weight, bias]: [&[f64]; 3], width: usize) -> Vec<f64> {
    let columns = cell.gates() * width;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut out = Vec::new();
    for sequence in projected.chunks(seq * columns) {
        let (mut hidden, mut memory) = (vec![0.0; width], vec![0.0; width]);
        for inputs in sequence.chunks(columns) {
            let through: Vec<f64> = weight
                .chunks(width)
                .zip(bias)
                .map(|(row, bias)| row.iter().zip(&hidden).map(|(w, h)| w * h).sum::<f64>() + bias)
                .collect();
            for unit in 0..width {
                let parts = |gate: usize| (inputs[gate * width + unit], through[gate * width + unit]);
                let sum = |gate: usize| parts(gate).0 + parts(gate).1;
                hidden[unit] = match cell {
                    Cell::Lstm => {
                        memory[unit] = sigmoid(sum(1)) * memory[unit] + sigmoid(sum(0)) * sum(2).tanh();
                        sigmoid(sum(3)) * memory[unit].tanh()
                    }
                    Cell::Gru => {
                        let ((given, recurrent), update) = (parts(2), sigmoid(sum(1)));
                        let new = (given + sigmoid(sum(0)) * recurrent).tanh();
                        (1.0 - update) * new + update * hidden[unit]
                    }
                };
            }
            out.extend(&hidden);
        }
    }
    out
}

#[test]
fn recurrent_layers() {
    let (batch, seq, width) = (3, 5, 4);
    for cell in [Cell::Lstm, Cell::Gru] {
        let columns = cell.gates() * width;
        hold(
            "recurrent layer",
            &[[batch * seq, columns], [columns, width], [1, columns]],
            |inputs| {
                let [projected, weight, bias] = inputs.try_into().unwrap();
                recurrence(projected, weight, bias, cell, seq)
            },
            &|inputs| recurrence_of(cell, seq, [&inputs[0], &inputs[1], &inputs[2]], width),
        );
    }
}
