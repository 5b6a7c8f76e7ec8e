//! Longest common subsequences, a machine word of columns at a time (Hyyrö, 2004), with rouge-score's
//! choice where several are longest.

/// Machine words of rows that are kept at once where that is enough for a whole table.
const KEPT: usize = 1 << 16;

/// Finds longest common subsequences. Time is the product of the lengths divided by 64, memory grows
/// with the longer one times the root of the other at most. Buffers are kept from call to call.
#[derive(Default)]
pub(in crate::metrics) struct Lcs {
    /// For each item, its first position in the second sequence plus one; and for each position the
    /// next of the same item plus one.
    first: Vec<u32>,
    next: Vec<u32>,
    /// One bit a column: clear where the row's value is one more than in the column before.
    row: Vec<u64>,
    mask: Vec<u64>,
    checkpoints: Vec<u64>,
    block: Vec<u64>,
}

impl Lcs {
    /// The length of the longest common subsequence.
    pub(in crate::metrics) fn length(&mut self, one: &[u32], other: &[u32]) -> usize {
        if one.is_empty() || other.is_empty() {
            return 0;
        }
        self.begin(other);
        for item in one {
            self.advance(*item);
        }
        self.end(other);
        clear_bits(&self.row, other.len())
    }

    /// Calls `found` with the positions in `line`, from the last, of one longest common subsequence
    /// with `other`: traced back from the end, leaving a word of `other` before one of `line` only if
    /// that keeps strictly more.
    pub(in crate::metrics) fn positions(&mut self, line: &[u32], other: &[u32], mut found: impl FnMut(usize)) {
        if line.is_empty() || other.is_empty() {
            return;
        }
        self.begin(other);
        let width = self.row.len();
        // rows are computed twice and kept in blocks, unless all of them fit
        let rows = line.len();
        let block = if rows * width <= KEPT {
            rows
        } else {
            rows.isqrt().max(1)
        };
        self.checkpoints.clear();
        for (index, item) in line.iter().enumerate() {
            if index % block == 0 {
                self.checkpoints.extend_from_slice(&self.row);
            }
            self.advance(*item);
        }
        let (mut i, mut j) = (rows, other.len());
        let mut here = clear_bits(&self.row, j);
        for number in (0..rows.div_ceil(block)).rev() {
            let start = number * block;
            if i == 0 || j == 0 {
                break;
            }
            self.row.clear();
            self.row
                .extend_from_slice(&self.checkpoints[number * width..(number + 1) * width]);
            self.block.clear();
            self.block.extend_from_slice(&self.row);
            for item in &line[start..i] {
                self.advance(*item);
                self.block.extend_from_slice(&self.row);
            }
            let row = |i: usize| &self.block[(i - start) * width..(i - start + 1) * width];
            let steps = |i: usize, j: usize| usize::from(row(i)[j / 64] >> (j % 64) & 1 == 0);
            let mut above = clear_bits(row(i - 1), j);
            while i > start && j > 0 {
                if line[i - 1] == other[j - 1] {
                    found(i - 1);
                    j -= 1;
                    above -= steps(i - 1, j);
                } else if here > above {
                    j -= 1;
                    here -= steps(i, j);
                    above -= steps(i - 1, j);
                    continue;
                }
                i -= 1;
                here = above;
                if i > start {
                    above = clear_bits(row(i - 1), j);
                }
            }
        }
        self.end(other);
    }

    /// Makes the row before the first, and the positions of each item of `other`.
    fn begin(&mut self, other: &[u32]) {
        let items = other.iter().max().map_or(0, |most| *most as usize + 1);
        if self.first.len() < items {
            self.first.resize(items, 0);
        }
        self.next.clear();
        self.next.resize(other.len(), 0);
        for (position, item) in other.iter().enumerate() {
            let first = &mut self.first[*item as usize];
            self.next[position] = *first;
            *first = u32::try_from(position + 1).expect("a text has fewer than 2^32 words");
        }
        let width = other.len().div_ceil(64);
        self.row.clear();
        self.row.resize(width, u64::MAX);
        self.mask.clear();
        self.mask.resize(width, 0);
    }

    /// The next row, for the next item of the first sequence.
    fn advance(&mut self, item: u32) {
        let Some(first) = self.first.get(item as usize).filter(|first| **first > 0) else {
            return; // nothing matches: the row stays as it is
        };
        let mut position = *first;
        while position > 0 {
            let at = position as usize - 1;
            self.mask[at / 64] |= 1 << (at % 64);
            position = self.next[at];
        }
        let mut carry = false;
        for (bits, mask) in self.row.iter_mut().zip(&mut self.mask) {
            let matched = *bits & *mask;
            let (sum, over) = bits.overflowing_add(matched);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            carry = over || over_again;
            *bits = sum | (*bits & !matched);
            *mask = 0;
        }
    }

    fn end(&mut self, other: &[u32]) {
        for item in other {
            self.first[*item as usize] = 0;
        }
    }
}

/// How many of the first bits are clear.
fn clear_bits(row: &[u64], bits: usize) -> usize {
    let whole: u32 = row[..bits / 64].iter().map(|word| word.count_zeros()).sum();
    let rest = match bits % 64 {
        0 => 0,
        rest => (!row[bits / 64] & ((1 << rest) - 1)).count_ones(),
    };
    (whole + rest) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table and the trace as the paper and rouge-score have them.
    fn by_table(line: &[u32], other: &[u32]) -> Vec<usize> {
        let mut table = vec![vec![0usize; other.len() + 1]; line.len() + 1];
        for i in 1..=line.len() {
            for j in 1..=other.len() {
                table[i][j] = if line[i - 1] == other[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (line.len(), other.len());
        let mut found = Vec::new();
        while i > 0 && j > 0 {
            if line[i - 1] == other[j - 1] {
                found.push(i - 1);
                i -= 1;
                j -= 1;
            } else if table[i][j - 1] > table[i - 1][j] {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        found
    }

    fn check(lcs: &mut Lcs, line: &[u32], other: &[u32]) {
        let expected = by_table(line, other);
        let mut found = Vec::new();
        lcs.positions(line, other, |position| found.push(position));
        assert_eq!(found, expected, "{line:?} {other:?}");
        assert_eq!(lcs.length(line, other), expected.len());
        assert_eq!(lcs.length(other, line), expected.len());
    }

    proptest! {
        #[test]
        fn bits_find_what_the_table_finds(
            line in prop::collection::vec(0u32..5, 0..90),
            other in prop::collection::vec(0u32..5, 0..150),
        ) {
            check(&mut Lcs::default(), &line, &other);
        }
    }

    #[test]
    fn long_sequences_are_traced_in_blocks() {
        let text = |length: u32, step: u32| (0..length).map(|i| (i * i / 7 + i * step) % 50).collect::<Vec<_>>();
        let (line, other) = (text(3000, 3), text(2500, 5));
        assert!(line.len() * other.len().div_ceil(64) > KEPT);
        check(&mut Lcs::default(), &line, &other);
    }
}
