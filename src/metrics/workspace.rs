//! What computing statistics needs besides the texts, kept from sample to sample.

use super::chrf::Characters;
use super::rouge::Tally;
use super::shifts::Edits;
use super::text::{Lcs, Ngrams, WordCache};

/// Buffers for one thread. No result depends on what they were used for before.
#[derive(Default)]
pub struct Workspace {
    pub(super) words: WordCache,
    pub(super) ngrams: Ngrams,
    pub(super) lcs: Lcs,
    pub(super) tally: Tally,
    pub(super) characters: Characters,
    pub(super) edits: Edits,
}

impl Workspace {
    /// Another sample comes.
    pub(super) fn begin(&mut self) {
        self.words.begin();
    }
}
