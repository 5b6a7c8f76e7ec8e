//! Fused operations against the composed ones: values and gradients, also at sizes that no block or
//! lane divides.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::Rng;

use super::cross_entropy::composed as composed_cross_entropy;
use super::linear::composed as composed_linear;
use super::norm::{composed_layer_norm, composed_rms_norm};
use super::*;
use crate::device::DeviceSpec;
use crate::seed::Seed;

pub(super) fn cpu() -> Device {
    DeviceSpec::CPU.open().unwrap().autodiff()
}

/// A leaf with values that are a function of its name.
pub(super) fn leaf(name: &str, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let mut rng = Seed::root(11).child(name).rng();
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|_| rng.random_range(-1.5f32..1.5))
        .collect();
    let leaf = Tensor::from_data(TensorData::new(values, shape), device);
    if device.is_autodiff() {
        leaf.require_grad()
    } else {
        leaf
    }
}

pub(super) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

fn hold_together(what: &str, fused: &[f32], composed: &[f32]) {
    assert_eq!(fused.len(), composed.len(), "{what}");
    let largest = composed.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
    for (index, (fused, composed)) in fused.iter().zip(composed).enumerate() {
        let difference = (fused - composed).abs();
        assert!(
            difference <= 1e-5 * largest,
            "{what}[{index}]: fused {fused}, composed {composed}"
        );
    }
}

/// Runs both forms on the same leaves and holds values and all gradients together. The result is
/// weighed by fixed numbers, so that every element has a gradient of its own.
pub(super) fn compare<const N: usize>(
    what: &str,
    shapes: [[usize; 2]; N],
    form: impl Fn([Tensor<2>; N]) -> Tensor<2>,
    composed: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) {
    let device = cpu();
    let run = |form: &dyn Fn([Tensor<2>; N]) -> Tensor<2>| {
        let leaves: [Tensor<2>; N] =
            std::array::from_fn(|index| leaf(&format!("{what}{index}"), shapes[index], &device));
        let out = form(leaves.clone());
        let weights = leaf("weights", out.dims(), &device).detach();
        let value = floats(out.clone());
        let mut gradients = out.mul(weights).sum().backward();
        let gradients = leaves.map(|leaf| floats(leaf.grad_remove(&mut gradients).unwrap()));
        (value, gradients)
    };
    let (value, composed) = (run(&form), run(&composed));
    hold_together(what, &value.0, &composed.0);
    for (index, (fused, composed)) in value.1.iter().zip(&composed.1).enumerate() {
        hold_together(&format!("{what}: gradient {index}"), fused, composed);
    }
    let plain = device.without_autodiff();
    let untracked = form(std::array::from_fn(|index| {
        leaf(&format!("{what}{index}"), shapes[index], &plain)
    }));
    assert_eq!(floats(untracked), value.0, "{what}: the same bits without autodiff");
}

#[test]
fn products() {
    for orientation in [Orientation::InputOutput, Orientation::OutputInput] {
        // from 1,024 on: rows that lie in the same places of a cache
        for [rows, inputs, outputs] in [
            [1, 7, 5],
            [37, 19, 70],
            [300, 130, 97],
            [130, 1024, 70],
            [600, 512, 230],
            [600, 230, 512],
        ] {
            let weight = match orientation {
                Orientation::InputOutput => [inputs, outputs],
                Orientation::OutputInput => [outputs, inputs],
            };
            compare(
                "linear",
                [[rows, inputs], weight],
                |[x, w]| linear(x, w, None, orientation),
                |[x, w]| composed_linear(x, w, None, orientation),
            );
            compare(
                "linear with bias",
                [[rows, inputs], weight, [1, outputs]],
                |[x, w, b]| linear(x, w, Some(b), orientation),
                |[x, w, b]| composed_linear(x, w, Some(b), orientation),
            );
        }
    }
}

#[test]
fn joined_products_are_the_products_side_by_side() {
    for rows in [3, 50] {
        compare(
            "joined",
            [[rows, 20], [9, 20], [4, 20]],
            |[x, v, w]| joined_linear(x, [v, w]),
            |[x, v, w]| {
                let parts = [v, w].map(|w| composed_linear(x.clone(), w, None, Orientation::OutputInput));
                Tensor::cat(parts.into(), 1)
            },
        );
    }
}

#[test]
fn activations() {
    for rows in [1, 45] {
        compare("gelu", [[rows, 501]], |[x]| gelu(x), |[x]| activation::composed_gelu(x));
        compare(
            "swiglu",
            [[rows, 74]],
            |[x]| swiglu(x),
            |[x]| activation::composed_swiglu(x),
        );
    }
}

#[test]
fn norms() {
    for shape in [[1, 5], [100, 48], [33, 129]] {
        let vector = [1, shape[1]];
        compare(
            "layer norm",
            [shape, vector, vector],
            |[x, w, b]| layer_norm(x, w, b, 1e-5),
            |[x, w, b]| composed_layer_norm(x, w, b, 1e-5),
        );
        compare(
            "rms norm",
            [shape, vector],
            |[x, w]| rms_norm(x, w, 1e-6),
            |[x, w]| composed_rms_norm(x, w, 1e-6),
        );
    }
}

const HEADS: [Heads; 2] = [
    Heads {
        query: 3,
        key_value: 3,
        width: 10,
    },
    Heads {
        query: 6,
        key_value: 2,
        width: 8,
    },
];

#[test]
fn rotary_positions() {
    for heads in HEADS {
        let rotation = Rotation {
            scaling: Scaling::None,
            theta: 10_000.0,
            start: 3,
        };
        compare(
            "rotary",
            [[2 * 9, heads.packed()]],
            |[x]| rotary(x, heads, 9, rotation),
            |[x]| rotary::composed(x, heads, 9, rotation),
        );
    }
}

#[test]
fn causal_attention() {
    for heads in HEADS {
        for seq in [1, 9, 64, 150] {
            for dropout in [None, Dropout::new(0.25, &Seed::root(5))] {
                compare(
                    "attention",
                    [[2 * seq, heads.packed()]],
                    |[x]| attention(x, heads, seq, dropout),
                    |[x]| attention::composed(x, heads, seq, &Scoring::causal(heads, 0), dropout),
                );
            }
        }
    }
}

#[test]
fn dropout_zeroes_its_share_and_keeps_the_mean() {
    let device = cpu();
    let rate = Dropout::new(0.3, &Seed::root(1));
    let ones = floats(dropout(Tensor::ones([400, 250], &device), rate));
    let zeros = ones.iter().filter(|x| **x == 0.0).count() as f64 / ones.len() as f64;
    assert!((zeros - 0.3).abs() < 5e-3, "{zeros}");
    let mean = ones.iter().map(|x| f64::from(*x)).sum::<f64>() / ones.len() as f64;
    assert!((mean - 1.0).abs() < 8e-3, "{mean}");
    compare(
        "dropout",
        [[30, 11]],
        |[x]| dropout(x, rate),
        |[x]| {
            let mask = rate.unwrap().mask(x.dims(), &x.device());
            x.mul(mask)
        },
    );
}

#[test]
fn lookups() {
    let device = cpu();
    let tokens = || Tensor::<1, Int>::from_data(TensorData::from([3i64, 0, 3, 6, 1, 3]), &device);
    compare(
        "embedding",
        [[7, 5]],
        |[t]| embedding(tokens(), t),
        |[t]| t.select(0, tokens()),
    );
}

#[test]
fn the_loss_of_a_language_model() {
    let device = cpu();
    // more logits than are there at once, rows of them that are kept apart, and targets that are ignored
    for [rows, vocab] in [[5, 7], [70, 33], [3, 512], [300, 4096], [300, 9001]] {
        let mut rng = Seed::root(2).rng();
        let targets: Vec<i64> = (0..rows).map(|_| rng.random_range(-1..vocab as i64)).collect();
        let targets = || Tensor::<1, Int>::from_data(TensorData::new(targets.clone(), [rows]), &device);
        compare(
            "loss",
            [[rows, 12], [vocab, 12]],
            |[h, t]| linear_cross_entropy(h, t, targets(), 0.0).unsqueeze(),
            |[h, t]| {
                let logits = composed_linear(h, t, None, Orientation::OutputInput);
                composed_cross_entropy(logits, targets()).unsqueeze()
            },
        );
    }
}

#[test]
fn recurrent_layers() {
    for cell in [Cell::Lstm, Cell::Gru] {
        for (batch, seq, width) in [(1, 1, 3), (3, 1, 5), (2, 7, 5), (3, 20, 17), (61, 3, 33), (1, 2, 310)] {
            let gates = cell.gates() * width;
            compare(
                "recurrence",
                [[batch * seq, gates], [gates, width], [1, gates]],
                |[x, w, b]| recurrence(x, w, b, cell, seq),
                |[x, w, b]| recurrence::composed(x, w, b, cell, seq),
            );
        }
    }
}

/// The norm of a half, out of the operation's inputs.
pub(super) fn norm_of(inputs: &mut impl Iterator<Item = Tensor<2>>, kind: NormKind) -> RowNorm {
    RowNorm {
        kind,
        weight: inputs.next().unwrap(),
        bias: matches!(kind, NormKind::Layer { biased: true, .. }).then(|| inputs.next().unwrap()),
    }
}

/// Products of a half, out of the operation's inputs.
pub(super) fn products_of(
    inputs: &mut impl Iterator<Item = Tensor<2>>,
    parts: usize,
    biased: bool,
    orientation: Orientation,
) -> Products {
    Products {
        weights: inputs.take(parts).collect(),
        biases: inputs.take(if biased { parts } else { 0 }).collect(),
        orientation,
        pairs: Vec::new(),
    }
}

pub(super) const LAYER: NormKind = NormKind::Layer {
    epsilon: 1e-5,
    biased: true,
};
pub(super) const RMS_EPSILON: f32 = 1e-6;
pub(super) const RMS: NormKind = NormKind::Rms { epsilon: RMS_EPSILON };

type MlpForm = fn(Tensor<2>, Option<&RowNorm>, &Products, Activation, &Products, Option<Dropout>) -> Tensor<2>;

#[test]
fn second_halves_of_blocks() {
    let (in_out, out_in) = (Orientation::InputOutput, Orientation::OutputInput);
    for rows in [1, 70, 150] {
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            for activation in [Activation::GeluNew, Activation::Gelu, Activation::Relu] {
                let run = |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 7]| {
                    let mut rest = rest.into_iter();
                    let norm = norm_of(&mut rest, LAYER);
                    let inner = products_of(&mut rest, 1, true, in_out);
                    let outer = products_of(&mut rest, 1, true, in_out);
                    form(x, Some(&norm), &inner, activation, &outer, drop)
                };
                let shapes = [[rows, 20], [1, 20], [1, 20], [20, 37], [1, 37], [37, 20], [1, 20]];
                let composed = |inputs| run(halves::composed_mlp, inputs);
                compare("mlp", shapes, |inputs| run(mlp, inputs), composed);
            }
            let run = |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 5]| {
                let mut rest = rest.into_iter();
                let norm = norm_of(&mut rest, RMS);
                let inner = products_of(&mut rest, 2, false, out_in);
                let outer = products_of(&mut rest, 1, false, out_in);
                form(x, Some(&norm), &inner, Activation::Silu, &outer, drop)
            };
            let shapes = [[rows, 20], [1, 20], [33, 20], [33, 20], [20, 33]];
            let composed = |inputs| run(halves::composed_mlp, inputs);
            compare("gated mlp", shapes, |inputs| run(mlp, inputs), composed);
            let run = |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 3]| {
                let mut rest = rest.into_iter();
                let inner = products_of(&mut rest, 1, false, out_in);
                let outer = products_of(&mut rest, 1, false, out_in);
                form(x, None, &inner, Activation::Relu, &outer, drop)
            };
            let shapes = [[rows, 20], [33, 20], [20, 33]];
            let composed = |inputs| run(halves::composed_mlp, inputs);
            compare("mlp without norm", shapes, |inputs| run(mlp, inputs), composed);
        }
    }
}

type AttentionForm =
    fn(Tensor<2>, Option<&RowNorm>, &Products, &Attending<'_>, &Products, Option<Dropout>) -> Tensor<2>;

#[test]
fn first_halves_of_blocks() {
    for (heads, seq) in HEADS
        .into_iter()
        .flat_map(|heads| [3usize, 9, 70].map(|seq| (heads, seq)))
    {
        let (rows, packed, inside) = (2 * seq, heads.packed(), heads.query * heads.width);
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            let lengths = [seq, seq.div_ceil(2)];
            let run = |form: AttentionForm, [x, terms, rest @ ..]: [Tensor<2>; 8]| {
                let mut rest = rest.into_iter();
                let norm = norm_of(&mut rest, LAYER);
                let inner = products_of(&mut rest, 1, true, Orientation::InputOutput);
                let outer = products_of(&mut rest, 1, true, Orientation::InputOutput);
                let scoring = Scoring {
                    scale: 0.7,
                    bias: Some(Bias::Diagonals(terms)),
                    causal: None,
                    lengths: Some(&lengths),
                };
                let attending = Attending {
                    heads,
                    seq,
                    rotation: None,
                    scoring: &scoring,
                    dropout: drop,
                };
                form(x, Some(&norm), &inner, &attending, &outer, drop)
            };
            let terms = [heads.query, 2 * seq - 1];
            let (inner, outer) = ([20, packed], [inside, 20]);
            let shapes = [[rows, 20], terms, [1, 20], [1, 20], inner, [1, packed], outer, [1, 20]];
            let composed = |inputs| run(halves::composed_self_attention, inputs);
            compare(
                "padded attention",
                shapes,
                |inputs| run(self_attention, inputs),
                composed,
            );
            let run = |form: AttentionForm, [x, rest @ ..]: [Tensor<2>; 6]| {
                let mut rest = rest.into_iter();
                let norm = norm_of(&mut rest, RMS);
                let inner = products_of(&mut rest, 3, false, Orientation::OutputInput);
                let outer = products_of(&mut rest, 1, false, Orientation::OutputInput);
                let attending = Attending {
                    heads,
                    seq,
                    rotation: Some(Rotation {
                        scaling: Scaling::None,
                        theta: 10_000.0,
                        start: 0,
                    }),
                    scoring: &Scoring::causal(heads, 0),
                    dropout: None,
                };
                form(x, Some(&norm), &inner, &attending, &outer, drop)
            };
            let keys = heads.key_value * heads.width;
            let shapes = [[rows, 20], [1, 20], [inside, 20], [keys, 20], [keys, 20], [20, inside]];
            let composed = |inputs| run(halves::composed_self_attention, inputs);
            compare(
                "rotary attention",
                shapes,
                |inputs| run(self_attention, inputs),
                composed,
            );
        }
    }
}

#[test]
fn attention_to_a_source_and_with_terms_by_key() {
    for heads in HEADS {
        let (queries, keys) = (heads.query * heads.width, 2 * heads.key_value * heads.width);
        for drop in [None, Dropout::new(0.25, &Seed::root(5))] {
            let lengths = [70, 1, 33];
            let scoring = Scoring {
                causal: None,
                lengths: Some(&lengths),
                ..Scoring::causal(heads, 0)
            };
            compare(
                "source",
                [[3 * 40, queries], [3 * 70, keys]],
                |[q, kv]| source_attention(q, kv, 3, heads, &scoring, drop),
                |[q, kv]| attention::composed_source(q, kv, 3, heads, &scoring, drop),
            );
            let by_key = |x: &Tensor<2>| Scoring {
                bias: Some(Bias::Keys(alibi(heads, 50, &x.device()))),
                ..Scoring::causal(heads, 0)
            };
            compare(
                "alibi",
                [[2 * 50, heads.packed()]],
                |[x]| scored_attention(x.clone(), heads, 50, &by_key(&x), drop),
                |[x]| attention::composed(x.clone(), heads, 50, &by_key(&x), drop),
            );
        }
    }
}

#[test]
fn lookups_with_positions_and_a_tied_output() {
    let device = cpu();
    let tokens = || Tensor::<1, Int>::from_data(TensorData::from([3i64, 0, 3, 6, 1, 3]), &device);
    let targets = || Tensor::<1, Int>::from_data(TensorData::from([1i64, 0, -1, 6, 2, 3]), &device);
    compare(
        "positions",
        [[7, 5], [3, 5]],
        |[t, p]| embedding_at(tokens(), t, p, 0, 3),
        |[t, p]| embedding::composed_at(tokens(), t, p),
    );
    for smoothing in [0.0, 0.1] {
        compare(
            "tied",
            [[7, 5], [3, 5]],
            |[t, p]| {
                let x = embedding_at(tokens(), t.clone(), p, 0, 3);
                linear_cross_entropy(x, t, targets(), smoothing).unsqueeze()
            },
            |[t, p]| {
                let x = embedding::composed_at(tokens(), t.clone(), p);
                let logits = composed_linear(x, t, None, Orientation::OutputInput);
                smoothed_cross_entropy(logits, targets(), smoothing).unsqueeze()
            },
        );
    }
}
