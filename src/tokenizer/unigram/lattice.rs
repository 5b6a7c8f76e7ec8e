//! The ways to cut a word into pieces.

use super::Pieces;
use crate::tokenizer::hash::QuickMap;

/// The pieces as a tree over characters, with their log-probabilities.
pub(super) struct Tree {
    edges: QuickMap<u64, u32>,
    /// The piece that ends at a node.
    pieces: Vec<Option<u32>>,
    scores: Vec<f64>,
}

/// A piece from one place of a word to another.
#[derive(Clone, Copy)]
pub(super) struct Arc {
    pub from: usize,
    pub to: usize,
    pub piece: u32,
    pub score: f64,
}

impl Tree {
    pub(super) fn of(pieces: &Pieces) -> Self {
        let mut tree = Self {
            edges: QuickMap::default(),
            pieces: vec![None],
            scores: pieces.iter().map(|(_, score)| *score).collect(),
        };
        for (number, (piece, _)) in (0..).zip(pieces) {
            let mut node = 0;
            for &character in piece {
                let next = u32::try_from(tree.pieces.len()).expect("a tree has fewer than 2^32 nodes");
                node = *tree.edges.entry(edge(node, character)).or_insert(next);
                if node == next {
                    tree.pieces.push(None);
                }
            }
            tree.pieces[node as usize] = Some(number);
        }
        tree
    }

    /// All pieces in a word, by where they begin, then by length.
    pub(super) fn arcs(&self, word: &[char], arcs: &mut Vec<Arc>) {
        arcs.clear();
        for from in 0..word.len() {
            let mut node = 0;
            for (to, &character) in (from + 1..).zip(&word[from..]) {
                match self.edges.get(&edge(node, character)) {
                    Some(&next) => node = next,
                    None => break,
                }
                if let Some(piece) = self.pieces[node as usize] {
                    let score = self.scores[piece as usize];
                    arcs.push(Arc { from, to, piece, score });
                }
            }
        }
    }
}

fn edge(node: u32, character: char) -> u64 {
    u64::from(node) << 32 | u64::from(u32::from(character))
}

/// The most probable cut of a word of so many characters: its pieces from the last to the first. `but` is a
/// piece that may not be used. Empty if there is none.
pub(super) fn best(arcs: &[Arc], length: usize, but: Option<u32>) -> Vec<u32> {
    let mut ends: Vec<Option<(f64, Arc)>> = vec![None; length + 1];
    for arc in arcs.iter().filter(|arc| Some(arc.piece) != but) {
        let before = if arc.from == 0 {
            0.0
        } else {
            match ends[arc.from] {
                Some((score, _)) => score,
                None => continue,
            }
        };
        let score = before + arc.score;
        if ends[arc.to].is_none_or(|(known, _)| score > known) {
            ends[arc.to] = Some((score, *arc));
        }
    }
    let mut cut = Vec::new();
    let mut at = length;
    while at > 0 {
        let Some((_, arc)) = ends[at] else { return Vec::new() };
        cut.push(arc.piece);
        at = arc.from;
    }
    cut
}
