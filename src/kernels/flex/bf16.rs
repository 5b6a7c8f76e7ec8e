//! Matrix products of bf16 numbers summed in f32, by AVX-512's dot products of pairs.
//!
//! Both factors are rounded to bf16 (to the nearest, ties to even) while they are packed: the right
//! one into panels of 64 columns, the left one into blocks of rows, both with two neighbouring terms
//! of the sum in a 32-bit word. A tile of 6 × 64 sums stays in registers. How the product is cut, and
//! so the order of every sum, depends on shapes alone, never on the number of threads.
//!
//! `vdpbf16ps` takes denormal numbers for zero.

use std::cell::RefCell;

use rayon::prelude::*;

use super::array::Shared;
use super::product::{Matrix, Target};
use avx512::Tile;

mod avx512;

/// Numbers of a vector.
const LANES: usize = 16;
/// Columns of a panel of the right factor: four vectors.
const PANEL: usize = 4 * LANES;
/// Rows of a tile: with four vectors each, 24 of the 32 registers hold sums.
const TILE: usize = 6;
/// Rows that a thread takes at a time; packed columns of them are whole vectors.
const BLOCK: usize = 16 * TILE;
/// Pairs of terms that are summed before they go to the target: what is packed of them stays in the
/// second cache.
const DEPTH: usize = 192;
/// Pieces that a product is cut into where it has so many: for any number of threads.
const PIECES: usize = 16;

thread_local! {
    /// The packed right factor, kept from product to product.
    static RIGHT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// A packed block of the left factor.
    static LEFT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Whether the processor has what this needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

/// `a [m, k] · b [k, n]` into a contiguous `[m, n]`, on all threads. The operands hold their shapes.
pub(super) fn product(out: &mut [f32], [m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, target: Target) {
    assert!(is_available(), "callers ask first");
    assert!(
        a.holds(m, k) && b.holds(k, n) && m * n <= out.len(),
        "operands hold their shapes"
    );
    let plain = |matrix: Matrix<'_>| matrix.strides().0 == 1 || matrix.strides().1 == 1;
    assert!(plain(a) && plain(b), "rows or columns lie side by side");
    let out = Shared::new(out);
    // taken out, so that another product on this thread meanwhile has a buffer of its own
    let mut right = RIGHT.take();
    let width = n.next_multiple_of(LANES);
    right.resize((k.div_ceil(2) * width).max(right.len()), 0);
    let panels = pack_right(&mut right, [k, n], b);
    // pieces: blocks of rows, and of few rows groups of panels
    let blocks = m.div_ceil(BLOCK);
    let groups = PIECES.div_ceil(blocks).min(n.div_ceil(PANEL));
    let group = n.div_ceil(PANEL).div_ceil(groups);
    let pieces: Vec<_> = (0..blocks)
        .flat_map(|block| {
            (0..n.div_ceil(PANEL))
                .step_by(group)
                .map(move |panel| (block * BLOCK, panel))
        })
        .collect();
    pieces.into_par_iter().for_each(|(row, first)| {
        let rows = BLOCK.min(m - row);
        let last = (first + group).min(n.div_ceil(PANEL));
        let mut left = LEFT.take();
        left.resize(BLOCK * DEPTH, 0);
        for (part, panels) in panels.iter().enumerate() {
            let term = 2 * DEPTH * part;
            let terms = (2 * DEPTH).min(k - term);
            let (apart, step) = pack_left(&mut left, a, [row, rows], [term, terms]);
            for (panel, packed) in panels.iter().enumerate().take(last).skip(first) {
                let columns = PANEL.min(n - panel * PANEL);
                for tile in (0..rows).step_by(TILE) {
                    let count = TILE.min(rows - tile);
                    let place = (row + tile) * n + panel * PANEL;
                    let tile = Tile {
                        pairs: terms.div_ceil(2),
                        left: left[tile * apart..].as_ptr(),
                        row: apart,
                        step,
                        right: packed.as_ptr(),
                        target: out.block(place, [count, columns], n),
                        stride: n,
                        rows: count,
                        columns,
                        adds: part > 0 || target == Target::Add,
                    };
                    // SAFETY: the packed factors have so many pairs; pieces are disjoint blocks of the
                    // target, which `block` has checked; the instructions are there.
                    unsafe { avx512::multiply(tile) };
                }
            }
        }
        LEFT.set(left);
    });
    if k == 0 && target == Target::Replace {
        // SAFETY: no piece is being worked on.
        unsafe { out.part(0, m * n) }.fill(0.0);
    }
    drop(panels);
    RIGHT.set(right);
}

/// The right factor in panels, by parts of its depth: `[pairs, width of the panel]` each.
fn pack_right<'a>(packed: &'a mut [u32], [k, n]: [usize; 2], b: Matrix<'_>) -> Vec<Vec<&'a [u32]>> {
    let width = n.next_multiple_of(LANES);
    let mut rest = packed;
    let mut tasks = Vec::new();
    for term in (0..k).step_by(2 * DEPTH) {
        let terms = (2 * DEPTH).min(k - term);
        let (part, after) = rest.split_at_mut(terms.div_ceil(2) * width);
        rest = after;
        for (panel, packed) in part.chunks_mut(terms.div_ceil(2) * PANEL).enumerate() {
            tasks.push((term, terms, panel * PANEL, packed));
        }
    }
    let panels: Vec<&[u32]> = tasks
        .into_par_iter()
        .map(|(term, terms, column, packed)| {
            let columns = PANEL.min(n - column);
            let width = columns.next_multiple_of(LANES);
            let (values, (row, step)) = (b.from(term, column).values().as_ptr(), b.strides());
            // SAFETY: the matrix holds its shape; a panel has room for its pairs, padded to vectors.
            unsafe {
                if step == 1 {
                    avx512::pack_columns(packed.as_mut_ptr(), width, values, row, terms, columns);
                } else {
                    avx512::pack_transposed(packed.as_mut_ptr(), width, values, step, terms, columns);
                }
            }
            &*packed
        })
        .collect();
    panels.chunks(n.div_ceil(PANEL).max(1)).map(<[_]>::to_vec).collect()
}

/// A block of the left factor; how far rows and pairs are apart.
fn pack_left(packed: &mut [u32], a: Matrix<'_>, [row, rows]: [usize; 2], [term, terms]: [usize; 2]) -> (usize, usize) {
    let (values, (apart, step)) = (a.from(row, term).values().as_ptr(), a.strides());
    // SAFETY: the matrix holds its shape; a block has room for its pairs.
    unsafe {
        if step == 1 {
            avx512::pack_rows(packed.as_mut_ptr(), values, apart, rows, terms);
            (terms.div_ceil(2), 1)
        } else {
            avx512::pack_columns(packed.as_mut_ptr(), BLOCK, values, step, terms, rows);
            (1, BLOCK)
        }
    }
}
