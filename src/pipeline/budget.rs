//! How much a file may come to once placeholders are replaced and matrices expanded.
//!
//! A short file can ask for a great deal: a large parameter, used often, in a step with a large
//! matrix. What is asked for is counted before it is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use super::tree::{Content, Node};

/// Values in all instances together, or 64 bytes of text each; some hundreds of megabytes.
const MAXIMUM: i64 = 1_000_000;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(MAXIMUM))
    }
}

impl Source {
    /// Takes so much of what the file may come to; false when there is not enough left, which is told
    /// the first time.
    pub fn afford(self: &Arc<Self>, more: usize, span: Span, problems: &mut Vec<Diagnostic>) -> bool {
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        let left = self.budget().0.load(Ordering::Relaxed);
        if more <= left {
            self.budget().0.store(left - more, Ordering::Relaxed);
            return true;
        }
        self.budget().0.store(-1, Ordering::Relaxed);
        if left >= 0 {
            let message = format!("here the file comes to more than {MAXIMUM} values, those of all instances counted");
            let help = "shorten the axes of the matrix, or the parameters that its settings repeat";
            problems.push(self.error(span, message).help(help));
        }
        false
    }
}

impl Source {
    /// Whether the file has come to more than it may: nothing more is made of it.
    pub fn is_spent(&self) -> bool {
        self.budget().0.load(Ordering::Relaxed) < 0
    }
}

impl Node {
    /// What the value counts as.
    pub fn weight(&self) -> usize {
        1 + match &self.content {
            Content::Text(text) => text.len() / 64,
            Content::List(items) => items.iter().map(Self::weight).sum(),
            Content::Map(entries) => entries
                .iter()
                .map(|entry| entry.key.len() / 64 + entry.value.weight())
                .sum(),
            _ => 0,
        }
    }
}
