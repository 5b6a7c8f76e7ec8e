//! How a tokenizer fits a text: tokens a word, bytes a token, the tokens that are most frequent and longest.

use super::Tokenizer;
use super::spelling::visible;
use crate::data::{Listed, Statistics};

/// Tokens that are listed.
const LISTED: usize = 20;

/// Counts of a text and its tokens.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Tokens that the text became (not those that are put around it).
    pub tokens: u64,
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Characters.
    pub characters: u64,
    /// Words: what white space separates.
    pub words: u64,
    used: Vec<u64>,
}

impl Counts {
    /// Adds a text and its tokens.
    pub fn add(&mut self, text: &str, tokens: &[u32]) {
        self.tokens += tokens.len() as u64;
        self.bytes += text.len() as u64;
        self.characters += text.chars().count() as u64;
        self.words += text.split_whitespace().count() as u64;
        for &token in tokens {
            let place = token as usize;
            if place >= self.used.len() {
                self.used.resize(place + 1, 0);
            }
            self.used[place] += 1;
        }
    }

    /// What is kept of them beside encoded rows.
    pub fn statistics(&self, tokenizer: &Tokenizer) -> Statistics {
        let listed = |(id, count): (u32, u64)| Listed {
            id,
            token: visible(&tokenizer.bytes_of(id).unwrap_or_default()),
            count,
        };
        let used: Vec<(u32, u64)> = (0..)
            .zip(self.used.iter().copied())
            .filter(|(_, count)| *count > 0)
            .collect();
        let mut frequent = used.clone();
        frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut longest: Vec<(usize, u32, u64)> = used
            .iter()
            .filter(|(id, _)| !tokenizer.is_special(*id))
            .map(|&(id, count)| (tokenizer.bytes_of(id).map_or(0, |bytes| bytes.len()), id, count))
            .collect();
        longest.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let longest = longest.into_iter().map(|(_, id, count)| (id, count));
        Statistics {
            version: 1,
            vocab_size: tokenizer.vocab_size(),
            used: used.len(),
            tokens: self.tokens,
            bytes: self.bytes,
            characters: self.characters,
            words: self.words,
            frequent: frequent.into_iter().take(LISTED).map(listed).collect(),
            longest: longest.take(LISTED).map(listed).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Algorithm, SpecialTokens};

    #[test]
    fn texts_are_counted_and_tokens_listed() {
        let tokenizer = Algorithm::Byte.train(None, &SpecialTokens::end_of_text(), &[]).unwrap();
        let mut counts = Counts::default();
        for text in ["ñandú  a\n", "aa", ""] {
            counts.add(text, &tokenizer.encode(text).unwrap());
        }
        assert_eq!(
            (counts.tokens, counts.bytes, counts.characters, counts.words),
            (13, 13, 11, 3)
        );
        let statistics = counts.statistics(&tokenizer);
        assert_eq!((statistics.vocab_size, statistics.used), (257, 8));
        let first = &statistics.frequent[..2];
        assert_eq!(
            first[0],
            Listed {
                id: 97,
                token: "a".into(),
                count: 4
            }
        );
        assert_eq!(
            first[1],
            Listed {
                id: 32,
                token: "·".into(),
                count: 2
            }
        );
        assert!((statistics.bytes_per_token() - 1.0).abs() < 1e-12);
        assert!((statistics.tokens_per_word() - 13.0 / 3.0).abs() < 1e-12);
        assert!(Counts::default().statistics(&tokenizer).bytes_per_token().abs() < 1e-12);
    }
}
