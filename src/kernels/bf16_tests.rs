//! Whole operations in bf16 against the composed ones, whose products take factors rounded alike, and on
//! any number of threads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use half::bf16;
use rand::Rng;

use super::cross_entropy::composed as composed_cross_entropy;
use super::tests::{cpu, floats};
use super::*;
use crate::kernels::activation::composed_activation;
use crate::seed::Seed;

/// A leaf with values that are a function of its name.
fn leaf(name: &str, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let mut rng = Seed::root(11).child(name).rng();
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|_| rng.random_range(-1.0f32..1.0))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device).require_grad()
}

/// The nearest bf16 numbers; gradients pass through.
fn rounded(x: Tensor<2>) -> Tensor<2> {
    let (plain, shape) = (x.clone().detach(), x.dims());
    let device = x.device();
    let values = floats(plain.clone())
        .into_iter()
        .map(|value| bf16::from_f32(value).to_f32())
        .collect::<Vec<_>>();
    let near = Tensor::<2>::from_data(TensorData::new(values, shape), &device);
    x.add(near.sub(plain))
}

/// The value and the gradients of all leaves, in a precision.
fn results<const N: usize>(
    what: &str,
    shapes: [[usize; 2]; N],
    precision: Precision,
    form: &dyn Fn([Tensor<2>; N]) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let device = cpu();
    let leaves: [Tensor<2>; N] = std::array::from_fn(|index| leaf(&format!("{what}{index}"), shapes[index], &device));
    let entered = precision.enter();
    let out = form(leaves.clone());
    drop(entered);
    let weights = match out.dims() {
        [1, 1] => out.clone().detach().ones_like(), // a loss: its way back is made going forward
        dims => leaf("weights", dims, &device).detach(),
    };
    let mut all = vec![floats(out.clone())];
    let mut gradients = out.mul(weights).sum().backward();
    all.extend(leaves.map(|leaf| floats(leaf.grad_remove(&mut gradients).unwrap())));
    all
}

/// The largest and the mean difference, by the largest value.
fn apart(one: &[f32], other: &[f32]) -> (f32, f32) {
    assert_eq!(one.len(), other.len());
    let largest = other.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
    let differences = || one.iter().zip(other).map(|(one, other)| (one - other).abs() / largest);
    let most = differences().fold(0.0, f32::max);
    (most, differences().sum::<f32>() / one.len() as f32)
}

/// Holds both forms together in bf16: sums are in another order, so that a number that is rounded later
/// may fall to the other side once in a while. Results in f32 are much further off.
fn compare<const N: usize>(
    what: &str,
    shapes: [[usize; 2]; N],
    form: impl Fn([Tensor<2>; N]) -> Tensor<2> + Sync,
    composed: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) {
    let fused = results(what, shapes, Precision::Bf16, &form);
    let expected = results(what, shapes, Precision::Bf16, &composed);
    let exact = results(what, shapes, Precision::F32, &composed);
    for (index, (fused, expected)) in fused.iter().zip(&expected).enumerate() {
        let (most, mean) = apart(fused, expected);
        assert!(most < 4e-3 && mean < 1e-4, "{what}, {index}: {most} and {mean} off");
    }
    let rounding = fused.iter().zip(&exact).map(|(fused, exact)| apart(fused, exact).1);
    let rounding = rounding.fold(0.0, f32::max);
    assert!(rounding > 1e-4, "{what} is rounded: {rounding}");
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| results(what, shapes, Precision::Bf16, &form));
        assert!(again == fused, "{what} on {threads} threads");
    }
}

const LAYER: NormKind = NormKind::Layer {
    epsilon: 1e-5,
    biased: true,
};
const RMS: NormKind = NormKind::Rms { epsilon: 1e-6 };

type MlpForm = fn(Tensor<2>, Option<&RowNorm>, &Products, Activation, &Products, Option<Dropout>) -> Tensor<2>;

/// [`mlp`] composed; what goes into the activation is rounded, as it is kept.
fn composed_mlp(
    x: Tensor<2>,
    norm: Option<&RowNorm>,
    inner: &Products,
    activation: Activation,
    outer: &Products,
    drop: Option<Dropout>,
) -> Tensor<2> {
    let normal = norm.map_or_else(|| x.clone(), |norm| norm.apply(x.clone()));
    let inside = inner.apply(normal);
    let inside = match Precision::now() {
        Precision::F32 => inside,
        Precision::Bf16 => rounded(inside),
    };
    let active = composed_activation(inside, activation, inner.weights.len() == 2);
    x.add(dropout(outer.apply(active), drop))
}

#[test]
fn second_halves_of_blocks() {
    for rows in [1, 70, 131] {
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            let run = |form: MlpForm, [x, weight, bias, first, before, second, after]: [Tensor<2>; 7]| {
                let norm = RowNorm {
                    kind: LAYER,
                    weight,
                    bias: Some(bias),
                };
                let products = |weight, bias| Products {
                    weights: vec![weight],
                    biases: vec![bias],
                    orientation: Orientation::InputOutput,
                    pairs: Vec::new(),
                };
                let (inner, outer) = (products(first, before), products(second, after));
                form(x, Some(&norm), &inner, Activation::GeluNew, &outer, drop)
            };
            let shapes = [[rows, 41], [1, 41], [1, 41], [41, 77], [1, 77], [77, 41], [1, 41]];
            compare(
                "mlp",
                shapes,
                |inputs| run(mlp, inputs),
                |inputs| run(composed_mlp, inputs),
            );
            let run = |form: MlpForm, [x, weight, gate, up, down]: [Tensor<2>; 5]| {
                let norm = RowNorm {
                    kind: RMS,
                    weight,
                    bias: None,
                };
                let products = |weights| Products {
                    weights,
                    biases: Vec::new(),
                    orientation: Orientation::OutputInput,
                    pairs: Vec::new(),
                };
                let (inner, outer) = (products(vec![gate, up]), products(vec![down]));
                form(x, Some(&norm), &inner, Activation::Silu, &outer, drop)
            };
            let shapes = [[rows, 40], [1, 40], [33, 40], [33, 40], [40, 33]];
            compare(
                "gated mlp",
                shapes,
                |inputs| run(mlp, inputs),
                |inputs| run(composed_mlp, inputs),
            );
            let run = |form: MlpForm, [x, first, second]: [Tensor<2>; 3]| {
                let products = |weight| Products {
                    weights: vec![weight],
                    biases: Vec::new(),
                    orientation: Orientation::OutputInput,
                    pairs: Vec::new(),
                };
                form(x, None, &products(first), Activation::Relu, &products(second), drop)
            };
            let shapes = [[rows, 20], [33, 20], [20, 33]];
            compare(
                "mlp without norm",
                shapes,
                |inputs| run(mlp, inputs),
                |inputs| run(composed_mlp, inputs),
            );
        }
    }
}

#[test]
fn pairs_beside_weights() {
    let (rank, scale) = (3, 0.5);
    let run = |form: MlpForm, [x, down, up, down_out, up_out]: [Tensor<2>; 5]| {
        let products = |name, shape, down, up| Products {
            weights: vec![leaf(name, shape, &x.device()).detach()],
            biases: Vec::new(),
            orientation: Orientation::OutputInput,
            pairs: vec![Some(LowRank { down, up, scale })],
        };
        let inner = products("held in", [77, 41], down, up);
        let outer = products("held out", [41, 77], down_out, up_out);
        form(x.clone(), None, &inner, Activation::GeluNew, &outer, None)
    };
    let shapes = [[131, 41], [rank, 41], [77, rank], [rank, 77], [41, rank]];
    compare(
        "pairs",
        shapes,
        |inputs| run(mlp, inputs),
        |inputs| run(composed_mlp, inputs),
    );
}

type AttentionForm =
    fn(Tensor<2>, Option<&RowNorm>, &Products, &Attending<'_>, &Products, Option<Dropout>) -> Tensor<2>;

#[test]
fn first_halves_of_blocks() {
    let heads = Heads {
        query: 4,
        key_value: 2,
        width: 10,
    };
    let (inside, keys) = (40, 20);
    for seq in [1usize, 9, 70] {
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            let run = |form: AttentionForm, [x, weight, bias, first, before, second, after]: [Tensor<2>; 7]| {
                let norm = RowNorm {
                    kind: LAYER,
                    weight,
                    bias: Some(bias),
                };
                let products = |weight, bias| Products {
                    weights: vec![weight],
                    biases: vec![bias],
                    orientation: Orientation::InputOutput,
                    pairs: Vec::new(),
                };
                let lengths = [seq, seq.div_ceil(2)];
                let scoring = Scoring {
                    scale: 0.3,
                    bias: None,
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
                let (inner, outer) = (products(first, before), products(second, after));
                form(x, Some(&norm), &inner, &attending, &outer, drop)
            };
            let packed = heads.packed();
            let shapes = [
                [2 * seq, 36],
                [1, 36],
                [1, 36],
                [36, packed],
                [1, packed],
                [inside, 36],
                [1, 36],
            ];
            let composed = |inputs| run(halves::composed_self_attention, inputs);
            compare(
                "padded attention",
                shapes,
                |inputs| run(self_attention, inputs),
                composed,
            );
            let run = |form: AttentionForm, [x, weight, query, key, value, out]: [Tensor<2>; 6]| {
                let norm = RowNorm {
                    kind: RMS,
                    weight,
                    bias: None,
                };
                let products = |weights| Products {
                    weights,
                    biases: Vec::new(),
                    orientation: Orientation::OutputInput,
                    pairs: Vec::new(),
                };
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
                let (inner, outer) = (products(vec![query, key, value]), products(vec![out]));
                form(x, Some(&norm), &inner, &attending, &outer, drop)
            };
            let shapes = [
                [2 * seq, 36],
                [1, 36],
                [inside, 36],
                [keys, 36],
                [keys, 36],
                [36, inside],
            ];
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
fn recurrent_layers() {
    for cell in [Cell::Lstm, Cell::Gru] {
        // the last is so wide that one sequence is divided among threads
        for (batch, seq, width) in [(3, 5, 17), (37, 3, 40), (1, 2, 310)] {
            let gates = cell.gates() * width;
            let scale = 4.0 / (width as f32).sqrt();
            compare(
                "recurrent layer",
                [[batch * seq, gates], [gates, width], [1, gates]],
                |[x, w, b]| recurrence(x, w.mul_scalar(scale), b, cell, seq),
                |[x, w, b]| recurrence::composed(x, w.mul_scalar(scale), b, cell, seq),
            );
        }
    }
}

#[test]
fn the_loss_of_an_output_layer() {
    for (rows, vocab) in [(1, 5), (70, 33), (300, 4100)] {
        let targets = |device: &Device| {
            let targets = (0..rows).map(|row| i64::try_from((row * 7 + 3) % (vocab + 1)).unwrap() - 1);
            Tensor::<1, Int>::from_data(TensorData::from(targets.collect::<Vec<_>>().as_slice()), device)
        };
        compare(
            "loss",
            [[rows, 39], [vocab, 39]],
            |[x, table]| linear_cross_entropy(x.clone(), table, targets(&x.device()), 0.0).unsqueeze(),
            |[x, table]| {
                let logits = linear(x.clone(), table, None, Orientation::OutputInput);
                composed_cross_entropy(logits, targets(&x.device())).unsqueeze()
            },
        );
    }
}
