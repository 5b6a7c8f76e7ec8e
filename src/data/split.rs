//! Rows into `train`, `validation` and `test`.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DataError, Row};
use crate::seed::Seed;

/// How rows are divided: fractions that sum to 1, or numbers of rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The part for training: a fraction, or a number of rows.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub train: f64,
    /// The part that training is evaluated on as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub validation: Option<f64>,
    /// The part that nothing sees before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub test: Option<f64>,
}

/// What the numbers of a split mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Fractions,
    Rows,
}

impl Split {
    /// The parts that there are, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.parts().into_iter().map(|(name, _)| name).collect()
    }

    fn parts(&self) -> Vec<(&'static str, f64)> {
        let Self {
            train,
            validation,
            test,
        } = *self;
        let all = [("train", Some(train)), ("validation", validation), ("test", test)];
        all.into_iter()
            .filter_map(|(name, part)| part.map(|part| (name, part)))
            .collect()
    }

    fn measure(&self) -> Result<Measure, DataError> {
        let parts = self.parts();
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        if (sum - 1.0).abs() < 1e-9 {
            Ok(Measure::Fractions)
        } else if parts
            .iter()
            .all(|(_, part)| *part >= 1.0 && part.fract() == 0.0 && *part < 1e15)
        {
            Ok(Measure::Rows)
        } else {
            Err(DataError::Unfit(format!(
                "the parts of the split sum to {sum}: write fractions that sum to 1, or whole numbers of rows"
            )))
        }
    }

    /// Whether the parts are fractions that sum to 1 or whole numbers.
    ///
    /// # Errors
    /// When they are neither.
    pub fn check(&self) -> Result<(), DataError> {
        self.measure().map(|_| ())
    }

    /// How many of `total` rows (or characters) each part takes: at fractions, the borders are the
    /// running sums of the fractions, rounded down.
    fn sizes(&self, total: usize) -> Result<Vec<(&'static str, usize)>, DataError> {
        let parts = self.parts();
        let mut sizes = Vec::new();
        match self.measure()? {
            Measure::Fractions => {
                let (mut sum, mut start) = (0.0, 0);
                for (index, (name, part)) in parts.iter().enumerate() {
                    sum += part;
                    // a hair above, so that 0.7 + 0.2 + 0.1 does not lose the row that rounding took
                    let end = if index + 1 == parts.len() {
                        total
                    } else {
                        floor(total as f64 * sum + 1e-6)
                    };
                    sizes.push((*name, end - start));
                    start = end;
                }
            }
            Measure::Rows => sizes.extend(parts.iter().map(|(name, part)| (*name, floor(*part)))),
        }
        let asked: usize = sizes.iter().map(|(_, size)| size).sum();
        if asked > total {
            return Err(DataError::Unfit(format!(
                "the split asks for {asked} rows, and there are {total}"
            )));
        }
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(DataError::Unfit(format!(
                "the part `{name}` of the split would be empty: there are only {total} rows"
            )));
        }
        Ok(sizes)
    }

    /// Divides rows. Which row goes where is drawn from the seed; within a part, rows keep their
    /// order. Numbers of rows may leave some over: they are in no part, and the caller tells how many.
    ///
    /// # Errors
    /// Too few rows, or a part that would be empty.
    pub fn rows(&self, rows: Vec<Row>, seed: Seed) -> Result<Vec<(&'static str, Vec<Row>)>, DataError> {
        let sizes = self.sizes(rows.len())?;
        let mut part_of: Vec<Option<usize>> = Vec::with_capacity(rows.len());
        for (part, (_, size)) in sizes.iter().enumerate() {
            part_of.extend(std::iter::repeat_n(Some(part), *size));
        }
        part_of.resize(rows.len(), None);
        part_of.shuffle(&mut seed.rng());
        let mut parts: Vec<(&'static str, Vec<Row>)> = sizes.into_iter().map(|(name, _)| (name, Vec::new())).collect();
        for (row, part) in rows.into_iter().zip(part_of) {
            if let Some(part) = part {
                parts[part].1.push(row);
            }
        }
        Ok(parts)
    }

    /// Divides one text by position, as nanoGPT does: its first characters train, its last test.
    ///
    /// # Errors
    /// Numbers of rows instead of fractions; a part that would be empty.
    pub fn text(&self, field: &str, text: &str) -> Result<Vec<(&'static str, Vec<Row>)>, DataError> {
        if self.measure()? == Measure::Rows {
            return Err(DataError::Unfit(
                "one text cannot be split into numbers of rows: write fractions that sum to 1 (it is cut by \
                 position), or read it by `text: line` or `text: paragraph`"
                    .into(),
            ));
        }
        let sizes = self.sizes(text.chars().count())?;
        let mut rest = text;
        let mut parts = Vec::new();
        for (name, size) in sizes {
            let end = rest.char_indices().nth(size).map_or(rest.len(), |(end, _)| end);
            let (part, after) = rest.split_at(end);
            parts.push((
                name,
                vec![Row::from_iter([(field.to_owned(), Value::String(part.to_owned()))])],
            ));
            rest = after;
        }
        Ok(parts)
    }
}

/// A size rounded down; sizes are far below 2^52, where every whole number is exact.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn floor(size: f64) -> usize {
    size as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn split(train: f64, validation: f64, test: f64) -> Split {
        let some = |part| (part > 0.0).then_some(part);
        Split {
            train,
            validation: some(validation),
            test: some(test),
        }
    }

    fn rows(count: usize) -> Vec<Row> {
        (0..count)
            .map(|i| json!({"i": i}).as_object().unwrap().clone())
            .collect()
    }

    proptest! {
        #[test]
        fn every_row_is_in_exactly_one_part(count in 10usize..300, seed in any::<u64>()) {
            let parts = split(0.8, 0.1, 0.1).rows(rows(count), Seed::root(seed)).unwrap();
            let mut all = Vec::new();
            for (_, part) in &parts {
                prop_assert!(part.is_sorted_by_key(|row| row["i"].as_u64()));
                all.extend(part.iter().map(|row| row["i"].as_u64().unwrap()));
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..count as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn fractions_and_numbers_give_the_sizes_they_say() {
        let sizes = |split: Split, total| -> Vec<usize> {
            split.sizes(total).unwrap().into_iter().map(|(_, size)| size).collect()
        };
        assert_eq!(sizes(split(0.7, 0.2, 0.1), 10), [7, 2, 1]);
        assert_eq!(sizes(split(0.9, 0.1, 0.0), 1_115_394), [1_003_854, 111_540]);
        assert_eq!(sizes(split(6.0, 0.0, 2.0), 10), [6, 2]);
        assert_eq!(sizes(split(1.0, 0.0, 0.0), 10), [10]);
        assert_eq!(
            split(6.0, 0.0, 2.0).rows(rows(10), Seed::root(0)).unwrap()[1].1.len(),
            2
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(
            split(0.8, 0.1, 0.0)
                .check()
                .unwrap_err()
                .to_string()
                .contains("sum to 0.9")
        );
        assert!(split(80.0, 0.1, 0.0).check().is_err());
        assert!(
            split(80.0, 0.0, 30.0)
                .sizes(100)
                .unwrap_err()
                .to_string()
                .contains("asks for 110")
        );
        assert!(
            split(0.8, 0.1, 0.1)
                .sizes(5)
                .unwrap_err()
                .to_string()
                .contains("`validation`")
        );
    }

    #[test]
    fn one_text_is_cut_by_position() {
        let parts = split(0.5, 0.3, 0.2).text("text", "añadirías").unwrap();
        let texts: Vec<_> = parts
            .iter()
            .map(|(_, rows)| rows[0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["añad", "irí", "as"]);
        assert!(split(5.0, 0.0, 4.0).text("text", "añadirías").is_err());
    }
}
