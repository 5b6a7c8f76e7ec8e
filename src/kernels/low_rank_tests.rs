//! Products and halves of blocks with pairs beside their weights, against the same with weights that the
//! pairs were added to: values, and the gradients of all inputs.

use burn::tensor::{Int, Tensor, TensorData};

use super::tests::{compare, cpu, floats, leaf};
use super::*;
use crate::seed::Seed;

const SCALE: f32 = 0.75;
const RANK: usize = 3;

/// A weight with what its pair adds to it.
fn merged(weight: Tensor<2>, pair: &LowRank, orientation: Orientation) -> Tensor<2> {
    let added = pair.up.clone().matmul(pair.down.clone()).mul_scalar(pair.scale);
    weight.add(match orientation {
        Orientation::OutputInput => added,
        Orientation::InputOutput => added.transpose(),
    })
}

/// Products as they are, or with their pairs added to their weights.
fn form(products: Products, fused: bool) -> Products {
    if fused {
        return products;
    }
    let Products {
        weights,
        biases,
        orientation,
        pairs,
    } = products;
    let weights = weights.into_iter().zip(pairs).map(|(weight, pair)| match pair {
        Some(pair) => merged(weight, &pair, orientation),
        None => weight,
    });
    Products {
        weights: weights.collect(),
        biases,
        orientation,
        pairs: Vec::new(),
    }
}

/// Products of which those that are `adapted` have a pair, out of an operation's inputs.
fn products<const N: usize>(
    inputs: &mut impl Iterator<Item = Tensor<2>>,
    adapted: [bool; N],
    biased: bool,
    orientation: Orientation,
) -> Products {
    let weights = inputs.take(N).collect();
    let biases = inputs.take(if biased { N } else { 0 }).collect();
    let mut pair = || LowRank {
        down: inputs.next().unwrap(),
        up: inputs.next().unwrap(),
        scale: SCALE,
    };
    Products {
        weights,
        biases,
        orientation,
        pairs: adapted.map(|adapted| adapted.then(&mut pair)).into(),
    }
}

#[test]
fn products_with_pairs() {
    for orientation in [Orientation::InputOutput, Orientation::OutputInput] {
        for [rows, inputs, outputs] in [[1, 7, 5], [37, 19, 70], [300, 130, 97]] {
            let weight = match orientation {
                Orientation::InputOutput => [inputs, outputs],
                Orientation::OutputInput => [outputs, inputs],
            };
            let (down, up) = ([RANK, inputs], [outputs, RANK]);
            let pair = |down, up| LowRank { down, up, scale: SCALE };
            compare(
                "product",
                [[rows, inputs], weight, down, up],
                |[x, w, down, up]| low_rank_linear(x, w, None, orientation, &pair(down, up)),
                |[x, w, down, up]| low_rank::composed(x, w, None, orientation, &pair(down, up)),
            );
            compare(
                "product with bias",
                [[rows, inputs], weight, down, up, [1, outputs]],
                |[x, w, down, up, bias]| low_rank_linear(x, w, Some(bias), orientation, &pair(down, up)),
                |[x, w, down, up, bias]| linear(x, merged(w, &pair(down, up), orientation), Some(bias), orientation),
            );
        }
    }
}

#[test]
fn second_halves_of_blocks_with_pairs() {
    let norm = |inputs: &mut dyn Iterator<Item = Tensor<2>>| RowNorm {
        kind: NormKind::Rms { epsilon: 1e-6 },
        weight: inputs.next().unwrap(),
        bias: None,
    };
    for rows in [1, 70, 150] {
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            let gated = |fused: bool, [x, rest @ ..]: [Tensor<2>; 11]| {
                let mut rest = rest.into_iter();
                let norm = norm(&mut rest);
                let inner = products(&mut rest, [true, true], false, Orientation::OutputInput);
                let outer = products(&mut rest, [true], false, Orientation::OutputInput);
                let (inner, outer) = (form(inner, fused), form(outer, fused));
                mlp(x, Some(&norm), &inner, Activation::Silu, &outer, drop)
            };
            let (inner, outer) = ([33, 20], [20, 33]);
            let (down, up) = ([RANK, 20], [33, RANK]);
            let shapes = [
                [rows, 20],
                [1, 20],
                inner,
                inner,
                down,
                up,
                down,
                up,
                outer,
                [RANK, 33],
                [20, RANK],
            ];
            compare(
                "gated",
                shapes,
                |inputs| gated(true, inputs),
                |inputs| gated(false, inputs),
            );
            let biased = |fused: bool, [x, rest @ ..]: [Tensor<2>; 7]| {
                let mut rest = rest.into_iter();
                let inner = products(&mut rest, [true], true, Orientation::InputOutput);
                let outer = products(&mut rest, [false], true, Orientation::InputOutput);
                let (inner, outer) = (form(inner, fused), form(outer, fused));
                mlp(x, None, &inner, Activation::GeluNew, &outer, drop)
            };
            let shapes = [[rows, 20], outer, [1, 33], down, up, inner, [1, 20]];
            compare(
                "biased",
                shapes,
                |inputs| biased(true, inputs),
                |inputs| biased(false, inputs),
            );
        }
    }
}

const HEADS: Heads = Heads {
    query: 4,
    key_value: 2,
    width: 10,
};

/// The first half of a block whose queries, values and way out have pairs, with a norm, biases and terms:
/// as many inputs as there can be.
fn attended(fused: bool, seq: usize, drop: Option<Dropout>, inputs: [Tensor<2>; 18]) -> Tensor<2> {
    let [x, terms, weight, bias, rest @ ..] = inputs;
    let norm = RowNorm {
        kind: NormKind::Layer {
            epsilon: 1e-5,
            biased: true,
        },
        weight,
        bias: Some(bias),
    };
    let mut rest = rest.into_iter();
    let inner = products(&mut rest, [true, false, true], true, Orientation::OutputInput);
    let outer = products(&mut rest, [true], true, Orientation::OutputInput);
    let lengths = [seq, seq.div_ceil(2)];
    let scoring = Scoring {
        scale: 0.05,
        bias: Some(Bias::Diagonals(terms)),
        causal: None,
        lengths: Some(&lengths),
    };
    let attending = Attending {
        heads: HEADS,
        seq,
        // without, a bias of keys has no gradient but rounding's
        rotation: Some(Rotation {
            scaling: Scaling::None,
            theta: 10_000.0,
            start: 0,
        }),
        scoring: &scoring,
        dropout: drop,
    };
    let (inner, outer) = (form(inner, fused), form(outer, fused));
    self_attention(x, Some(&norm), &inner, &attending, &outer, drop)
}

fn shapes(seq: usize) -> [[usize; 2]; 18] {
    let (vector, queries, keys) = ([1, 20], [40, 20], [20, 20]);
    let down = [RANK, 20];
    [
        [2 * seq, 20],
        [4, 2 * seq - 1],
        vector,
        vector,
        queries,
        keys,
        keys,
        [1, 40],
        vector,
        vector,
        down,
        [40, RANK],
        down,
        [20, RANK],
        [20, 40],
        vector,
        [RANK, 40],
        [20, RANK],
    ]
}

#[test]
fn first_halves_of_blocks_with_pairs() {
    for seq in [3, 9, 70] {
        for drop in [None, Dropout::new(0.2, &Seed::root(8))] {
            compare(
                "attention",
                shapes(seq),
                |inputs| attended(true, seq, drop, inputs),
                |inputs| attended(false, seq, drop, inputs),
            );
        }
    }
}

/// The gradients of the pairs of [`attended`], with its other inputs held fast or not.
fn of_pairs(frozen: bool) -> Vec<Vec<f32>> {
    let device = cpu();
    let shapes = shapes(70);
    let learned = [10, 11, 12, 13, 16, 17];
    let leaves: [Tensor<2>; 18] = std::array::from_fn(|index| {
        let leaf = leaf(&format!("pairs{index}"), shapes[index], &device);
        let held = frozen && !learned.contains(&index);
        if held { leaf.set_require_grad(false) } else { leaf }
    });
    let out = attended(true, 70, None, leaves.clone());
    let weights = leaf("weights", out.dims(), &device).detach();
    let mut gradients = out.mul(weights).sum().backward();
    for (index, leaf) in leaves.iter().enumerate() {
        let there = !frozen || learned.contains(&index);
        assert_eq!(leaf.grad(&gradients).is_some(), there, "input {index}");
    }
    learned
        .map(|index| floats(leaves[index].grad_remove(&mut gradients).unwrap()))
        .into()
}

#[test]
fn weights_that_are_held_fast_get_no_gradient_and_change_no_bit_of_the_others() {
    assert!(of_pairs(true) == of_pairs(false));
}

#[test]
fn pairs_do_not_depend_on_threads() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| of_pairs(true))
    };
    for threads in [2, 4] {
        assert!(on(1) == on(threads), "{threads} threads");
    }
}

#[test]
fn a_table_that_is_held_fast_gets_no_gradient_from_the_loss() {
    let device = cpu();
    let (hidden, table) = (leaf("hidden", [70, 12], &device), leaf("table", [33, 12], &device));
    let targets: Vec<i64> = (0..70).map(|row| row % 34 - 1).collect();
    let gradient = |table: Tensor<2>| {
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets.clone(), [70]), &device);
        let loss = linear_cross_entropy(hidden.clone(), table.clone(), targets, 0.1);
        let mut gradients = loss.clone().backward();
        let of_table = table.grad_remove(&mut gradients).is_some();
        (
            floats(loss),
            floats(hidden.grad_remove(&mut gradients).unwrap()),
            of_table,
        )
    };
    let (loss, of_hidden, of_table) = gradient(table.clone());
    assert!(of_table);
    assert!(gradient(table.set_require_grad(false)) == (loss, of_hidden, false));
}
