//! Training a tokenizer on texts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SpecialTokens, Tokenizer, TokenizerError, bpe, char, unigram, wordpiece};

/// How a vocabulary is made from texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Byte-level byte-pair encoding as in GPT-2: every text can be encoded.
    Bpe,
    /// The most probable cut into pieces, as in T5: text is normalized (NFKC, and white space of any kind and
    /// length is one space), and characters that are not in the data are unknown.
    Unigram,
    /// The longest pieces that fit, as in BERT: words and punctuation are cut first, and a word with a
    /// character that is not in the data is unknown. Spaces are not kept.
    Wordpiece,
    /// One token a character of the texts, in the order of their code points.
    Char,
    /// One token a byte: token 65 is the byte 65. Every text can be encoded, and none is trained on.
    Byte,
}

impl Algorithm {
    /// The special tokens of a tokenizer whose settings declare none.
    pub fn default_special(self) -> SpecialTokens {
        match self {
            Self::Bpe => SpecialTokens::end_of_text(),
            Self::Unigram => SpecialTokens::t5(),
            Self::Wordpiece => SpecialTokens::bert(),
            Self::Char | Self::Byte => SpecialTokens::default(),
        }
    }

    /// The smallest vocabulary that can be asked for, if one can be. (How many characters the texts have is
    /// not known before they are read.)
    pub fn smallest(self, special: &SpecialTokens, sentinels: usize) -> Option<usize> {
        match self {
            Self::Bpe => Some(256 + special.tokens().len()),
            Self::Unigram => Some(1 + special.tokens().len() + sentinels),
            Self::Wordpiece => Some(1 + special.tokens().len()),
            Self::Char | Self::Byte => None,
        }
    }

    /// How many `<extra_id_N>` there are when the settings do not say: T5's hundred for [`Self::Unigram`].
    pub fn default_sentinels(self) -> usize {
        if self == Self::Unigram { 100 } else { 0 }
    }

    /// Whether some text is not in the vocabulary, so that an unknown token has a use: it must be declared for
    /// [`Self::Unigram`] and [`Self::Wordpiece`], and can be for [`Self::Char`].
    pub fn can_be_unknown(self) -> bool {
        !matches!(self, Self::Bpe | Self::Byte)
    }

    /// Trains on texts. The result depends neither on threads nor on the order of the texts.
    ///
    /// # Errors
    /// A vocabulary size that is missing, out of place or too small; an unknown token that is missing or out
    /// of place; texts without a character.
    pub fn train(
        self,
        vocab_size: Option<usize>,
        special: &SpecialTokens,
        texts: &[String],
    ) -> Result<Tokenizer, TokenizerError> {
        let training = Training {
            algorithm: self,
            vocab_size,
            sentinels: self.default_sentinels(),
            lowercase: false,
        };
        training.train(special, texts)
    }
}

/// How a tokenizer is trained.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// All tokens together, special ones and sentinels too; for those algorithms that can be given one. There
    /// are fewer when the texts have no more to merge.
    pub vocab_size: Option<usize>,
    /// How many `<extra_id_N>` there are at the end, for [`Algorithm::Unigram`].
    pub sentinels: usize,
    /// Whether case and accents are dropped, for [`Algorithm::Wordpiece`].
    pub lowercase: bool,
}

impl Training {
    /// Trains on texts. The result depends neither on threads nor on the order of the texts.
    ///
    /// Special tokens come first in the vocabulary (in the order bos, eos, unk, pad, cls, sep, mask; for
    /// unigram pad, eos, unk as T5), but for bytes last, from 256 on.
    ///
    /// # Errors
    /// As [`Algorithm::train`].
    pub fn train(&self, special: &SpecialTokens, texts: &[String]) -> Result<Tokenizer, TokenizerError> {
        let Self {
            algorithm,
            vocab_size,
            sentinels,
            lowercase,
        } = *self;
        let unfit = |message: String| Err(TokenizerError::Unfit(message));
        if special.unk.is_some() && !algorithm.can_be_unknown() {
            return unfit("an unknown token is not for `bpe` and `byte`: bytes are never unknown".into());
        }
        let json = match (algorithm, vocab_size, algorithm.smallest(special, sentinels)) {
            (_, Some(size), Some(smallest)) if size < smallest => {
                return unfit(format!(
                    "a vocabulary of {size} is too small: there are at least {smallest} tokens"
                ));
            }
            (Algorithm::Bpe, Some(size), _) => bpe::train(size, special, texts)?,
            (Algorithm::Unigram, Some(size), _) => unigram::train(size, sentinels, special, texts)?,
            (Algorithm::Wordpiece, Some(size), _) => wordpiece::train(size, special, lowercase, texts)?,
            (Algorithm::Char, None, _) => char::train(special, texts)?,
            (Algorithm::Byte, None, _) => char::bytes(special),
            (_, None, _) => return unfit("the algorithm needs a `vocab_size`".into()),
            (Algorithm::Char | Algorithm::Byte, Some(_), _) => {
                return unfit("`vocab_size` is not for `char` and `byte`: there are as many as there are".into());
            }
        };
        let mut config = super::format::config();
        special.declare(&mut config);
        Tokenizer::assemble(&json, config)
    }
}
