//! Which pieces go.

use rayon::prelude::*;

use super::estimate::{PARTS, summed};
use super::lattice::{Tree, best};
use super::{Pieces, Words};

/// At most `fewer` pieces: every character, those that nothing can stand for, and those whose loss would make
/// the text least probable. As SentencePiece, a text without a piece is one in which its best other cut stands
/// for it.
pub(super) fn pruned(pieces: Pieces, words: &Words, fewer: usize) -> Pieces {
    let tree = Tree::of(&pieces);
    let parts: Vec<Vec<f64>> = words
        .par_chunks(words.len().div_ceil(PARTS).max(1))
        .map(|words| {
            let mut used = vec![0.0; pieces.len()];
            let mut arcs = Vec::new();
            for (word, count) in words {
                tree.arcs(word, &mut arcs);
                for piece in best(&arcs, word.len(), None) {
                    #[expect(clippy::cast_precision_loss, reason = "counts of a text")]
                    let count = *count as f64;
                    used[piece as usize] += count;
                }
            }
            used
        })
        .collect();
    let used = summed(parts, pieces.len());
    let sum: f64 = used.iter().sum();
    let losses: Vec<f64> = (0..)
        .zip(&pieces)
        .collect::<Vec<(u32, _)>>()
        .par_iter()
        .map_init(Vec::new, |arcs, (number, (piece, _))| {
            let own = used[*number as usize];
            if piece.len() == 1 {
                return f64::INFINITY;
            } else if own == 0.0 {
                return f64::NEG_INFINITY;
            }
            tree.arcs(piece, arcs);
            let other = best(arcs, piece.len(), Some(*number));
            #[expect(clippy::cast_precision_loss, reason = "at most 16 pieces")]
            let others = other.len() as f64;
            let sum_without = (sum + own * (others - 1.0)).ln();
            let without: f64 = other
                .iter()
                .map(|&id| (used[id as usize] + own).ln() - sum_without)
                .sum();
            own / sum * (own.ln() - sum.ln() - without)
        })
        .collect();
    let mut order: Vec<usize> = (0..pieces.len()).filter(|&at| losses[at] > f64::NEG_INFINITY).collect();
    order.sort_by(|&a, &b| {
        losses[b]
            .total_cmp(&losses[a])
            .then_with(|| pieces[a].0.cmp(&pieces[b].0))
    });
    let characters = pieces.iter().filter(|(piece, _)| piece.len() == 1).count();
    order.truncate(fewer.max(characters));
    order.sort_unstable();
    let mut kept = vec![false; pieces.len()];
    for at in order {
        kept[at] = true;
    }
    pieces
        .into_iter()
        .zip(kept)
        .filter(|(_, kept)| *kept)
        .map(|(piece, _)| piece)
        .collect()
}
