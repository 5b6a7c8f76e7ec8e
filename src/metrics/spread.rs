//! Scores over several seeds: mean, standard deviation, and Student's interval of the mean.

use serde::Serialize;

/// What several runs of the same thing gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The standard deviation of a sample (n - 1); `None` of one run.
    pub sd: Option<f64>,
    /// The ends of the 95% interval of the mean, by Student's t with n - 1 degrees of freedom.
    pub interval: Option<(f64, f64)>,
}

/// The spread of values; `None` without any.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let sd = (n > 1).then(|| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (n - 1) as f64).sqrt()
    });
    let interval = sd.map(|sd| {
        let half = student_t(1.0 - (1.0 - super::LEVEL) / 2.0, (n - 1) as f64) * sd / (n as f64).sqrt();
        (mean - half, mean + half)
    });
    Some(Spread { n, mean, sd, interval })
}

/// The quantile of Student's t distribution, for probabilities from 0.5: by halving on its
/// distribution function.
fn student_t(probability: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if student_cdf(middle, freedom) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

fn student_cdf(t: f64, freedom: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // the fraction converges fast on this side only
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        for numerator in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// The logarithm of the gamma function, for x > 0 (Stirling's series after shifting x up).
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.t.ppf(0.975, n).
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [
            (1.0, 12.706_204_736_432_095),
            (2.0, 4.302_652_729_911_275),
            (4.0, 2.776_445_105_198_054),
            (9.0, 2.262_157_162_740_991_5),
            (30.0, 2.042_272_456_301_237_3),
            (1000.0, 1.962_339_080_826_408),
        ] {
            let found = student_t(0.975, freedom);
            assert!((found - expected).abs() < 1e-8 * expected, "{freedom}: {found}");
        }
    }

    #[test]
    fn the_spread_of_some_seeds() {
        let five = spread(&[0.30, 0.34, 0.31, 0.33, 0.32]).unwrap();
        assert!((five.mean - 0.32).abs() < 1e-12);
        assert!((five.sd.unwrap() - 0.015_811_388_300_841_9).abs() < 1e-12);
        let (low, high) = five.interval.unwrap();
        // scipy.stats.t.interval(0.95, 4, loc=0.32, scale=0.0158113883/sqrt(5))
        assert!(
            (low - 0.300_367_568_386_09).abs() < 1e-9 && (high - 0.339_632_431_613_91).abs() < 1e-9,
            "{low} {high}"
        );
        assert_eq!(spread(&[0.5]).unwrap().interval, None);
        assert_eq!(spread(&[]), None);
    }
}
