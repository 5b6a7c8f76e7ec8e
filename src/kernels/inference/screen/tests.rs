use proptest::{prop_assert, prop_assert_eq, proptest};

use super::super::logits;
use super::super::{Finding, Target};
use super::*;
use crate::kernels::Orientation;

/// Numbers of about a normal distribution: sums of four.
fn normal(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() + next() + next() + next()).collect()
}

/// As it is found among all outputs.
fn expected(panels: &Panels, x: &[f32]) -> Vec<Option<u32>> {
    let rows = x.len() / panels.inputs();
    let mut all = vec![0.0; rows * panels.outputs()];
    panels.multiply(x, &mut all, Target::Replace);
    let found = all.chunks_exact(panels.outputs()).map(|row| {
        let most = logits::largest(row);
        let at = row.iter().position(|value| *value == most);
        at.filter(|_| most.is_finite()).map(|at| at as u32)
    });
    found.collect()
}

/// By the instructions of this processor, if it has them, and by portable code; both alike.
fn by_screen(screen: &Screen, panels: &Panels, x: &[f32]) -> (Vec<Option<u32>>, Screening) {
    let rows = x.len() / panels.inputs();
    let find = |native: bool| {
        let (mut found, mut memory) = (vec![None; rows], Screening::default());
        screen.decide(panels, x, &mut found, &mut memory, native);
        (found, memory)
    };
    let plain = find(false);
    if is_native() {
        let native = find(true);
        assert_eq!(native.0, plain.0);
        assert_eq!(native.1.rows, plain.1.rows);
    }
    plain
}

/// The bounds of all panels, before any is looked at.
fn bounds(screen: &Screen, x: &[f32], native: bool) -> Vec<f32> {
    let (count, fours, width) = (x.len() / screen.inputs, screen.inputs.div_ceil(4), screen.about.len());
    let mut numbers = vec![[0; 4]; count * fours];
    let rows = x.chunks_exact(screen.inputs).zip(numbers.chunks_exact_mut(fours));
    let rows: Vec<Row> = rows
        .map(|(x, numbers)| round_row(x, numbers).unwrap_or(Row::ZERO))
        .collect();
    let mut bounds = vec![0.0; count * width];
    let out = Shared::new(&mut bounds);
    let groups = 0..width / GROUP;
    // SAFETY: one thread alone; the instructions are asked for where they are.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if native {
            vnni::bounds(screen, &numbers, &rows, out, groups);
            return bounds;
        }
        assert!(!native, "instructions of another processor");
        portable::bounds(screen, &numbers, &rows, out, groups);
    }
    bounds
}

/// Changes that make choosing hard.
#[derive(Clone, Copy, Debug)]
enum Trap {
    None,
    /// Outputs that differ by the last bit of a weight, or not at all.
    NearTies,
    /// Rows of zeros, and weights of zeros.
    Zeros,
    /// One number of a row far larger than the others.
    Outlier,
    /// What is not finite, in one row.
    NotFinite(f32),
    /// One output far larger than the others, in norm.
    Long,
}

const TRAPS: [Trap; 8] = [
    Trap::None,
    Trap::NearTies,
    Trap::Zeros,
    Trap::Outlier,
    Trap::NotFinite(f32::NAN),
    Trap::NotFinite(f32::INFINITY),
    Trap::NotFinite(f32::NEG_INFINITY),
    Trap::Long,
];

proptest! {
    #[test]
    fn what_a_screen_finds_is_the_first_of_the_largest_and_bounds_hold(
        rows in 1usize..9, inputs in 1usize..70, outputs in 1usize..400, seed in 0u32..1000, trap in 0usize..8,
        powers in (-20i32..16, -20i32..16),
    ) {
        let (of_x, of_weight) = (10f32.powi(powers.0), 10f32.powi(powers.1));
        let mut x = normal(rows * inputs, seed);
        let mut weight = normal(inputs * outputs, seed + 1);
        match TRAPS[trap] {
            Trap::None => {}
            Trap::NearTies => for output in 1..outputs {
                let (before, these) = weight.split_at_mut(output * inputs);
                these[..inputs].copy_from_slice(&before[..inputs]);
                let change = &mut these[output % inputs];
                *change = f32::from_bits(change.to_bits() + (output as u32 * 7 + seed) % 3);
            },
            Trap::Zeros => {
                x[..inputs].fill(0.0);
                weight[outputs / 2 * inputs..].fill(0.0);
            }
            Trap::Outlier => x[inputs / 2] *= 3000.0,
            Trap::NotFinite(number) => x[(rows - 1) * inputs] = number,
            Trap::Long => weight[outputs / 3 * inputs..][..inputs].iter_mut().for_each(|value| *value *= 100.0),
        }
        x.iter_mut().for_each(|value| *value *= of_x);
        weight.iter_mut().for_each(|value| *value *= of_weight);
        let panels = Panels::of(&weight, [outputs, inputs], Orientation::OutputInput);
        let Some(screen) = Screen::build(&panels) else {
            prop_assert!(of_weight >= 1e11, "no screen of weights of {of_weight}");
            return Ok(());
        };
        let expected = expected(&panels, &x);
        let (found, _) = by_screen(&screen, &panels, &x);
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(found.is_none() || found == expected, "{found:?} for {expected:?}");
        }
        // no output exceeds its bound
        let mut all = vec![0.0; rows * outputs];
        panels.multiply(&x, &mut all, Target::Replace);
        let portable = bounds(&screen, &x, false);
        if is_native() {
            prop_assert_eq!(&portable, &bounds(&screen, &x, true));
        }
        let each = x.chunks_exact(inputs).zip(all.chunks_exact(outputs)).zip(portable.chunks_exact(screen.about.len()));
        for ((x, values), bounds) in each {
            if round_row(x, &mut vec![[0; 4]; inputs.div_ceil(4)]).is_some() {
                for (output, value) in values.iter().enumerate() {
                    prop_assert!(*value <= bounds[output / 16], "{value} above {}", bounds[output / 16]);
                }
            }
        }
    }
}

#[test]
fn most_rows_are_decided_and_by_few_panels() {
    let (inputs, outputs, rows) = (288, 4096, 40);
    let panels = Panels::of(
        &normal(inputs * outputs, 1),
        [outputs, inputs],
        Orientation::OutputInput,
    );
    let x = normal(inputs * rows, 2);
    let screen = Screen::build(&panels).unwrap();
    let (found, memory) = by_screen(&screen, &panels, &x);
    assert_eq!(found, expected(&panels, &x));
    assert_eq!((memory.seen, memory.open), (rows, 0));
    assert!(memory.pays());
    // bounds are of use only if they are near: of few panels above the largest output
    let width = screen.about.len();
    let mut looked_at = 0;
    for (x, bounds) in x
        .chunks_exact(inputs)
        .zip(bounds(&screen, &x, false).chunks_exact(width))
    {
        let mut all = vec![0.0; outputs];
        panels.multiply(x, &mut all, Target::Replace);
        let most = logits::largest(&all);
        looked_at += bounds.iter().filter(|bound| **bound >= most).count();
    }
    assert!(looked_at < 8 * rows, "{looked_at} panels for {rows} rows");
}

#[test]
fn where_outputs_are_alike_it_stops_trying() {
    let (inputs, outputs, rows) = (20, 4096, 100);
    let panels = Panels::of(
        &vec![0.5; inputs * outputs],
        [outputs, inputs],
        Orientation::OutputInput,
    );
    let screen = Screen::build(&panels).unwrap();
    let (found, memory) = by_screen(&screen, &panels, &normal(inputs * rows, 3));
    assert_eq!(found, vec![None; rows]);
    assert!(!memory.pays());
    let mut all = vec![None; rows];
    panels.likeliest(&normal(inputs * rows, 3), &mut all, &mut Finding::default());
    assert_eq!(all, vec![Some(0); rows]);
}

#[test]
fn weights_that_no_bound_holds_for_have_no_screen() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e20] {
        let mut weight = normal(10 * 100, 4);
        weight[987] = odd;
        assert!(Screen::build(&Panels::of(&weight, [100, 10], Orientation::OutputInput)).is_none());
    }
    let panels = Panels::of(&normal(1000, 4), [100, 10], Orientation::OutputInput);
    assert!(Screen::build(&panels.clone().with_bias(Some(vec![1.0; 100]))).is_none());
    assert!(Screen::of(&panels).is_none(), "too few outputs");
}

#[test]
fn it_is_there_where_the_processor_has_the_instructions() {
    let outputs = OUTPUTS + 5;
    let panels = Panels::of(&normal(10 * outputs, 5), [outputs, 10], Orientation::OutputInput);
    let screen = Screen::of(&panels);
    assert_eq!(screen.is_some(), is_native());
    let bytes = screen.map_or(0, |screen| screen.bytes());
    assert_eq!(bytes, Screen::bytes_of(10, outputs));
}

#[test]
fn threads_do_not_change_what_is_found() {
    let (inputs, outputs, rows) = (64, 3000, 17);
    let panels = Panels::of(
        &normal(inputs * outputs, 6),
        [outputs, inputs],
        Orientation::OutputInput,
    );
    let screen = Screen::build(&panels).unwrap();
    let x = normal(inputs * rows, 7);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut found = vec![None; rows];
        pool.install(|| screen.likeliest(&panels, &x, &mut found, &mut Screening::default()));
        assert_eq!(found, expected(&panels, &x));
    }
}
