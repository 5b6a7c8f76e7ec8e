//! Scales and ticks of charts.

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `value` (positive).
pub(super) fn ceiling(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    nice.into_iter()
        .find(|nice| *nice >= value * (1.0 - 1e-12))
        .unwrap_or(10.0 * power)
}

/// Round values within `[low, high]`, about `count` of them, and how many decimals they need.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> (Vec<f64>, usize) {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return (vec![low], 2);
    }
    let step = ceiling(span / count.max(1) as f64);
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last {
        ticks.push(at * step);
        at += 1.0;
    }
    let decimals = (0..6).find(|decimals| {
        let scaled = step * 10f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    (ticks, usize::try_from(decimals.unwrap_or(6)).unwrap_or(6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1500.0, 5).0, [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(ticks(1.9, 6.9, 4), (vec![2.0, 4.0, 6.0], 0));
        assert_eq!(ceiling(0.83), 1.0);
        assert_eq!(ceiling(0.2), 0.2);
        assert_eq!(ceiling(43.0), 50.0);
    }

    proptest! {
        #[test]
        fn ticks_lie_within_and_are_few(low in -1e6..1e6f64, span in 1e-6..1e6f64, count in 1usize..12) {
            let (ticks, _) = ticks(low, low + span, count);
            prop_assert!(ticks.len() <= count + 1);
            prop_assert!(ticks.iter().all(|tick| *tick >= low - span * 1e-6 && *tick <= low + span * (1.0 + 1e-6)));
        }
    }
}
