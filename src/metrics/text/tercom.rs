//! The tokenizer of Tercom (Snover et al., 2006), with the choices that sacreBLEU 2.6 offers.

use serde::{Deserialize, Serialize};

use super::mteval::{Passes, unescape};
use super::python;

/// What Tercom does to text before words are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tercom {
    /// Separate punctuation from words, and undo XML escapes.
    pub normalized: bool,
    /// Remove punctuation.
    pub no_punct: bool,
    /// Treat Chinese and Japanese characters as words (with `normalized`), and their punctuation as
    /// punctuation (with `no_punct`).
    pub asian_support: bool,
    /// Keep capital letters.
    pub case_sensitive: bool,
}

impl Tercom {
    /// The text after it: words stand between white space. `buffer` is written over.
    pub(super) fn text(self, text: &str, passes: &mut Passes, buffer: &mut String) {
        buffer.clear();
        let text = python::strip_end(text);
        if self.case_sensitive {
            buffer.push_str(text);
        } else {
            python::push_lower(text, buffer);
        }
        if self.normalized && !buffer.is_empty() {
            let text = unescape(buffer.replace("\n-", "").replace('\n', " "));
            passes.load(&format!(" {text} "));
            passes.punctuation();
            // the text ends with a space, so that a possessive always has one after it
            let text = passes.text().replace("'s ", " 's ");
            passes.load(&text);
            passes.numbers();
            buffer.clear();
            buffer.push_str(passes.text());
            if self.asian_support {
                *buffer = buffer.chars().fold(String::new(), |mut apart, c| {
                    if is_asian(c) || is_asian_punctuation(c) {
                        apart.extend([' ', c, ' ']);
                    } else {
                        apart.push(c);
                    }
                    apart
                });
            }
        }
        if self.no_punct {
            buffer.retain(|c| !matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')'));
            if self.asian_support {
                buffer.retain(|c| !is_asian_punctuation(c));
            }
        }
    }
}

/// Characters that are words of their own. (sacreBLEU's patterns for runs of hiragana and katakana
/// can only match at the start of a text, where its own padding stands: they never do.)
fn is_asian(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{31c0}'..='\u{31ef}' | '\u{2e80}'..='\u{2eff}'
        | '\u{3300}'..='\u{33ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{3f22}')
}

fn is_asian_punctuation(c: char) -> bool {
    matches!(c,
        '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{ff61}'..='\u{ff65}'
        | '\u{30fb}' | '\u{ff0e}' | '\u{ff0c}' | '\u{ff1f}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff01}' | '\u{ff02}'
        | '\u{ff08}' | '\u{ff09}')
}
