//! Samples by the values of a field of their dataset's rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::samples::Row;
use super::{MetricsError, Score};

/// Different values of a field that are kept apart.
const MOST: usize = 1000;

/// The scores of the samples that have a value in a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The field.
    pub field: String,
    /// Its value in these samples.
    pub value: String,
    /// How many samples they are.
    pub n: u64,
    /// Their scores, with intervals of their own.
    pub scores: Vec<Score>,
}

/// Keys that are hashes already.
#[derive(Clone, Copy, Default)]
pub(super) struct Hashed(u64);

impl std::hash::Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit keys are hashed so");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Different things, by their 64-bit names.
pub(super) type Keys = HashSet<u64, std::hash::BuildHasherDefault<Hashed>>;

/// One field, as samples come.
pub(super) struct Field {
    pub name: String,
    numbers: HashMap<String, u32>,
    /// The values, in order of appearance.
    values: Vec<String>,
    /// The value of each sample.
    of: Vec<u32>,
    /// For each value and each metric that counts different things, those things.
    pub keys: Vec<Vec<Keys>>,
}

impl Field {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            numbers: HashMap::new(),
            values: Vec::new(),
            of: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, value: String, keyed: usize) -> Result<(), MetricsError> {
        let number = match self.numbers.get(&value) {
            Some(number) => *number,
            None if self.values.len() == MOST => {
                return Err(MetricsError::ManySlices {
                    field: self.name.clone(),
                    most: MOST,
                });
            }
            None => {
                let number = self.values.len() as u32; // below `MOST`
                self.values.push(value.clone());
                self.keys.push(vec![Keys::default(); keyed]);
                self.numbers.insert(value, number);
                number
            }
        };
        self.of.push(number);
        Ok(())
    }

    /// Keeps the things that a sample counts for one of the metrics that count different things.
    pub(super) fn extend(&mut self, sample: usize, which: usize, keys: &[u64]) {
        let value = self.of[sample] as usize;
        self.keys[value][which].extend(keys);
    }

    /// Each value with its number and its samples, in alphabetical order of the values.
    pub(super) fn groups(&self) -> BTreeMap<&str, (usize, Vec<u32>)> {
        let numbered = self.values.iter().enumerate();
        let mut groups: BTreeMap<&str, (usize, Vec<u32>)> = numbered
            .map(|(number, value)| (value.as_str(), (number, Vec::new())))
            .collect();
        for (sample, number) in (0u32..).zip(&self.of) {
            let group = groups.get_mut(self.values[*number as usize].as_str());
            group.expect("every value has its group").1.push(sample);
        }
        groups
    }
}

/// The value of a field in a sample's row, as a name.
pub(super) fn value(field: &str, id: &str, row: &Row) -> Result<String, MetricsError> {
    match row.get(field) {
        None => Err(MetricsError::NoField {
            id: id.to_owned(),
            field: field.to_owned(),
            known: row
                .keys()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
        }),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(_) | Value::Object(_)) => Err(MetricsError::NoName {
            id: id.to_owned(),
            field: field.to_owned(),
        }),
        Some(other) => Ok(other.to_string()),
    }
}
