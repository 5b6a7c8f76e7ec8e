//! Every fused operation against its composed form over shapes that are drawn: odd sizes, padding,
//! small and large numbers; values and gradients. The same operations give the same bits on any number
//! of threads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::Rng;

use super::cross_entropy::composed as composed_cross_entropy;
use super::linear::composed as composed_linear;
use super::norm::{composed_layer_norm, composed_rms_norm};
use super::tests::{LAYER, RMS, cpu, floats, leaf, norm_of, products_of};
use super::*;
use crate::seed::Seed;

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
    fn tokens(&self, count: usize, below: usize, ignored: bool, device: &Device) -> Tensor<1, Int> {
        let mut rng = Seed::root(self.seed).child("tokens").rng();
        let lowest = if ignored { -1 } else { 0 };
        let tokens: Vec<i64> = (0..count).map(|_| rng.random_range(lowest..below as i64)).collect();
        Tensor::from_data(TensorData::new(tokens, [count]), device)
    }
}

type Form = Box<dyn Fn(Vec<Tensor<2>>) -> Tensor<2> + Sync>;

/// An operation, both ways.
struct Case {
    what: &'static str,
    shapes: Vec<[usize; 2]>,
    /// By how much more than usual the two may differ, for what large numbers do to exponentials.
    loose: f32,
    /// What its inputs are multiplied by at most: a recurrence of large weights is chaos.
    most: f32,
    /// Whether it begins with a norm.
    normed: bool,
    fused: Form,
    composed: Form,
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
        loose: 1.0,
        most: f32::MAX,
        normed: ["norm", "mlp", "self"].iter().any(|part| what.contains(part)),
        fused: on(fused),
        composed: on(composed),
    }
}

fn simple(sizes: &Sizes, list: &mut Vec<Case>) {
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
        let mut case = case(
            "recurrence",
            [[rows, gates], [gates, width], [1, gates]],
            move |[x, w, b]| recurrence(x, w, b, cell, seq),
            move |[x, w, b]| recurrence::composed(x, w, b, cell, seq),
        );
        case.most = 1.0;
        list.push(case);
    }
}

fn rotation(start: usize) -> Rotation {
    Rotation {
        scaling: Scaling::None,
        theta: 10_000.0,
        start,
    }
}

fn lookups(sizes: &Sizes, list: &mut Vec<Case>) {
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
        let mut case = case(
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
        case.loose = large_scores(sizes, width);
        list.push(case);
    }
}

/// How far rounding in sums of products goes through an exponential.
fn large_scores(sizes: &Sizes, width: usize) -> f32 {
    (sizes.scale * sizes.scale * (width as f32).sqrt()).max(1.0)
}

type MlpForm = fn(Tensor<2>, Option<&RowNorm>, &Products, Activation, &Products, Option<Dropout>) -> Tensor<2>;

fn second_halves(sizes: &Sizes, list: &mut Vec<Case>) {
    let Sizes { width, mlp, .. } = *sizes;
    let (rows, drop) = (sizes.rows(), sizes.drop());
    let vector = [1, width];
    for activation in [
        Activation::GeluNew,
        Activation::Gelu,
        Activation::Relu,
        Activation::Silu,
    ] {
        let run = move |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 7]| {
            let mut rest = rest.into_iter();
            let norm = norm_of(&mut rest, LAYER);
            let inner = products_of(&mut rest, 1, true, Orientation::InputOutput);
            let outer = products_of(&mut rest, 1, true, Orientation::InputOutput);
            form(x, Some(&norm), &inner, activation, &outer, drop)
        };
        let weights = [[width, mlp], [1, mlp], [mlp, width], vector];
        let [inner, bias, outer, outer_bias] = weights;
        list.push(case(
            "mlp",
            [[rows, width], vector, vector, inner, bias, outer, outer_bias],
            move |inputs| run(super::mlp, inputs),
            move |inputs| run(halves::composed_mlp, inputs),
        ));
        let run = move |form: MlpForm, [x, rest @ ..]: [Tensor<2>; 5]| {
            let mut rest = rest.into_iter();
            let norm = norm_of(&mut rest, RMS);
            let inner = products_of(&mut rest, 2, false, Orientation::OutputInput);
            let outer = products_of(&mut rest, 1, false, Orientation::OutputInput);
            form(x, Some(&norm), &inner, activation, &outer, drop)
        };
        list.push(case(
            "gated mlp",
            [[rows, width], vector, [mlp, width], [mlp, width], [width, mlp]],
            move |inputs| run(super::mlp, inputs),
            move |inputs| run(halves::composed_mlp, inputs),
        ));
    }
}

/// What is added to scores.
#[derive(Clone, Copy, Debug)]
enum Added {
    Nothing,
    Diagonals,
    Keys,
}

type AttentionForm =
    fn(Tensor<2>, Option<&RowNorm>, &Products, &Attending<'_>, &Products, Option<Dropout>) -> Tensor<2>;

fn first_halves(sizes: &Sizes, list: &mut Vec<Case>) {
    let Sizes { heads, seq, width, .. } = *sizes;
    let (rows, drop) = (sizes.rows(), sizes.drop());
    let (inside, keys) = (heads.query * heads.width, heads.key_value * heads.width);
    for (added, causal, rotates) in [
        (Added::Nothing, true, true),
        (Added::Nothing, false, false),
        (Added::Diagonals, false, false),
        (Added::Diagonals, true, false),
        (Added::Keys, true, false),
    ] {
        let lengths = sizes.lengths.clone();
        let run = move |form: AttentionForm, [x, terms, rest @ ..]: [Tensor<2>; 7]| {
            let mut rest = rest.into_iter();
            let norm = norm_of(&mut rest, RMS);
            let inner = products_of(&mut rest, 3, false, Orientation::OutputInput);
            let outer = products_of(&mut rest, 1, false, Orientation::OutputInput);
            let scoring = Scoring {
                scale: heads.scale(),
                bias: match added {
                    Added::Nothing => None,
                    Added::Diagonals => Some(Bias::Diagonals(terms.clone())),
                    Added::Keys => Some(Bias::Keys(alibi(heads, seq, &x.device()))),
                },
                causal: causal.then_some(0),
                lengths: (!causal).then_some(&lengths),
            };
            let attending = Attending {
                heads,
                seq,
                rotation: rotates.then(|| rotation(0)),
                scoring: &scoring,
                dropout: drop,
            };
            // what has no part in this gets a gradient of zeros
            form(x, Some(&norm), &inner, &attending, &outer, drop).add(terms.mul_scalar(0.0).sum().unsqueeze())
        };
        let also = run.clone();
        let mut case = case(
            "self-attention",
            [
                [rows, width],
                [heads.query, 2 * seq - 1],
                [1, width],
                [inside, width],
                [keys, width],
                [keys, width],
                [width, inside],
            ],
            move |inputs| run(self_attention, inputs),
            move |inputs| also(halves::composed_self_attention, inputs),
        );
        // larger weights make scores of which f32 keeps no digit after the point
        case.most = 1.0;
        list.push(case);
    }
    let (source, longest) = (sizes.source.clone(), sizes.longest());
    let batch = source.len();
    let run = move |composed: bool, [q, kv]: [Tensor<2>; 2]| {
        let scoring = Scoring {
            causal: None,
            lengths: Some(&source),
            ..Scoring::causal(heads, 0)
        };
        match composed {
            true => attention::composed_source(q, kv, batch, heads, &scoring, drop),
            false => source_attention(q, kv, batch, heads, &scoring, drop),
        }
    };
    let also = run.clone();
    let mut case = case(
        "attention to a source",
        [[rows, inside], [batch * longest, 2 * keys]],
        move |inputs| run(false, inputs),
        move |inputs| also(true, inputs),
    );
    case.loose = large_scores(sizes, heads.width);
    list.push(case);
}

fn cases(sizes: &Sizes) -> Vec<Case> {
    let mut list = Vec::new();
    simple(sizes, &mut list);
    lookups(sizes, &mut list);
    second_halves(sizes, &mut list);
    first_halves(sizes, &mut list);
    list
}

/// An operation's result, and the gradient of each of its inputs.
fn computed(case: &Case, form: &Form, sizes: &Sizes, device: &Device) -> Vec<Vec<f32>> {
    let leaves: Vec<Tensor<2>> = case
        .shapes
        .iter()
        .enumerate()
        .map(|(index, shape)| {
            let leaf = leaf(&format!("{}{index}{}", case.what, sizes.seed), *shape, device);
            leaf.mul_scalar(sizes.scale.min(case.most)).detach().require_grad()
        })
        .collect();
    let out = form(leaves.clone());
    let weights = leaf("weights", out.dims(), device).detach();
    let mut all = vec![floats(out.clone())];
    let mut gradients = out.mul(weights).sum().backward();
    for leaf in leaves {
        let zeros = || leaf.clone().without_autodiff().zeros_like();
        all.push(floats(leaf.grad_remove(&mut gradients).unwrap_or_else(zeros)));
    }
    all
}

fn hold_together(sizes: &Sizes) {
    let device = cpu();
    for case in cases(sizes) {
        let fused = computed(&case, &case.fused, sizes, &device);
        let composed = computed(&case, &case.composed, sizes, &device);
        for (place, (fused, composed)) in fused.iter().zip(&composed).enumerate() {
            let largest = composed.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
            // what cancels out leaves the rounding of its terms: squares of inputs, and a norm's gradients,
            // which are one over the rows
            let small = if case.normed { sizes.scale.min(1.0) } else { 1.0 };
            let bound = 2e-5 * case.loose * largest + 2e-6 * sizes.scale.max(1.0).powi(2) / small;
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

/// Numbers at the ends of what f32 holds: what comes out is a number, the one that it should be.
#[test]
fn extreme_numbers() {
    let device = cpu();
    let of = |values: Vec<f32>, shape| Tensor::<2>::from_data(TensorData::new(values, shape), &device).require_grad();
    let backward = |out: Tensor<2>, x: &Tensor<2>| {
        let mut gradients = out.clone().sum().backward();
        (floats(out), floats(x.grad_remove(&mut gradients).unwrap()))
    };
    // scores a thousand apart: one key takes everything, and nothing flows through the scores
    let heads = Heads {
        query: 1,
        key_value: 1,
        width: 2,
    };
    let rows = vec![1e3, 0.0, 1e3, 0.0, 5.0, 7.0, 1e3, 0.0, -1e3, 0.0, 2.0, 3.0];
    let x = of(rows, [2, heads.packed()]);
    let (out, gradient) = backward(attention(x.clone(), heads, 2, None), &x);
    assert_eq!(out, [5.0, 7.0, 5.0, 7.0]);
    for (gradient, expected) in gradient.iter().zip([0., 0., 0., 0., 2., 2., 0., 0., 0., 0., 0., 0.]) {
        assert!((gradient - expected).abs() < 1e-30, "{gradient} for {expected}");
    }
    // a loss of logits so large that their exponentials are infinite, of a target hit and one missed
    let (h, table) = (of(vec![1e4, -1e4], [2, 1]), of(vec![1.0, 0.0, -1.0], [3, 1]));
    let targets = Tensor::<1, Int>::from_data(TensorData::from([0i64, 0]), &device);
    for smoothing in [0.0, 0.3] {
        let loss = linear_cross_entropy(h.clone(), table.clone(), targets.clone(), smoothing);
        let (loss, gradient) = backward(loss.unsqueeze(), &h);
        // what smoothing takes from the target that is missed it adds to the one that is hit
        assert!((loss[0] - 2e4).abs() <= 0.2, "{loss:?}");
        let (hit, missed) = (1.0 - (1.0 - smoothing), -1.0 - (1.0 - smoothing));
        assert!(
            (gradient[0] - hit).abs() < 1e-6 && (gradient[1] - missed).abs() < 1e-6,
            "{gradient:?}"
        );
    }
    // activations far out are a line or nothing, and rows of one number have a normal form
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluNew,
        Activation::Silu,
    ] {
        let x = of(vec![-1e4, 0.0, 1e4], [1, 3]);
        let (out, gradient) = backward(activation.apply(x.clone()), &x);
        assert!(
            out[0].abs() < 1e-6 && out[1] == 0.0 && (out[2] - 1e4).abs() < 1e-2,
            "{activation:?}: {out:?}"
        );
        assert!(
            gradient[0].abs() < 1e-6 && (gradient[2] - 1.0).abs() < 1e-6,
            "{activation:?}: {gradient:?}"
        );
    }
    let ones = || of(vec![1.0; 3], [1, 3]);
    for value in [0.0, 1e-30, 2f32.powi(50)] {
        let x = of(vec![value; 3], [1, 3]);
        let (out, gradient) = backward(layer_norm(x.clone(), ones(), ones(), 1e-5), &x);
        assert_eq!(out, [1.0; 3], "of {value}");
        assert!(
            gradient.iter().all(|gradient| gradient.abs() < 1e-3),
            "of {value}: {gradient:?}"
        );
        let (out, gradient) = backward(rms_norm(x.clone(), ones(), 1e-6), &x);
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        assert!(finite(&out) && finite(&gradient), "of {value}: {out:?} {gradient:?}");
    }
}
