//! Matrices in f64, each number with how far arithmetic in f32 may be from it.
//!
//! Errors are carried along operation by operation (running error analysis: Higham 2002, 3.3). A sum of n
//! terms adds roundings of the probable size √n instead of the worst, n (Higham and Mary 2019); errors that
//! came in are added up as if all had one sign.

/// Half of what the last bit of an f32 counts.
const UNIT: f64 = f64::EPSILON * 268_435_456.0; // 2⁻²⁴
/// By how much more than its probable size a sum's error may be.
const SURE: f64 = 4.0;
/// What is lost where numbers become too small for f32.
const LEAST: f64 = 1e-36;

/// A number, and how far f32 may be from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    pub value: f64,
    pub off: f64,
}

impl Near {
    /// One that f32 has as it is.
    pub fn exact(value: f64) -> Self {
        Self { value, off: 0.0 }
    }

    fn rounded(value: f64, off: f64) -> Self {
        let off = off + UNIT * value.abs() + LEAST;
        Self { value, off }
    }

    pub fn plus(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.off + other.off)
    }

    pub fn minus(self, other: Self) -> Self {
        self.plus(other.times(Self::exact(-1.0)))
    }

    pub fn times(self, other: Self) -> Self {
        let off = self.off * other.value.abs() + (self.value.abs() + self.off) * other.off;
        Self::rounded(self.value * other.value, off)
    }

    pub fn over(self, other: Self) -> Self {
        let value = self.value / other.value;
        let least = (other.value.abs() - other.off).max(0.0);
        Self::rounded(value, (self.off + value.abs() * other.off) / least)
    }

    /// A function of it, at most so steep anywhere near, and itself right to a unit in the last place.
    pub fn through(self, value: f64, slope: f64) -> Self {
        Self::rounded(value, slope * self.off + UNIT * value.abs())
    }

    /// The exponential function, as steep as it is on average up to where the number may be.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        let slope = if self.off > 0.0 {
            value * self.off.exp_m1() / self.off
        } else {
            value
        };
        self.through(value, slope)
    }

    /// A function whose own error is not in proportion to its value: so many times the last bit of one.
    pub fn absolute(self, units: f64) -> Self {
        Self {
            off: self.off + units * UNIT,
            ..self
        }
    }

    /// A number between 0 and `most`, whatever the errors are.
    pub fn within(self, most: f64) -> Self {
        Self {
            off: self.off.min(most),
            ..self
        }
    }
}

/// The sum of some terms in any order.
pub(super) fn sum(terms: impl Iterator<Item = Near>) -> Near {
    let (mut value, mut off, mut size, mut count) = (0.0, 0.0, 0.0, 0);
    for term in terms {
        value += term.value;
        off += term.off;
        size += term.value.abs() + term.off;
        count += 1;
    }
    let rounding = SURE * f64::from(count).sqrt() * UNIT * size;
    Near {
        value,
        off: off + rounding + LEAST,
    }
}

/// `[rows, columns]`
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub columns: usize,
    pub numbers: Vec<Near>,
}

impl Matrix {
    pub fn of(values: &[f32], columns: usize) -> Self {
        let numbers = values.iter().map(|value| Near::exact(f64::from(*value))).collect();
        Self { columns, numbers }
    }

    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            numbers: vec![Near::default(); rows * columns],
        }
    }

    pub fn rows(&self) -> usize {
        self.numbers.len() / self.columns
    }

    pub fn at(&self, row: usize, column: usize) -> Near {
        self.numbers[row * self.columns + column]
    }

    pub fn set(&mut self, row: usize, column: usize, number: Near) {
        self.numbers[row * self.columns + column] = number;
    }

    /// Another term of a sum over so many.
    pub fn add(&mut self, row: usize, column: usize, number: Near, terms: usize) {
        let so_far = self.at(row, column);
        let rounding = SURE * UNIT * (number.value.abs() + number.off) * (terms as f64).sqrt();
        let sum = Near {
            value: so_far.value + number.value,
            off: so_far.off + number.off + rounding,
        };
        self.set(row, column, sum);
    }

    pub fn turned(&self) -> Self {
        let mut out = Self::zeros(self.columns, self.rows());
        for row in 0..self.rows() {
            for column in 0..self.columns {
                out.set(column, row, self.at(row, column));
            }
        }
        out
    }

    /// `[rows, k] · [k, columns]`
    pub fn product(&self, other: &Self) -> Self {
        let mut out = Self::zeros(self.rows(), other.columns);
        let terms = self.columns;
        for row in 0..self.rows() {
            for k in 0..terms {
                let factor = self.at(row, k);
                for column in 0..other.columns {
                    out.add(row, column, factor.times(other.at(k, column)), terms);
                }
            }
        }
        out
    }

    /// Each number changed with its place.
    pub fn each(&self, change: impl Fn(usize, usize, Near) -> Near) -> Self {
        let mut out = self.clone();
        for row in 0..self.rows() {
            for column in 0..self.columns {
                out.set(row, column, change(row, column, self.at(row, column)));
            }
        }
        out
    }

    pub fn plus(&self, other: &Self) -> Self {
        self.each(|row, column, number| number.plus(other.at(row, column)))
    }

    /// Some of its columns.
    pub fn part(&self, first: usize, columns: usize) -> Self {
        let rows = self.numbers.chunks_exact(self.columns);
        Self {
            columns,
            numbers: rows.flat_map(|row| &row[first..first + columns]).copied().collect(),
        }
    }

    /// Matrices of the same rows side by side.
    pub fn beside(all: &[&Self]) -> Self {
        let row = |row: usize| {
            all.iter()
                .flat_map(move |one| &one.numbers[row * one.columns..][..one.columns])
        };
        Self {
            columns: all.iter().map(|one| one.columns).sum(),
            numbers: (0..all[0].rows()).flat_map(row).copied().collect(),
        }
    }

    /// The sums of columns, `[1, columns]`.
    pub fn column_sums(&self) -> Self {
        let mut out = Self::zeros(1, self.columns);
        for column in 0..self.columns {
            out.set(0, column, sum((0..self.rows()).map(|row| self.at(row, column))));
        }
        out
    }

    /// The errors of what f32 made of it; panics where one is larger than it may be.
    pub fn hold(&self, what: &str, made: &[f32]) -> Vec<f64> {
        assert_eq!(made.len(), self.numbers.len(), "{what}");
        let errors = self.numbers.iter().zip(made).enumerate();
        let errors = errors.map(|(index, (near, made))| {
            let error = (f64::from(*made) - near.value).abs();
            assert!(
                error <= near.off,
                "{what}[{index}]: {made} for {}, which it may be {:.3e} off and is {error:.3e}",
                near.value,
                near.off
            );
            error
        });
        errors.collect()
    }
}
