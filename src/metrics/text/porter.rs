//! Porter's stemmer (1980) with the changes that NLTK makes by default, which rouge-score uses.
//! Words are lower-case ASCII letters and digits.

/// Words that the rules get wrong, with their stems.
const IRREGULAR: &[(&[u8], &[u8])] = &[
    (b"sky", b"sky"),
    (b"skies", b"sky"),
    (b"dying", b"die"),
    (b"lying", b"lie"),
    (b"tying", b"tie"),
    (b"news", b"news"),
    (b"innings", b"inning"),
    (b"inning", b"inning"),
    (b"outings", b"outing"),
    (b"outing", b"outing"),
    (b"cannings", b"canning"),
    (b"canning", b"canning"),
    (b"howe", b"howe"),
    (b"proceed", b"proceed"),
    (b"exceed", b"exceed"),
    (b"succeed", b"succeed"),
];

/// The stem of a word.
pub(super) fn stem(word: &[u8]) -> Vec<u8> {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return stem.to_vec();
    }
    let mut stem = Stem(word.to_vec());
    if word.len() > 2 {
        stem.plural();
        stem.past_and_gerund();
        stem.final_y();
        stem.double_suffixes();
        stem.suffixes();
        stem.residual_suffixes();
        stem.final_e();
        stem.final_ll();
    }
    stem.0
}

/// What a rule asks of what is left without the suffix.
#[derive(Clone, Copy)]
enum When {
    /// Porter's measure is above 0.
    Positive,
    /// Porter's measure is above 1.
    AboveOne,
    /// The same, and it ends in *s* or *t*.
    AboveOneAfterSt,
}

struct Stem(Vec<u8>);

impl Stem {
    fn ends(&self, suffix: &[u8]) -> bool {
        self.0.ends_with(suffix)
    }

    /// What is left without the last `suffix` letters.
    fn without(&self, suffix: usize) -> &[u8] {
        &self.0[..self.0.len() - suffix]
    }

    fn replace(&mut self, suffix: usize, by: &[u8]) {
        self.0.truncate(self.0.len() - suffix);
        self.0.extend_from_slice(by);
    }

    /// Applies the first rule whose suffix the word has, if what is left allows it; no other then.
    fn first_of(&mut self, rules: &[(&[u8], &[u8])], when: When) {
        let Some((suffix, by)) = rules.iter().find(|(suffix, _)| self.ends(suffix)) else {
            return;
        };
        let left = self.without(suffix.len());
        let allowed = match when {
            When::Positive => measure(left) > 0,
            When::AboveOne => measure(left) > 1,
            When::AboveOneAfterSt => measure(left) > 1 && matches!(left.last(), Some(b's' | b't')),
        };
        if allowed {
            self.replace(suffix.len(), by);
        }
    }

    /// Step 1a.
    fn plural(&mut self) {
        if self.ends(b"ies") && self.0.len() == 4 {
            self.replace(3, b"ie"); // `dies`, but not `flies`
        } else if self.ends(b"sses") || self.ends(b"ies") {
            self.replace(2, b"");
        } else if self.ends(b"s") && !self.ends(b"ss") {
            self.replace(1, b"");
        }
    }

    /// Step 1b.
    fn past_and_gerund(&mut self) {
        if self.ends(b"ied") {
            let by: &[u8] = if self.0.len() == 4 { b"ie" } else { b"i" };
            return self.replace(3, by);
        }
        if self.ends(b"eed") {
            if measure(self.without(3)) > 0 {
                self.replace(1, b"");
            }
            return;
        }
        let suffix = if self.ends(b"ed") && has_vowel(self.without(2)) {
            2
        } else if self.ends(b"ing") && has_vowel(self.without(3)) {
            3
        } else {
            return;
        };
        self.replace(suffix, b"");
        if self.ends(b"at") || self.ends(b"bl") || self.ends(b"iz") {
            self.0.push(b'e');
        } else if ends_double_consonant(&self.0) {
            if !matches!(self.0.last(), Some(b'l' | b's' | b'z')) {
                self.replace(1, b"");
            }
        } else if measure(&self.0) == 1 && ends_cvc(&self.0) {
            self.0.push(b'e');
        }
    }

    /// Step 1c.
    fn final_y(&mut self) {
        if self.ends(b"y") {
            let left = self.without(1);
            if left.len() > 1 && is_consonant(left, left.len() - 1) {
                self.replace(1, b"i");
            }
        }
    }

    /// Step 2.
    fn double_suffixes(&mut self) {
        if self.ends(b"alli") && measure(self.without(4)) > 0 {
            self.replace(2, b"");
            return self.double_suffixes();
        }
        if self.ends(b"logi") {
            // the `l` counts with what is left, so that `geology` and `archaeology` go alike
            if measure(self.without(3)) > 0 {
                self.replace(1, b"");
            }
            return;
        }
        self.first_of(
            &[
                (b"ational", b"ate"),
                (b"tional", b"tion"),
                (b"enci", b"ence"),
                (b"anci", b"ance"),
                (b"izer", b"ize"),
                (b"bli", b"ble"),
                (b"alli", b"al"),
                (b"entli", b"ent"),
                (b"eli", b"e"),
                (b"ousli", b"ous"),
                (b"ization", b"ize"),
                (b"ation", b"ate"),
                (b"ator", b"ate"),
                (b"alism", b"al"),
                (b"iveness", b"ive"),
                (b"fulness", b"ful"),
                (b"ousness", b"ous"),
                (b"aliti", b"al"),
                (b"iviti", b"ive"),
                (b"biliti", b"ble"),
                (b"fulli", b"ful"),
            ],
            When::Positive,
        );
    }

    /// Step 3.
    fn suffixes(&mut self) {
        self.first_of(
            &[
                (b"icate", b"ic"),
                (b"ative", b""),
                (b"alize", b"al"),
                (b"iciti", b"ic"),
                (b"ical", b"ic"),
                (b"ful", b""),
                (b"ness", b""),
            ],
            When::Positive,
        );
    }

    /// Step 4.
    fn residual_suffixes(&mut self) {
        if self.ends(b"ion") {
            return self.first_of(&[(b"ion", b"")], When::AboveOneAfterSt);
        }
        self.first_of(
            &[
                (b"al", b""),
                (b"ance", b""),
                (b"ence", b""),
                (b"er", b""),
                (b"ic", b""),
                (b"able", b""),
                (b"ible", b""),
                (b"ant", b""),
                (b"ement", b""),
                (b"ment", b""),
                (b"ent", b""),
                (b"ou", b""),
                (b"ism", b""),
                (b"ate", b""),
                (b"iti", b""),
                (b"ous", b""),
                (b"ive", b""),
                (b"ize", b""),
            ],
            When::AboveOne,
        );
    }

    /// Step 5a.
    fn final_e(&mut self) {
        if self.ends(b"e") {
            let left = self.without(1);
            let measure = measure(left);
            if measure > 1 || (measure == 1 && !ends_cvc(left)) {
                self.replace(1, b"");
            }
        }
    }

    /// Step 5b.
    fn final_ll(&mut self) {
        if self.ends(b"ll") && measure(self.without(1)) > 1 {
            self.replace(1, b"");
        }
    }
}

/// Whether each letter is a consonant: all but *a e i o u*, and but *y* after a consonant.
fn consonants(word: &[u8]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |before, letter| {
        *before = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !*before,
            _ => true,
        };
        Some(*before)
    })
}

fn is_consonant(word: &[u8], at: usize) -> bool {
    consonants(&word[..=at]).last().unwrap_or(false)
}

/// Porter's m: how often a vowel is followed by a consonant.
fn measure(word: &[u8]) -> usize {
    let mut vowel = false;
    let mut found = 0;
    for consonant in consonants(word) {
        found += usize::from(vowel && consonant);
        vowel = !consonant;
    }
    found
}

fn has_vowel(word: &[u8]) -> bool {
    consonants(word).any(|consonant| !consonant)
}

fn ends_double_consonant(word: &[u8]) -> bool {
    matches!(word, [.., one, other] if one == other) && is_consonant(word, word.len() - 1)
}

/// Consonant, vowel, consonant, the last not *w*, *x*, *y*; or a whole word of vowel and consonant.
fn ends_cvc(word: &[u8]) -> bool {
    let at = word.len();
    if at == 2 {
        return !is_consonant(word, 0) && is_consonant(word, 1);
    }
    at >= 3
        && is_consonant(word, at - 3)
        && !is_consonant(word, at - 2)
        && is_consonant(word, at - 1)
        && !matches!(word[at - 1], b'w' | b'x' | b'y')
}
