//! Memory that is read from its first line to its last for every token.
//!
//! What many sequences keep is far more than a cache holds, and in pages of four kilobytes the processor spends
//! a sixth of the time of reading it on finding the pages. So what belongs together lies in one stretch, for which
//! Linux is asked for pages of two megabytes.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::MmapMut;

use super::lanes::Line;

/// Memory of fewer bytes than this is allocated as any other.
const LARGE: usize = 1 << 20;

/// A large page.
const PAGE: usize = 2 << 20;

/// Lines, zero at first, which have their memory from a stretch that others may share.
#[derive(Debug)]
pub(super) struct Lines(Place);

#[derive(Debug)]
enum Place {
    Alone(Vec<Line>),
    Stretch {
        start: NonNull<Line>,
        count: usize,
        /// Keeps the memory, of which no other has these lines.
        _stretch: Arc<MmapMut>,
    },
}

// SAFETY: the lines of a stretch are owned by one alone, as those of a vector are.
unsafe impl Send for Place {}
// SAFETY: as for Send.
unsafe impl Sync for Place {}

impl Lines {
    /// So many lines in memory of their own.
    pub(super) fn alone(count: usize) -> Self {
        Self(Place::Alone(vec![Line::ZERO; count]))
    }

    /// Several of so many lines each, near each other.
    pub(super) fn several(counts: &[usize]) -> Vec<Self> {
        let bytes = counts.iter().sum::<usize>() * size_of::<Line>();
        let Some(mut stretch) = stretch(bytes) else {
            return counts.iter().copied().map(Self::alone).collect();
        };
        let start = NonNull::new(stretch.as_mut_ptr().cast::<Line>()).expect("memory is somewhere");
        assert!(start.is_aligned() && stretch.len() >= bytes, "pages are lines");
        let stretch = Arc::new(stretch);
        let mut next = 0;
        let part = |count: &usize| {
            // SAFETY: the counts together fit the stretch.
            let start = unsafe { start.add(next) };
            next += count;
            Self(Place::Stretch {
                start,
                count: *count,
                _stretch: stretch.clone(),
            })
        };
        counts.iter().map(part).collect()
    }
}

/// Zeros of a stretch of their own in large pages, where there are such and it is worth it.
fn stretch(bytes: usize) -> Option<MmapMut> {
    if bytes < LARGE || !cfg!(target_os = "linux") {
        return None;
    }
    // a page that would be a quarter empty is not worth it
    let whole = bytes.next_multiple_of(PAGE);
    let bytes = if whole - bytes <= bytes / 4 { whole } else { bytes };
    let stretch = MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    let _ = stretch.advise(memmap2::Advice::HugePage); // a kernel without them has small ones
    Some(stretch)
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    fn deref(&self) -> &[Line] {
        match &self.0 {
            Place::Alone(lines) => lines,
            // SAFETY: the lines lie inside the stretch, which lives, and are written by none but their owner; zeros
            // are numbers.
            Place::Stretch { start, count, .. } => unsafe { std::slice::from_raw_parts(start.as_ptr(), *count) },
        }
    }
}

impl DerefMut for Lines {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Line] {
        match &mut self.0 {
            Place::Alone(lines) => lines,
            // SAFETY: as for deref, and this is the owner.
            Place::Stretch { start, count, .. } => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), *count) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_zero_and_each_ones_own() {
        for scale in [1, 3000] {
            let counts = [3 * scale, 0, 5 * scale, 1];
            let mut several = Lines::several(&counts);
            let large = matches!(several[0].0, Place::Stretch { .. });
            assert_eq!(large, scale > 1 && cfg!(target_os = "linux"));
            for (number, lines) in several.iter_mut().enumerate() {
                assert_eq!(lines.len(), counts[number]);
                assert!(lines.iter().all(|line| line.0 == [0.0; 16]));
                lines.iter_mut().for_each(|line| line.0.fill(number as f32 + 1.0));
            }
            drop(several.remove(0)); // the others keep the memory
            for (lines, number) in several.iter().zip([2.0, 3.0, 4.0]) {
                assert!(lines.iter().all(|line| line.0 == [number; 16]));
            }
        }
    }
}
