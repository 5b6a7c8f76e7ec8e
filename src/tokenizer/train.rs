//! Training a tokenizer on texts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SpecialTokens, Tokenizer, TokenizerError, bpe, char};

/// How a vocabulary is made from texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Byte-level byte-pair encoding as in GPT-2: every text can be encoded.
    Bpe,
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
            Self::Char | Self::Byte => SpecialTokens::default(),
        }
    }

    /// The smallest vocabulary that can be asked for, if one can be.
    pub fn smallest(self, special: &SpecialTokens) -> Option<usize> {
        match self {
            Self::Bpe => Some(256 + special.tokens().len()),
            Self::Char | Self::Byte => None,
        }
    }

    /// Trains on texts. The result depends neither on threads nor on the order of the texts.
    ///
    /// `vocab_size` counts all tokens (256 bytes, special tokens and merges) and is only for
    /// [`Self::Bpe`], which has fewer when the texts have no more pairs to merge. Special tokens come
    /// first in the vocabulary (in the order bos, eos, unk, pad), but for bytes last, from 256 on.
    ///
    /// # Errors
    /// A vocabulary size that is missing, out of place or too small; texts without a character.
    pub fn train(
        self,
        vocab_size: Option<usize>,
        special: &SpecialTokens,
        texts: &[String],
    ) -> Result<Tokenizer, TokenizerError> {
        if special.unk.is_some() && self != Self::Char {
            return Err(TokenizerError::Unfit(
                "an unknown token is only for `char`: bytes are never unknown".into(),
            ));
        }
        let json = match (self, vocab_size, self.smallest(special)) {
            (Self::Bpe, Some(size), Some(smallest)) if size >= smallest => bpe::train(size, special, texts)?,
            (Self::Bpe, Some(size), Some(smallest)) => {
                return Err(TokenizerError::Unfit(format!(
                    "a vocabulary of {size} is too small: 256 bytes and the special tokens are {smallest}"
                )));
            }
            (Self::Bpe, ..) => return Err(TokenizerError::Unfit("`bpe` needs a `vocab_size`".into())),
            (Self::Char, None, _) => char::train(special, texts)?,
            (Self::Byte, None, _) => char::bytes(special),
            (Self::Char | Self::Byte, Some(_), _) => {
                return Err(TokenizerError::Unfit(
                    "`vocab_size` is only for `bpe`: characters and bytes are as many as there are".into(),
                ));
            }
        };
        let mut config = super::format::config();
        special.declare(&mut config);
        Tokenizer::assemble(&json, config)
    }
}
