//! The tokenizers of NIST's mteval scripts as sacreBLEU 2.6 has them: `13a` and `intl`. Each is a
//! chain of replacements, and a replacement consumes what it matched, so the passes are kept apart.

use super::category::{Category, category};
use super::python;

/// Two buffers, used in turn by the passes.
#[derive(Default)]
pub(super) struct Passes {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Passes {
    /// The text after `13a`: words stand between white space.
    pub(super) fn thirteen_a(&mut self, text: &str) -> &str {
        let text = python::strip_end(text);
        self.from.clear();
        self.from.push(b' ');
        if text.contains("<skipped>") || text.contains('\n') || text.contains('&') {
            let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
            self.from.extend_from_slice(unescape(text).as_bytes());
        } else {
            self.from.extend_from_slice(text.as_bytes());
        }
        self.from.push(b' ');
        self.punctuation();
        self.numbers();
        self.text()
    }

    /// Loads a text for the passes below.
    pub(super) fn load(&mut self, text: &str) {
        self.from.clear();
        self.from.extend_from_slice(text.as_bytes());
    }

    /// The text as it is now.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.from).expect("only spaces were put in, between characters")
    }

    /// Spaces around punctuation and symbols, but for comma, hyphen, full stop and apostrophe.
    pub(super) fn punctuation(&mut self) {
        self.to.clear();
        for &byte in &self.from {
            let apart = matches!(byte, b'{'..=b'~' | b'['..=b'`' | b' '..=b'&' | b'('..=b'+' | b':'..=b'@' | b'/');
            if apart && byte != b' ' {
                self.to.extend_from_slice(&[b' ', byte, b' ']);
            } else {
                self.to.push(byte);
            }
        }
        self.turn();
    }

    /// A full stop or comma is part of a number only between digits; a dash after a digit is apart.
    pub(super) fn numbers(&mut self) {
        let point = |byte: u8| matches!(byte, b'.' | b',');
        if self.from.iter().any(|byte| point(*byte)) {
            self.pairs(|a, b| !a.is_ascii_digit() && point(b), |a, b| [a, b' ', b, b' ']);
            self.pairs(|a, b| point(a) && !b.is_ascii_digit(), |a, b| [b' ', a, b' ', b]);
        }
        if self.from.contains(&b'-') {
            self.pairs(|a, b| a.is_ascii_digit() && b == b'-', |a, b| [a, b' ', b, b' ']);
        }
    }

    /// Replaces pairs of neighbours from the left; what was replaced is not looked at again. Of a
    /// character of several bytes the last or first stands for all: none of them is a digit.
    fn pairs(&mut self, matches: impl Fn(u8, u8) -> bool, by: impl Fn(u8, u8) -> [u8; 4]) {
        self.to.clear();
        let mut at = 0;
        while at < self.from.len() {
            match self.from.get(at + 1) {
                Some(&next) if matches(self.from[at], next) => {
                    self.to.extend_from_slice(&by(self.from[at], next));
                    at += 2;
                }
                _ => {
                    self.to.push(self.from[at]);
                    at += 1;
                }
            }
        }
        self.turn();
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.from, &mut self.to);
    }

    /// The text after `intl` (mteval-v14): punctuation is apart unless it stands between numbers,
    /// symbols always.
    pub(super) fn international(&mut self, text: &str) -> &str {
        use Category::{Number, Punctuation, Symbol};
        self.load(python::strip_end(text));
        self.character_pairs(
            |a, b| category(a) != Number && category(b) == Punctuation,
            |a, b, to| push(to, &[a, ' ', b, ' ']),
        );
        self.character_pairs(
            |a, b| category(a) == Punctuation && category(b) != Number,
            |a, b, to| push(to, &[' ', a, ' ', b]),
        );
        self.to.clear();
        for c in std::str::from_utf8(&self.from)
            .expect("the passes write characters")
            .chars()
        {
            if category(c) == Symbol {
                push(&mut self.to, &[' ', c, ' ']);
            } else {
                push(&mut self.to, &[c]);
            }
        }
        self.turn();
        self.text()
    }

    fn character_pairs(&mut self, matches: impl Fn(char, char) -> bool, by: impl Fn(char, char, &mut Vec<u8>)) {
        self.to.clear();
        let text = std::str::from_utf8(&self.from).expect("the passes write characters");
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match rest.peek() {
                Some(&next) if matches(c, next) => {
                    by(c, next, &mut self.to);
                    rest.next();
                }
                _ => push(&mut self.to, &[c]),
            }
        }
        self.turn();
    }
}

fn push(to: &mut Vec<u8>, characters: &[char]) {
    for c in characters {
        to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The four entities that both mteval and Tercom know, one after the other.
pub(super) fn unescape(mut text: String) -> String {
    if text.contains('&') {
        for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            text = text.replace(entity, character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_points_and_words_lose_theirs() {
        let mut passes = Passes::default();
        let text = passes.thirteen_a("It's 3.5, not 1,000-2; \"ok\" &amp; done.");
        assert_eq!(
            python::split(text).collect::<Vec<_>>(),
            [
                "It's", "3.5", ",", "not", "1,000", "-", "2", ";", "\"", "ok", "\"", "&", "done", "."
            ]
        );
    }

    #[test]
    fn international_separates_the_punctuation_of_every_script() {
        let mut passes = Passes::default();
        let words = |text: &str| python::split(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(passes.international("¿Qué? «No», 3,5€")),
            ["¿", "Qué", "?", "«", "No", "»", ",", "3,5", "€"]
        );
    }
}
