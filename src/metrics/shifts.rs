//! The edit distance with shifts of TER: Tercom's greedy search, with its limits, and sacreBLEU's
//! beam around the diagonal and its order of preference.

/// The longest phrase that is shifted, and how far at most.
const LONGEST: usize = 10;
const FARTHEST: usize = 50;

/// Columns on each side of the diagonal that are computed.
const BEAM: usize = 25;

/// Shifts that are tried for a sentence before what is found counts.
const MOST_TRIED: usize = 1000;

const INFINITE: u32 = u32::MAX / 2;

/// How a cell of the table was reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Same,
    Substitute,
    Insert,
    Delete,
    Unreached,
}

/// A table of edit distances, and what a search needs besides; kept from sample to sample.
#[derive(Default)]
pub(super) struct Edits {
    /// The columns near the diagonal of each row after the first.
    cells: Vec<(u32, Step)>,
    /// Reference words a word of the text, and columns on each side of the diagonal.
    ratio: f64,
    beam: usize,
    /// The words that the table's rows are for.
    rows: Vec<u32>,
    words: Vec<u32>,
    shifted: Vec<u32>,
    best: Vec<u32>,
    /// For each reference word the output word that it is aligned with, or the one before.
    aligned: Vec<Option<usize>>,
    reference_wrong: Vec<bool>,
    output_wrong: Vec<bool>,
}

/// The least edits, as far as the search goes, that turn an output into a reference.
pub(super) fn edits(output: &[u32], reference: &[u32], work: &mut Edits) -> usize {
    if reference.is_empty() {
        return output.len();
    }
    work.begin(output, reference.len());
    let (mut shifts, mut tried) = (0, 0);
    loop {
        let gains = work.shift(reference, &mut tried);
        if tried >= MOST_TRIED || !gains {
            break;
        }
        shifts += 1;
        std::mem::swap(&mut work.words, &mut work.best);
    }
    work.turn_to_words();
    shifts + work.distance(reference) as usize
}

/// A shift by Tercom's ranking: the highest gain, then the longest, then the earliest phrase, then
/// the earliest place.
type Rank = (i64, usize, std::cmp::Reverse<usize>, std::cmp::Reverse<usize>);

impl Edits {
    fn begin(&mut self, output: &[u32], reference: usize) {
        self.words.clear();
        self.words.extend_from_slice(output);
        self.rows.clear();
        self.shifted.clear();
        self.ratio = if output.is_empty() {
            1.0
        } else {
            reference as f64 / output.len() as f64
        };
        // where the lengths differ a lot, rows would not overlap
        self.beam = if (BEAM as f64) < self.ratio / 2.0 {
            (self.ratio / 2.0 + BEAM as f64).ceil() as usize
        } else {
            BEAM
        };
        self.cells.clear();
        self.cells
            .resize(output.len() * self.band(), (INFINITE, Step::Unreached));
    }

    /// Cells that are kept of a row: the last one goes to its end, which is at most one farther.
    fn band(&self) -> usize {
        2 * self.beam + 2
    }

    /// The first column of row `i` that is kept.
    fn from(&self, i: usize) -> usize {
        ((i as f64 * self.ratio).floor() as usize).saturating_sub(self.beam)
    }

    /// A cell: row `i` for the first `i` words of the text, column `j` for those of the reference.
    fn cell(&self, i: usize, j: usize) -> (u32, Step) {
        if i == 0 {
            return (j as u32, Step::Insert); // a text has fewer than 2^31 words
        }
        let band = self.band();
        match j.checked_sub(self.from(i)) {
            Some(column) if column < band => self.cells[(i - 1) * band + column],
            _ => (INFINITE, Step::Unreached),
        }
    }

    fn turn_to_words(&mut self) {
        self.shifted.clear();
        self.shifted.extend_from_slice(&self.words);
    }

    /// The distance of `shifted` from the reference. Rows that the last such text began with are
    /// not computed again.
    fn distance(&mut self, reference: &[u32]) -> u32 {
        let rows = self.shifted.len();
        let known = self
            .rows
            .iter()
            .zip(&self.shifted)
            .take_while(|(one, other)| one == other)
            .count();
        let (width, band) = (reference.len() + 1, self.band());
        for i in known + 1..=rows {
            let word = self.shifted[i - 1];
            let diagonal = (i as f64 * self.ratio).floor() as usize;
            let from = self.from(i);
            let to = if i == rows {
                width
            } else {
                width.min(diagonal + self.beam)
            };
            let (mut left, mut above_left) = ((INFINITE, Step::Unreached), (INFINITE, Step::Unreached));
            if from > 0 {
                above_left = self.cell(i - 1, from - 1);
            }
            let row = (i - 1) * band;
            for j in from..to {
                let above = self.cell(i - 1, j);
                let mut best = (INFINITE, Step::Unreached);
                if j == 0 {
                    best = (above.0 + 1, Step::Delete);
                } else {
                    let (cost, step) = if word == reference[j - 1] {
                        (0, Step::Same)
                    } else {
                        (1, Step::Substitute)
                    };
                    for (cost, step) in [
                        (above_left.0 + cost, step),
                        (above.0 + 1, Step::Delete),
                        (left.0 + 1, Step::Insert),
                    ] {
                        if cost < best.0 {
                            best = (cost, step);
                        }
                    }
                }
                self.cells[row + j - from] = best;
                left = best;
                above_left = above;
            }
            self.cells[row + to.saturating_sub(from)..row + band].fill((INFINITE, Step::Unreached));
        }
        self.rows.clear();
        self.rows.extend_from_slice(&self.shifted);
        self.cell(rows, reference.len()).0
    }

    /// Aligns `words`, for which the table is, with the reference.
    fn align(&mut self, reference: usize) {
        self.aligned.clear();
        self.aligned.resize(reference, None);
        self.reference_wrong.clear();
        self.reference_wrong.resize(reference, true);
        self.output_wrong.clear();
        self.output_wrong.resize(self.words.len(), true);
        let (mut i, mut j) = (self.words.len(), reference);
        while i > 0 || j > 0 {
            let step = self.cell(i, j).1;
            match step {
                Step::Same | Step::Substitute => {
                    i -= 1;
                    j -= 1;
                    self.aligned[j] = Some(i);
                    let wrong = step == Step::Substitute;
                    self.reference_wrong[j] = wrong;
                    self.output_wrong[i] = wrong;
                }
                Step::Delete => i -= 1,
                // a word that the output lacks stands after the output word before it
                Step::Insert => {
                    j -= 1;
                    self.aligned[j] = i.checked_sub(1);
                }
                Step::Unreached => break, // outside the beam; the last cell is always inside
            }
        }
    }

    /// Looks for the shift of `words` that lowers the distance most, and leaves the shifted words in
    /// `best`. Whether there is one.
    fn shift(&mut self, reference: &[u32], tried: &mut usize) -> bool {
        self.turn_to_words();
        let before = i64::from(self.distance(reference));
        self.align(reference.len());
        let mut best: Option<Rank> = None;
        let count = self.words.len();
        'search: for start in 0..count {
            let near = start.saturating_sub(FARTHEST)..reference.len().min(start + FARTHEST + 1);
            for place in near {
                let mut length = 0;
                while length < LONGEST && self.words[start + length] == reference[place + length] {
                    length += 1;
                    self.try_shift(start, place, length, before, reference, &mut best, tried);
                    if *tried >= MOST_TRIED {
                        break 'search;
                    }
                    if start + length == count || place + length == reference.len() {
                        break;
                    }
                }
            }
        }
        best.is_some_and(|(gain, ..)| gain > 0)
    }

    /// Tries the places for one phrase: before, within and after the reference's same words.
    #[expect(clippy::too_many_arguments, reason = "one step of the search")]
    fn try_shift(
        &mut self,
        start: usize,
        place: usize,
        length: usize,
        before: i64,
        reference: &[u32],
        best: &mut Option<Rank>,
        tried: &mut usize,
    ) {
        let wrong = |flags: &[bool], from: usize| flags[from..from + length].contains(&true);
        // both the output's words and the reference's must be wrong where they are now
        if !wrong(&self.output_wrong, start) || !wrong(&self.reference_wrong, place) {
            return;
        }
        if self.aligned[place].is_some_and(|at| (start..start + length).contains(&at)) {
            return;
        }
        let mut last = None;
        for offset in 0..=length {
            // the output word after which the phrase is put, one more than its position
            let target = match (place + offset).checked_sub(1) {
                None => 0,
                Some(before) if before < reference.len() => self.aligned[before].map_or(0, |at| at + 1),
                Some(_) => break,
            };
            if last == Some(target) {
                continue;
            }
            last = Some(target);
            self.perform(start, length, target);
            let gain = before - i64::from(self.distance(reference));
            *tried += 1;
            let rank = (gain, length, std::cmp::Reverse(start), std::cmp::Reverse(target));
            if best.is_none_or(|best| rank > best) {
                *best = Some(rank);
                self.best.clear();
                self.best.extend_from_slice(&self.shifted);
            }
        }
    }

    /// `words` with a phrase taken from one place and put before another, into `shifted`.
    fn perform(&mut self, start: usize, length: usize, target: usize) {
        let words = &self.words;
        let end = start + length;
        let parts = if target < start {
            [
                &words[..target],
                &words[start..end],
                &words[target..start],
                &words[end..],
            ]
        } else if target > end {
            [
                &words[..start],
                &words[end..target],
                &words[start..end],
                &words[target..],
            ]
        } else {
            // within itself: it moves as far as the target is inside
            let after = (length + target).min(words.len());
            [
                &words[..start],
                &words[end.min(after)..after],
                &words[start..end],
                &words[after.max(end)..],
            ]
        };
        self.shifted.clear();
        parts.iter().for_each(|part| self.shifted.extend_from_slice(part));
    }
}
