//! Every fused operation against its composed form over shapes that are drawn: odd sizes, padding,
//! small and large numbers; values and gradients. The same operations give the same bits on any number
//! of threads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::Rng;

use self::exact::Matrix;
use super::tests::{cpu, floats, leaf};
use super::*;
use crate::seed::Seed;

mod exact;
mod extremes;
mod first_halves;
mod references;
mod second_halves;
mod steps;

/// What shapes are made of.
#[derive(Clone, Debug)]
struct Sizes {
    heads: Heads,
    seq: usize,
    /// Tokens of each sequence; what follows is padding.
    lengths: Vec<usize>,
    /// Tokens of each sequence of a source.
    source: Vec<usize>,
    width: usize,
    mlp: usize,
    vocabulary: usize,
    /// What numbers are multiplied by.
    scale: f32,
    dropout: bool,
    seed: u64,
}

impl Sizes {
    fn rows(&self) -> usize {
        self.lengths.len() * self.seq
    }

    fn longest(&self) -> usize {
        self.source.iter().copied().max().unwrap_or(0)
    }

    fn drop(&self) -> Option<Dropout> {
        Dropout::new(if self.dropout { 0.3 } else { 0.0 }, &Seed::root(self.seed))
    }

    /// Numbers below `below`, some of them `-1` if they may be.
    fn numbers(&self, count: usize, below: usize, ignored: bool) -> Vec<i64> {
        let mut rng = Seed::root(self.seed).child("tokens").rng();
        let lowest = if ignored { -1 } else { 0 };
        (0..count).map(|_| rng.random_range(lowest..below as i64)).collect()
    }

    fn tokens(&self, count: usize, below: usize, ignored: bool, device: &Device) -> Tensor<1, Int> {
        let tokens = self.numbers(count, below, ignored);
        Tensor::from_data(TensorData::new(tokens, [count]), device)
    }
}

type Form = Box<dyn Fn(Vec<Tensor<2>>) -> Tensor<2> + Sync>;
/// The result and the gradients of all inputs, for inputs and the gradient of the result.
type Exact = Box<dyn Fn(&[Matrix], &Matrix) -> Vec<Matrix> + Sync>;

/// An operation, both ways.
struct Case {
    what: &'static str,
    shapes: Vec<[usize; 2]>,
    /// What both are held to, in the place of one to the other: exponentials make much of small errors.
    exact: Option<Exact>,
    /// What its inputs are multiplied by at most: a recurrence of large weights is chaos.
    most: f32,
    /// Of what it gives out, where it is held to what it should be.
    out: [usize; 2],
    /// Whether it begins with a norm.
    normed: bool,
    fused: Form,
    composed: Form,
}

impl Case {
    /// Held to what it should be.
    fn beside(self, out: [usize; 2], exact: impl Fn(&[Matrix], &Matrix) -> Vec<Matrix> + Sync + 'static) -> Self {
        Self {
            out,
            exact: Some(Box::new(exact)),
            ..self
        }
    }
}

/// An operation on an array of inputs as one on a list.
fn on<const N: usize>(form: impl Fn([Tensor<2>; N]) -> Tensor<2> + Sync + 'static) -> Form {
    Box::new(move |inputs| {
        let Ok(inputs) = inputs.try_into() else {
            panic!("an operation of {N} inputs")
        };
        form(inputs)
    })
}

fn case<const N: usize>(
    what: &'static str,
    shapes: [[usize; 2]; N],
    fused: impl Fn([Tensor<2>; N]) -> Tensor<2> + Sync + 'static,
    composed: impl Fn([Tensor<2>; N]) -> Tensor<2> + Sync + 'static,
) -> Case {
    Case {
        what,
        shapes: shapes.into(),
        exact: None,
        out: [0; 2],
        most: f32::MAX,
        normed: ["norm", "mlp", "self"].iter().any(|part| what.contains(part)),
        fused: on(fused),
        composed: on(composed),
    }
}

fn rotation(start: usize) -> Rotation {
    Rotation {
        scaling: Scaling::None,
        theta: 10_000.0,
        start,
    }
}

fn cases(sizes: &Sizes) -> Vec<Case> {
    let mut list = Vec::new();
    steps::simple(sizes, &mut list);
    steps::lookups(sizes, &mut list);
    second_halves::second_halves(sizes, &mut list);
    first_halves::first_halves(sizes, &mut list);
    list
}

/// What goes in.
fn leaves(case: &Case, sizes: &Sizes, device: &Device) -> Vec<Tensor<2>> {
    let leaves = case.shapes.iter().enumerate().map(|(index, shape)| {
        let leaf = leaf(&format!("{}{index}{}", case.what, sizes.seed), *shape, device);
        leaf.mul_scalar(sizes.scale.min(case.most)).detach().require_grad()
    });
    leaves.collect()
}

/// What a result is weighed by, so that each of its numbers has a gradient of its own.
fn weights(shape: [usize; 2], device: &Device) -> Tensor<2> {
    leaf("weights", shape, device).detach()
}

/// An operation's result, and the gradient of each of its inputs.
fn computed(case: &Case, form: &Form, sizes: &Sizes, device: &Device) -> Vec<Vec<f32>> {
    let leaves = leaves(case, sizes, device);
    let out = form(leaves.clone());
    let weights = weights(out.dims(), device);
    let mut all = vec![floats(out.clone())];
    let mut gradients = out.mul(weights).sum().backward();
    for leaf in leaves {
        let zeros = || leaf.clone().without_autodiff().zeros_like();
        all.push(floats(leaf.grad_remove(&mut gradients).unwrap_or_else(zeros)));
    }
    all
}

/// Holds both forms to what they should compute.
fn hold_to(exact: &Exact, case: &Case, sizes: &Sizes, forms: [&[Vec<f32>]; 2], device: &Device) {
    let matrix = |tensor: Tensor<2>| {
        let [_, columns] = tensor.dims();
        Matrix::of(&floats(tensor), columns)
    };
    let inputs: Vec<Matrix> = leaves(case, sizes, device).into_iter().map(matrix).collect();
    let expected = exact(&inputs, &matrix(weights(case.out, device)));
    for (form, made) in ["fused", "composed"].into_iter().zip(forms) {
        for (place, (expected, made)) in expected.iter().zip(made).enumerate() {
            let what = format!("{} {:?} of {}, {form}: {place}", case.what, case.shapes, sizes.scale);
            expected.hold(&what, made);
        }
    }
}

fn hold_together(sizes: &Sizes) {
    let device = cpu();
    for case in cases(sizes) {
        let fused = computed(&case, &case.fused, sizes, &device);
        let composed = computed(&case, &case.composed, sizes, &device);
        if let Some(exact) = &case.exact {
            hold_to(exact, &case, sizes, [&fused, &composed], &device);
            continue;
        }
        for (place, (fused, composed)) in fused.iter().zip(&composed).enumerate() {
            let largest = composed.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
            // what cancels out leaves the rounding of its terms: squares of inputs, and a norm's gradients,
            // which are one over the rows
            let small = if case.normed { sizes.scale.min(1.0) } else { 1.0 };
            let bound = 2e-5 * largest + 2e-6 * sizes.scale.max(1.0).powi(2) / small;
            for (index, (fused, composed)) in fused.iter().zip(composed).enumerate() {
                assert!(
                    (fused - composed).abs() <= bound,
                    "{} {:?}: {place}[{index}] fused {fused}, composed {composed}, of up to {largest}",
                    case.what,
                    case.shapes
                );
            }
        }
    }
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let heads = (1usize..4, 1usize..4, 1usize..10).prop_map(|(key_value, group, half)| Heads {
        query: key_value * group,
        key_value,
        width: 2 * half,
    });
    let tokens = (1usize..75, 1usize..4).prop_flat_map(|(seq, batch)| {
        let lengths = proptest::collection::vec(1..=seq, batch);
        (Just(seq), lengths, proptest::collection::vec(1usize..70, batch))
    });
    let widths = (3usize..40, 1usize..50, 2usize..90);
    let rest = (prop_oneof![Just(1.0), Just(0.01), Just(6.0)], any::<bool>(), 0u64..1000);
    (heads, tokens, widths, rest).prop_map(|(heads, (seq, lengths, source), widths, (scale, dropout, seed))| {
        let (width, mlp, vocabulary) = widths;
        Sizes {
            heads,
            seq,
            lengths,
            source,
            width,
            mlp,
            vocabulary,
            scale,
            dropout,
            seed,
        }
    })
}

proptest! {
    // drawn alike each time: what rounding may do to a gradient has a long tail, and a build is not a lottery
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(6), ..ProptestConfig::with_cases(24) })]
    #[test]
    fn fused_operations_are_their_composed_forms(sizes in sizes()) {
        hold_together(&sizes);
    }
}

#[test]
fn no_bit_depends_on_the_number_of_threads() {
    let sizes = Sizes {
        heads: Heads {
            query: 4,
            key_value: 2,
            width: 10,
        },
        seq: 131,
        lengths: vec![131, 40, 1],
        source: vec![77, 5, 150],
        width: 37,
        mlp: 90,
        vocabulary: 301,
        scale: 1.0,
        dropout: true,
        seed: 4,
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        pool.install(|| {
            let all = cases(&sizes).into_iter().map(|case| {
                let computed = computed(&case, &case.fused, &sizes, &cpu());
                (case.what, computed.into_iter().map(bits).collect::<Vec<_>>())
            });
            all.collect::<Vec<_>>()
        })
    };
    let alone = on(1);
    for threads in [2, 4] {
        for ((what, alone), (_, shared)) in alone.iter().zip(on(threads)) {
            assert!(*alone == shared, "{what} on {threads} threads");
        }
    }
}

/// Sequences are divided among threads, or the units of a wide layer where sequences are too few.
#[test]
fn no_bit_of_a_recurrent_layer_depends_on_the_number_of_threads() {
    for (cell, batch, width) in [(Cell::Lstm, 37, 43), (Cell::Lstm, 1, 300), (Cell::Gru, 3, 310)] {
        let (seq, columns) = (4, cell.gates() * width);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let device = cpu();
                let scale = 1.0 / (width as f32).sqrt();
                let leaves = [[batch * seq, columns], [columns, width], [1, columns]].map(|shape| {
                    let leaf = leaf("recurrent layer", shape, &device).mul_scalar(scale);
                    leaf.detach().require_grad()
                });
                let [x, w, b] = leaves.clone();
                let out = recurrence(x, w, b, cell, seq);
                let weights = leaf("weights", out.dims(), &device).detach();
                let mut gradients = out.clone().mul(weights).sum().backward();
                let mut all = vec![floats(out)];
                all.extend(leaves.map(|leaf| floats(leaf.grad_remove(&mut gradients).unwrap())));
                let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
                all.into_iter().map(bits).collect::<Vec<_>>()
            })
        };
        let alone = on(1);
        for threads in [2, 4] {
            assert!(on(threads) == alone, "{cell:?} {batch} {width} on {threads} threads");
        }
    }
}
