//! The same bounds on any processor: what the instructions are tested by.

use std::ops::Range;

use super::{GROUP, Row, Screen};
use crate::kernels::flex::Shared;

/// The bounds of some groups' panels, for all rows.
///
/// # Safety
/// No other thread uses the bounds of these groups.
pub(super) unsafe fn bounds(screen: &Screen, numbers: &[[i8; 4]], rows: &[Row], out: Shared<'_>, groups: Range<usize>) {
    let (fours, width) = (screen.inputs.div_ceil(4), screen.about.len());
    for (row, about_row) in rows.iter().enumerate() {
        let numbers = &numbers[row * fours..][..fours];
        for panel in groups.start * GROUP..groups.end * GROUP {
            let about = &screen.about[panel];
            let words = screen.words[panel / GROUP * GROUP * fours + panel % GROUP..]
                .iter()
                .step_by(GROUP);
            let mut most = f32::NEG_INFINITY;
            for lane in 0..16 {
                let products = words.clone().zip(numbers).flat_map(|(word, numbers)| {
                    let pairs = word.0[lane].iter().zip(numbers);
                    pairs.map(|(weight, number)| i32::from(*weight) * i32::from(*number))
                });
                let sum = products.fold(about_row.start, i32::wrapping_add);
                let bound = about_row
                    .of_lost
                    .mul_add(about.lost.0[lane], about_row.of_norms * about.norms.0[lane]);
                let value = (sum as f32 * about.scales.0[lane]).mul_add(about_row.scale, bound);
                most = most.max(value);
            }
            // SAFETY: by the caller's promise.
            unsafe { out.part(row * width + panel, 1)[0] = most };
        }
    }
}
