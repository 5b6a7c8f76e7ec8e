//! How fast training goes: for the screen, never for a result.

use std::time::{Duration, Instant};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(300);

/// How fast training goes, for the screen only; evaluations and checkpoints are left out.
pub(super) struct Pace {
    tokens: u64,
    since: Instant,
    told: Instant,
    last: f64,
    /// All tokens, since when.
    all: u64,
    began: Instant,
}

impl Pace {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            tokens: 0,
            since: now,
            told: now,
            last: 0.0,
            all: 0,
            began: now,
        }
    }

    /// Adds tokens that were learned from.
    pub fn count(&mut self, tokens: u64) {
        self.tokens += tokens;
        self.all += tokens;
    }

    /// Leaves out time that was not training.
    pub fn skip(&mut self, time: Duration) {
        self.since += time;
        self.began += time;
    }

    /// Tokens a second since it was last told, or as then while nothing was counted.
    pub fn rate(&self) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        if self.tokens == 0 || seconds <= 0.0 {
            return self.last;
        }
        (self.tokens as f64 / seconds * 10.0).round() / 10.0
    }

    /// Tokens a second from the beginning on.
    pub fn average(&self) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds > 0.0 { self.all as f64 / seconds } else { 0.0 }
    }

    /// The pace, if it is time to tell it or `now`.
    pub fn tell(&mut self, now: bool) -> Option<f64> {
        if !now && self.told.elapsed() < TELL_EVERY {
            return None;
        }
        self.last = self.rate();
        let time = Instant::now();
        (self.tokens, self.since, self.told) = (0, time, time);
        Some(self.last)
    }
}

/// `7,120`
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts: Vec<_> = [0.0, 999.4, 7120.0, 1_234_567.0].map(thousands).into();
        assert_eq!(texts, ["0", "999", "7,120", "1,234,567"]);
    }
}
