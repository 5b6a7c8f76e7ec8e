//! How byte-level tokenizers cut a text into words before byte-pair encoding: the patterns of GPT-2 and
//! tiktoken.
//!
//! Their look-ahead at white space is done by hand, so that an engine of linear time can run the rest; and what
//! is plain ASCII is cut by hand as a whole, several times faster than by any engine. Tests hold both to
//! tiktoken and to Hugging Face's library.

use std::sync::LazyLock;

use regex::Regex;

/// A way to cut words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// That of GPT-2's encoder.py: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    Gpt2,
    /// That of GPT-4.
    Cl100k,
    /// That of GPT-4o.
    O200k,
}

static GPT2: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"));

static CL100K: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+")
});

static O200K: LazyLock<Regex> = LazyLock::new(|| {
    const UPPER: &str = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}";
    const LOWER: &str = r"\p{Ll}\p{Lm}\p{Lo}\p{M}";
    const ENDING: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
    pattern(&format!(
        r"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{ENDING}|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{ENDING}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s+"
    ))
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

impl Cut {
    /// The words of a text in order; together they are the text.
    pub(super) fn words(self, text: &str) -> impl Iterator<Item = &str> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == text.len() {
                return None;
            }
            let start = at;
            at = self.ascii(text.as_bytes(), at).or_else(|| self.any(text, at))?;
            Some(&text[start..at])
        })
    }

    /// Where the word ends that begins at a place.
    fn any(self, text: &str, at: usize) -> Option<usize> {
        let pattern = match self {
            Self::Gpt2 => &GPT2,
            Self::Cl100k => &CL100K,
            Self::O200k => &O200K,
        };
        let found = pattern.find_at(text, at)?;
        let word = found.as_str();
        if !word.chars().all(char::is_whitespace) {
            return Some(found.end());
        }
        let newline = word.rfind(['\r', '\n']).map(|last| at + last + 1);
        let (last, _) = word.char_indices().next_back()?;
        Some(self.spaces(at, at + last, found.end(), newline, text.len()))
    }

    /// Where the word ends that begins a run of white space: the place of the run's last character, its end, the
    /// place after its last line end, and the end of the text are given.
    fn spaces(self, at: usize, last: usize, end: usize, newline: Option<usize>, length: usize) -> usize {
        match (self, newline) {
            (Self::O200k, Some(newline)) => newline,
            _ if end == length => end,
            (Self::Cl100k, Some(newline)) => newline,
            // the last one belongs to the word that follows, or stands by itself
            _ if last > at => last,
            _ => end,
        }
    }

    /// The same for a word that ASCII decides; `None` if another character stands in it or after it.
    fn ascii(self, text: &[u8], at: usize) -> Option<usize> {
        let look = |place: usize| match text.get(place) {
            None => Some(Class::End),
            Some(byte) => CLASSES.get(usize::from(*byte)).copied(),
        };
        let run = |mut place: usize, class: Class| loop {
            match look(place) {
                Some(found) if found == class => place += 1,
                Some(_) => return Some(place),
                None => return None,
            }
        };
        let letters = |place: usize| match self {
            Self::Gpt2 | Self::Cl100k => {
                let mut place = place;
                while matches!(look(place)?, Class::Upper | Class::Lower) {
                    place += 1;
                }
                Some(place)
            }
            // capitals, then small letters, then an ending
            Self::O200k => {
                let end = run(run(place, Class::Upper)?, Class::Lower)?;
                Some(ending(text, end, true)?.unwrap_or(end))
            }
        };
        let first = text[at];
        let class = look(at)?;
        if first == b'\''
            && self != Self::O200k
            && let Some(end) = ending(text, at, self == Self::Cl100k)?
        {
            return Some(end);
        }
        let letter = |class: Class| matches!(class, Class::Upper | Class::Lower);
        // a space, or with the newer patterns any character but a line end, goes with the letters after it
        let takes = match self {
            Self::Gpt2 => first == b' ',
            Self::Cl100k | Self::O200k => !matches!(first, b'\r' | b'\n') && class != Class::Digit,
        };
        if letter(class) {
            return letters(at);
        } else if takes && letter(look(at + 1)?) {
            return letters(at + 1);
        }
        let start = if first == b' ' { at + 1 } else { at };
        match (self, look(start)?) {
            (Self::Gpt2, Class::Digit) => run(start, Class::Digit),
            (_, Class::Digit) if start == at => {
                let mut end = at + 1;
                while end < at + 3 && look(end)? == Class::Digit {
                    end += 1;
                }
                Some(end)
            }
            (_, Class::Other) => {
                let mut end = run(start, Class::Other)?;
                let more: &[u8] = match self {
                    Self::Gpt2 => b"",
                    Self::Cl100k => b"\r\n",
                    Self::O200k => b"\r\n/",
                };
                while text.get(end).is_some_and(|byte| more.contains(byte)) {
                    end += 1;
                }
                Some(end)
            }
            _ => {
                let end = run(at, Class::Space)?;
                let newline = text[at..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n'));
                Some(self.spaces(at, end - 1, end, newline.map(|last| at + last + 1), text.len()))
            }
        }
    }
}

/// Where `'s`, `'ll`, .. ends, if one begins at a place; `None` if that takes more than ASCII to tell.
#[expect(clippy::option_option, reason = "whether it is known, and whether there is one")]
fn ending(text: &[u8], at: usize, any_case: bool) -> Option<Option<usize>> {
    if text.get(at) != Some(&b'\'') {
        return Some(None);
    }
    let letter = |place: usize| {
        let byte = text.get(place).copied().unwrap_or(b' ');
        if any_case { byte.to_ascii_lowercase() } else { byte }
    };
    match (letter(at + 1), letter(at + 2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(Some(at + 2)),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(Some(at + 3)),
        (0x80.., _) | (b'r' | b'v' | b'l', 0x80..) if any_case => None, // the long s is an s
        _ => Some(None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
    Space,
    Other,
    /// After the text.
    End,
}

static CLASSES: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' => Class::Upper,
            b'a'..=b'z' => Class::Lower,
            b'0'..=b'9' => Class::Digit,
            b' ' | b'\t'..=b'\r' => Class::Space,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// By hand as by the pattern, which tests of tokenizers hold to the references.
        #[test]
        fn ascii_is_cut_as_the_pattern_cuts(text in "([ a-zA-Z0-9'.,/\r\n\t\\-é\u{17f}\u{a0}１]|'s|'LL|  )*") {
            for cut in [Cut::Gpt2, Cut::Cl100k, Cut::O200k] {
                for (at, _) in text.char_indices() {
                    if let Some(end) = cut.ascii(text.as_bytes(), at) {
                        prop_assert_eq!(Some(end), cut.any(&text, at), "{:?} at {}", cut, at);
                    }
                }
                prop_assert_eq!(cut.words(&text).collect::<String>(), &*text);
            }
        }
    }
}
