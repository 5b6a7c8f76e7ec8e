//! Attention: the first half of a block, and attention to a source.

use burn::tensor::Tensor;

use super::exact::{Matrix, Near};
use super::references::{Attended, RmsNorm, rotated};
use super::{Case, Sizes, case, rotation};
use crate::kernels::attention::composed_source;
use crate::kernels::halves::composed_self_attention;
use crate::kernels::tests::{RMS, RMS_EPSILON, cpu, floats, norm_of, products_of};
use crate::kernels::*;

/// What is added to scores.
#[derive(Clone, Copy, Debug)]
enum Added {
    Nothing,
    Diagonals,
    Keys,
}

type AttentionForm =
    fn(Tensor<2>, Option<&RowNorm>, &Products, &Attending<'_>, &Products, Option<Dropout>) -> Tensor<2>;

pub(super) fn first_halves(sizes: &Sizes, list: &mut Vec<Case>) {
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
        let case = case(
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
            move |inputs| also(composed_self_attention, inputs),
        );
        let exact = Half {
            sizes: sizes.clone(),
            added,
            causal,
            rotates,
        };
        list.push(case.beside([rows, width], move |inputs, weights| exact.computed(inputs, weights)));
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
            true => composed_source(q, kv, batch, heads, &scoring, drop),
            false => source_attention(q, kv, batch, heads, &scoring, drop),
        }
    };
    let also = run.clone();
    let case = case(
        "attention to a source",
        [[rows, inside], [batch * longest, 2 * keys]],
        move |inputs| run(false, inputs),
        move |inputs| also(true, inputs),
    );
    let sizes = sizes.clone();
    list.push(case.beside([rows, inside], move |inputs, weights| {
        let [k, v] = [0, keys].map(|first| inputs[1].part(first, keys));
        let attended = Attended {
            heads,
            seq: [sizes.seq, sizes.longest()],
            scale: heads.scale(),
            sees: &|sequence, _, key| key < sizes.source[sequence],
            term: &|_, _, _| Near::default(),
            dropout: drop,
        };
        let mixed = attended.forward(&inputs[0], &k, &v);
        let through = attended.backward((&inputs[0], &k, &v), &mixed, weights);
        let both = Matrix::beside(&[&through.keys, &through.values]);
        vec![mixed.out, through.queries, both]
    }));
}

/// The first half of a block in f64.
struct Half {
    sizes: Sizes,
    added: Added,
    causal: bool,
    rotates: bool,
}

impl Half {
    /// The result and the gradients of what goes in, for the gradient of the result.
    fn computed(&self, inputs: &[Matrix], gradient: &Matrix) -> Vec<Matrix> {
        let [x, terms, norm, query, key, value, outer] = inputs else {
            unreachable!("seven inputs")
        };
        let Sizes {
            heads,
            seq,
            ref lengths,
            ..
        } = self.sizes;
        let slopes = Matrix::of(&floats(alibi(heads, seq, &cpu())), seq);
        let attended = Attended {
            heads,
            seq: [seq; 2],
            scale: heads.scale(),
            sees: &|sequence, query, key| match self.causal {
                true => key <= query,
                false => key < lengths[sequence],
            },
            term: &|head, query, key| match self.added {
                Added::Nothing => Near::default(),
                Added::Diagonals => terms.at(head, key + seq - 1 - query),
                Added::Keys => slopes.at(head, key),
            },
            dropout: self.sizes.drop(),
        };
        let mask = gradient.each(|row, column, _| {
            let index = (row * gradient.columns + column) as u64;
            Near::exact(self.sizes.drop().map_or(1.0, |drop| f64::from(drop.factor(index))))
        });
        let masked = |rows: &Matrix| rows.each(|row, column, number| number.times(mask.at(row, column)));
        let (cosines, sines) = rotation(0).tables(seq, heads.width);
        let turned = |rows: Matrix, direction: f64| match self.rotates {
            true => rotated(&rows, [seq, heads.width], (&cosines, &sines), direction),
            false => rows,
        };

        let rms = RmsNorm {
            weight: norm,
            epsilon: f64::from(RMS_EPSILON),
        };
        let normal = rms.forward(x);
        let [q, k, v] = [query, key, value].map(|weight| normal.product(&weight.turned()));
        let (q, k) = (turned(q, 1.0), turned(k, 1.0));
        let mixed = attended.forward(&q, &k, &v);
        let out = x.plus(&masked(&mixed.out.product(&outer.turned())));

        let through_outer = masked(gradient);
        let of_mixed = through_outer.product(outer);
        let through = attended.backward((&q, &k, &v), &mixed, &of_mixed);
        let sides = [
            turned(through.queries, -1.0),
            turned(through.keys, -1.0),
            through.values,
        ];
        let [of_query, of_key, of_value] = sides.each_ref().map(|side| side.turned().product(&normal));
        let of_normal = sides
            .iter()
            .zip([query, key, value])
            .map(|(side, weight)| side.product(weight))
            .reduce(|sum, side| sum.plus(&side))
            .expect("three sides");
        let [dx, of_norm] = rms.backward(x, &of_normal);
        let mut of_terms = Matrix::zeros(terms.rows(), terms.columns);
        if matches!(self.added, Added::Diagonals) {
            let count = through.scores.rows() / heads.query;
            for row in 0..through.scores.rows() {
                let (head, query) = (row / seq % heads.query, row % seq);
                for key in 0..seq {
                    of_terms.add(head, key + seq - 1 - query, through.scores.at(row, key), count);
                }
            }
        }
        vec![
            out,
            dx.plus(gradient),
            of_terms,
            of_norm,
            of_query,
            of_key,
            of_value,
            through_outer.turned().product(&mixed.out),
        ]
    }
}
