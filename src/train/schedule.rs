//! The learning rate as a pure function of the update, as in nanoGPT: linear warm-up, then a cosine
//! down to the minimum, or constant; or as for the first Transformer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Half a cosine wave down to the minimum learning rate at the last update.
    #[default]
    Cosine,
    /// The same rate to the end.
    Constant,
    /// Falls with the square root of the update (Vaswani et al. 2017).
    #[serde(rename = "inverse_sqrt")]
    InverseSquareRoot,
}

/// A learning-rate schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What follows the warm-up.
    pub kind: ScheduleKind,
    /// The rate that the warm-up reaches.
    pub highest: f64,
    /// The rate at which the cosine ends.
    pub lowest: f64,
    /// Updates of the warm-up.
    pub warmup: u64,
    /// Updates in all.
    pub updates: u64,
}

impl Schedule {
    /// The learning rate of an update, counted from 0.
    pub fn rate(&self, update: u64) -> f64 {
        let Self {
            kind,
            highest,
            lowest,
            warmup,
            updates,
        } = *self;
        if update < warmup {
            // the first update moves too, and the rate is reached after the warm-up, not in it
            return highest * (update + 1) as f64 / (warmup + 1) as f64;
        }
        match kind {
            ScheduleKind::Constant => highest,
            // joins the warm-up where it ends
            ScheduleKind::InverseSquareRoot => highest * ((warmup + 1) as f64 / (update + 1) as f64).sqrt(),
            ScheduleKind::Cosine => {
                let length = updates.saturating_sub(warmup).max(1);
                let done = (update - warmup).min(length) as f64 / length as f64;
                lowest + (highest - lowest) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        Schedule {
            kind,
            highest: 1e-3,
            lowest: 1e-4,
            warmup: 100,
            updates: 2000,
        }
    }

    #[test]
    fn cosine_goes_as_in_nanogpt() {
        let schedule = schedule(ScheduleKind::Cosine);
        // by nanoGPT's get_lr with learning_rate 1e-3, min_lr 1e-4, warmup_iters 100, lr_decay_iters 2000
        for (update, rate) in [
            (0, 1e-3 / 101.0),
            (99, 1e-1 / 101.0),
            (100, 1e-3),
            (1050, 5.5e-4),
            (2000, 1e-4),
        ] {
            assert!((schedule.rate(update) - rate).abs() < 1e-12, "update {update}");
        }
        assert!((100..1999).all(|update| schedule.rate(update + 1) < schedule.rate(update)));
    }

    #[test]
    fn constant_stays_where_the_warmup_ends() {
        let schedule = schedule(ScheduleKind::Constant);
        assert!(schedule.rate(50) < 1e-3);
        assert!((schedule.rate(100) - 1e-3).abs() < 1e-15 && (schedule.rate(1_000_000) - 1e-3).abs() < 1e-15);
    }

    #[test]
    fn inverse_square_root_falls_as_for_the_first_transformer() {
        let schedule = schedule(ScheduleKind::InverseSquareRoot);
        // by the paper's formula, min(n^-0.5, n·w^-1.5) scaled to 1e-3 at its highest, with n counted from 1
        for update in [0u64, 50, 99, 100, 101, 403, 9999] {
            let (n, w) = ((update + 1) as f64, 101.0f64);
            let rate = 1e-3 * w.sqrt() * n.powf(-0.5).min(n * w.powf(-1.5));
            assert!((schedule.rate(update) - rate).abs() < 1e-12, "update {update}");
        }
    }

    #[test]
    fn without_warmup_the_first_update_has_the_full_rate() {
        let schedule = Schedule {
            warmup: 0,
            ..schedule(ScheduleKind::Cosine)
        };
        assert!((schedule.rate(0) - 1e-3).abs() < 1e-15);
    }
}
