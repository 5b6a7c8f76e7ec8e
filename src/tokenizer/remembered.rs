//! Words with their tokens, remembered by each thread for itself: no lock stands between threads.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::TokenizerError;
use super::hash::QuickMap;

/// Words that a thread remembers of a tokenizer: enough for nearly all of a text, little memory.
const WORDS: usize = 1 << 16;
/// Words longer than this, in bytes, are not remembered.
const LONGEST: usize = 128;
/// Tokenizers that a thread remembers words of.
const TOKENIZERS: usize = 4;

type Known = QuickMap<Box<str>, Box<[u32]>>;

thread_local! {
    static KNOWN: RefCell<Vec<(u64, Known)>> = const { RefCell::new(Vec::new()) };
}

/// What threads remember of one tokenizer.
pub(super) struct Remembered(u64);

impl Remembered {
    /// Of a new one.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends the tokens of each word: those that are remembered, or that `find` appends.
    ///
    /// # Errors
    /// What `find` cannot encode.
    pub(super) fn encode<'a>(
        &self,
        words: impl Iterator<Item = &'a str>,
        tokens: &mut Vec<u32>,
        mut find: impl FnMut(&str, &mut Vec<u32>) -> Result<(), TokenizerError>,
    ) -> Result<(), TokenizerError> {
        // taken out meanwhile, so that whatever `find` does may encode as well
        let mut known = KNOWN.with_borrow_mut(|all| match all.iter().position(|(id, _)| *id == self.0) {
            Some(at) => all.swap_remove(at).1,
            None => {
                all.truncate(TOKENIZERS - 1);
                Known::default()
            }
        });
        let mut done = Ok(());
        for word in words {
            if let Some(found) = known.get(word) {
                tokens.extend_from_slice(found);
                continue;
            }
            let start = tokens.len();
            done = find(word, tokens);
            if done.is_err() {
                break;
            }
            if word.len() <= LONGEST && known.len() < WORDS {
                known.insert(word.into(), tokens[start..].into());
            }
        }
        KNOWN.with_borrow_mut(|all| all.insert(0, (self.0, known)));
        done
    }
}
