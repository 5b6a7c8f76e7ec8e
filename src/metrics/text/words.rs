//! The words of a sample's texts, as numbers.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mteval::Passes;
use super::vocabulary::Vocabulary;
use super::{Tercom, porter, python, squad};
use crate::metrics::Pair;

/// sacreBLEU's tokenizers for BLEU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mteval {
    /// mteval-v13a's, for Western languages: what WMT uses.
    #[default]
    #[serde(rename = "13a")]
    ThirteenA,
    /// mteval-v14's: the punctuation and symbols of every script.
    Intl,
    /// Every character is a word.
    Char,
    /// White space only, for texts that are tokenized already.
    None,
}

impl Mteval {
    /// As signatures name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThirteenA => "13a",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::None => "none",
        }
    }
}

/// A way to cut text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::metrics) enum Tokenization {
    /// Lower-cased runs of letters and digits: a-z and 0-9, or those of any script.
    Alphanumeric { unicode: bool, stem: bool },
    /// As BLEU does.
    Mteval { tokenizer: Mteval, lowercase: bool },
    /// As TER does.
    Tercom(Tercom),
    /// As chrF++ does: white space, and punctuation cut from one end of a word.
    Chrf { lowercase: bool },
    /// As SQuAD does.
    Squad,
}

/// The words of one sample's output and references.
#[derive(Default)]
pub(in crate::metrics) struct Words {
    ids: Vec<u32>,
    /// Where each text ends in `ids`: the output, then the references.
    texts: Vec<usize>,
    /// Where each line ends in `ids`; lines end with their text.
    lines: Vec<usize>,
    /// How many lines there are up to the end of each text.
    text_lines: Vec<usize>,
}

impl Words {
    pub(in crate::metrics) fn output(&self) -> &[u32] {
        &self.ids[..self.texts[0]]
    }

    /// How many references there are.
    pub(in crate::metrics) fn references(&self) -> usize {
        self.texts.len() - 1
    }

    pub(in crate::metrics) fn reference(&self, index: usize) -> &[u32] {
        &self.ids[self.texts[index]..self.texts[index + 1]]
    }

    /// The lines of the output, those without words left out.
    pub(in crate::metrics) fn output_lines(&self) -> impl Iterator<Item = &[u32]> + Clone {
        self.lines_of(0)
    }

    pub(in crate::metrics) fn reference_lines(&self, index: usize) -> impl Iterator<Item = &[u32]> + Clone {
        self.lines_of(index + 1)
    }

    fn lines_of(&self, text: usize) -> impl Iterator<Item = &[u32]> + Clone {
        let first = text.checked_sub(1).map_or(0, |before| self.text_lines[before]);
        (first..self.text_lines[text]).map(|line| {
            let start = line.checked_sub(1).map_or(0, |before| self.lines[before]);
            &self.ids[start..self.lines[line]]
        })
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.texts.clear();
        self.lines.clear();
        self.text_lines.clear();
    }

    fn end_line(&mut self) {
        if self.lines.last().copied().unwrap_or(0) < self.ids.len() {
            self.lines.push(self.ids.len());
        }
    }

    fn end_text(&mut self) {
        self.end_line();
        self.texts.push(self.ids.len());
        self.text_lines.push(self.lines.len());
    }
}

/// Different words that are remembered from sample to sample; more are forgotten before the next one.
const REMEMBERED: usize = 1 << 16;

/// One way to read text, with the words that it met.
struct Reader {
    tokenization: Tokenization,
    /// Words as the text has them.
    seen: Vocabulary,
    /// Each seen word's number among `stems`: one of Porter's stemmer's work a different word.
    stem_of: Vec<u32>,
    stems: Vocabulary,
    words: Words,
    /// The sample that `words` is of.
    sample: u64,
}

/// The words of the current sample, for every way of reading that was asked for. Memory is bounded
/// by the longest sample and [`REMEMBERED`].
#[derive(Default)]
pub(in crate::metrics) struct WordCache {
    readers: Vec<Reader>,
    sample: u64,
    passes: Passes,
    buffer: String,
}

impl WordCache {
    /// Another sample comes: what is known of the last one's words is of no more use.
    pub(in crate::metrics) fn begin(&mut self) {
        self.sample += 1;
    }

    /// The words of the current sample.
    pub(in crate::metrics) fn of(&mut self, tokenization: Tokenization, pair: Pair<'_>) -> &Words {
        let reader = self.read(tokenization, pair);
        &self.readers[reader].words
    }

    /// The words of the current sample, and the hash of a word by its number: the same for the same
    /// word, whoever numbered it.
    pub(in crate::metrics) fn with_hashes(
        &mut self,
        tokenization: Tokenization,
        pair: Pair<'_>,
    ) -> (&Words, impl Fn(u32) -> u64) {
        let reader = self.read(tokenization, pair);
        let reader = &self.readers[reader];
        (&reader.words, |id| reader.stems.hash(id))
    }

    fn read(&mut self, tokenization: Tokenization, pair: Pair<'_>) -> usize {
        let found = self
            .readers
            .iter()
            .position(|reader| reader.tokenization == tokenization);
        let index = found.unwrap_or_else(|| {
            self.readers.push(Reader {
                tokenization,
                seen: Vocabulary::default(),
                stem_of: Vec::new(),
                stems: Vocabulary::default(),
                words: Words::default(),
                sample: 0,
            });
            self.readers.len() - 1
        });
        let reader = &mut self.readers[index];
        if reader.sample != self.sample {
            reader.sample = self.sample;
            reader.words.clear();
            if reader.seen.len() > REMEMBERED {
                reader.seen.clear();
                reader.stem_of.clear();
                reader.stems.clear();
            }
            let references = pair.references.iter().map(String::as_str);
            for text in std::iter::once(pair.output).chain(references) {
                reader.push(text, &mut self.passes, &mut self.buffer);
                reader.words.end_text();
            }
        }
        index
    }
}

impl Reader {
    /// Appends a text's words.
    fn push(&mut self, text: &str, passes: &mut Passes, buffer: &mut String) {
        match self.tokenization {
            Tokenization::Alphanumeric { unicode, stem } => {
                buffer.clear();
                python::push_lower(text, buffer);
                for line in buffer.split('\n') {
                    if unicode && !line.is_ascii() {
                        let found = LETTERS_AND_DIGITS.find_iter(line);
                        found.for_each(|word| self.word(word.as_str().as_bytes(), stem));
                    } else {
                        let runs = line.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
                        runs.filter(|word| !word.is_empty())
                            .for_each(|word| self.word(word, stem));
                    }
                    self.words.end_line();
                }
            }
            Tokenization::Mteval { tokenizer, lowercase } => {
                let lower;
                let text = if lowercase {
                    buffer.clear();
                    python::push_lower(text, buffer);
                    lower = &*buffer;
                    lower
                } else {
                    text
                };
                match tokenizer {
                    Mteval::ThirteenA => self.spaced(passes.thirteen_a(text)),
                    Mteval::Intl => self.spaced(passes.international(text)),
                    Mteval::None => self.spaced(text),
                    Mteval::Char => {
                        for c in text.chars().filter(|c| !python::is_space(*c)) {
                            self.word(c.encode_utf8(&mut [0; 4]).as_bytes(), false);
                        }
                    }
                }
            }
            Tokenization::Tercom(settings) => {
                settings.text(text, passes, buffer);
                self.spaced(buffer);
            }
            Tokenization::Chrf { lowercase } => {
                let text = if lowercase {
                    buffer.clear();
                    python::push_lower(text, buffer);
                    &*buffer
                } else {
                    text
                };
                for part in python::split(text).flat_map(without_punctuation) {
                    self.word(part.as_bytes(), false);
                }
            }
            Tokenization::Squad => squad::words(text, buffer, &mut |word| self.word(word.as_bytes(), false)),
        }
    }

    fn spaced(&mut self, text: &str) {
        python::split(text).for_each(|word| self.word(word.as_bytes(), false));
    }

    fn word(&mut self, word: &[u8], stem: bool) {
        let (id, is_new) = self.seen.id(word);
        if is_new {
            // as rouge-score does: words of three letters and less are their own stems
            let stemmed = (stem && word.len() > 3 && word.is_ascii()).then(|| porter::stem(word));
            let (stem, _) = self.stems.id(stemmed.as_deref().unwrap_or(word));
            self.stem_of.push(stem);
        }
        self.words.ids.push(self.stem_of[id as usize]);
    }
}

/// Runs of letters and digits of any script; marks (accents, vowel signs) belong to their letter.
static LETTERS_AND_DIGITS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}\p{M}]+").expect("the pattern is constant"));

/// The places of words in a text: runs of letters and digits of any script.
pub(in crate::metrics) fn places(text: &str) -> Vec<Range<usize>> {
    LETTERS_AND_DIGITS.find_iter(text).map(|found| found.range()).collect()
}

/// A word and the punctuation at its end, or else at its start, apart.
fn without_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let ends = word
        .char_indices()
        .next_back()
        .filter(|(at, c)| *at > 0 && c.is_ascii_punctuation());
    let starts = word.starts_with(|c: char| c.is_ascii_punctuation()) && word.chars().nth(1).is_some();
    let (first, second) = match ends {
        Some((at, _)) => word.split_at(at),
        None if starts => word.split_at(1),
        None => (word, ""),
    };
    [first, second].into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_cut_from_one_end() {
        let cut = |word| without_punctuation(word).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cut("(hi)"), ["(hi", ")"]);
        assert_eq!(cut("(hi"), ["(", "hi"]);
        assert_eq!(cut("."), ["."]);
        assert_eq!(cut("año"), ["año"]);
    }

    #[test]
    fn lines_without_words_are_left_out_and_texts_kept_apart() {
        let mut cache = WordCache::default();
        cache.begin();
        let references = ["c\n".to_owned(), String::new()];
        let pair = Pair {
            output: "a b\n\n...\nc",
            references: &references,
        };
        let words = cache.of(
            Tokenization::Alphanumeric {
                unicode: false,
                stem: false,
            },
            pair,
        );
        assert_eq!(words.output(), [0, 1, 2]);
        assert_eq!(words.output_lines().collect::<Vec<_>>(), [&[0, 1][..], &[2]]);
        assert_eq!(words.reference_lines(0).collect::<Vec<_>>(), [&[2]]);
        assert_eq!(words.reference(1), [0; 0]);
        assert_eq!((words.references(), words.reference_lines(1).count()), (2, 0));
    }

    #[test]
    fn a_word_of_any_script_is_whole() {
        let words = |text: &str| {
            places(text)
                .into_iter()
                .map(|place| text[place].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(words("El niño, ¡mañana!"), ["El", "niño", "mañana"]);
        assert_eq!(words("nin\u{303}o हिन्दी"), ["nin\u{303}o", "हिन्दी"]);
    }
}
