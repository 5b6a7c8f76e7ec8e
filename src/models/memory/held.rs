//! Numbers that are held, and what they are for.

use super::generation::grouped;
use crate::kernels::Precision;
use crate::step::Part;

/// Bytes of a number in f32, and of one in bf16.
const SINGLE: u64 = 4;
const HALF: u64 = 2;

/// Bytes of a number in a precision.
pub(super) fn size(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => SINGLE,
        Precision::Bf16 => HALF,
    }
}

/// Numbers with one purpose, held so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub name: &'static str,
    pub times: u64,
    pub count: u64,
    /// Bytes of a number.
    pub size: u64,
}

impl Held {
    /// In f32.
    pub fn single(name: &'static str, count: u64) -> Self {
        let (times, size) = (1, SINGLE);
        Self {
            name,
            times,
            count,
            size,
        }
    }

    /// In what products are computed in.
    pub fn factor(name: &'static str, count: u64, precision: Precision) -> Self {
        Self {
            size: size(precision),
            ..Self::single(name, count)
        }
    }

    pub fn bytes(&self) -> u64 {
        self.times.saturating_mul(self.count).saturating_mul(self.size)
    }
}

impl From<&Held> for Part {
    fn from(held: &Held) -> Self {
        let Held {
            name,
            times,
            count,
            size,
        } = *held;
        let times = match times {
            1 => String::new(),
            times => format!("{} × ", grouped(times)),
        };
        let unit = if size == SINGLE { "" } else { " of 2 bytes" };
        Self {
            name: name.into(),
            bytes: held.bytes(),
            about: format!("{times}{} numbers{unit}", grouped(count)),
        }
    }
}

/// The bytes of all.
pub(super) fn bytes_of(all: &[Held]) -> u64 {
    all.iter().map(Held::bytes).fold(0, u64::saturating_add)
}

/// Those of one purpose and one size together; nothing of nothing.
pub(super) fn collected(all: impl IntoIterator<Item = Held>) -> Vec<Held> {
    let mut list: Vec<Held> = Vec::new();
    for held in all.into_iter().filter(|held| held.bytes() > 0) {
        let alike = |other: &&mut Held| (other.name, other.count, other.size) == (held.name, held.count, held.size);
        match list.iter_mut().find(alike) {
            Some(other) => other.times += held.times,
            None => list.push(held),
        }
    }
    list
}
