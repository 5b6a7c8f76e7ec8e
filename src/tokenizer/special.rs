//! Special tokens: declared, never guessed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Special tokens by their role, each as its text. What is not declared does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialTokens {
    /// Ends a document or an answer: `<|endoftext|>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub eos: Option<String>,
    /// Begins a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub bos: Option<String>,
    /// Fills a batch's shorter sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub pad: Option<String>,
    /// Stands for what the vocabulary does not have (not for `bpe` and `byte`: bytes are never unknown).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub unk: Option<String>,
    /// Begins what BERT reads: `[CLS]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cls: Option<String>,
    /// Ends a part of what BERT reads: `[SEP]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub sep: Option<String>,
    /// Stands for what is to be guessed: `[MASK]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub mask: Option<String>,
}

impl SpecialTokens {
    /// Only an end token, with GPT-2's text for it.
    pub fn end_of_text() -> Self {
        Self {
            eos: Some("<|endoftext|>".into()),
            ..Self::default()
        }
    }

    /// Those of T5: `<pad>`, `</s>`, `<unk>`.
    pub(super) fn t5() -> Self {
        Self {
            eos: Some("</s>".into()),
            pad: Some("<pad>".into()),
            unk: Some("<unk>".into()),
            ..Self::default()
        }
    }

    /// Those of BERT, whose `[SEP]` ends a document as well.
    pub(super) fn bert() -> Self {
        Self {
            eos: Some("[SEP]".into()),
            pad: Some("[PAD]".into()),
            unk: Some("[UNK]".into()),
            cls: Some("[CLS]".into()),
            sep: Some("[SEP]".into()),
            mask: Some("[MASK]".into()),
            ..Self::default()
        }
    }

    /// The roles by the names that `tokenizer_config.json` has for them, and their tokens.
    pub(super) fn roles(&self) -> Vec<(&'static str, &str)> {
        let Self {
            eos,
            bos,
            pad,
            unk,
            cls,
            sep,
            mask,
        } = self;
        let all = [
            ("bos_token", bos),
            ("eos_token", eos),
            ("unk_token", unk),
            ("pad_token", pad),
            ("cls_token", cls),
            ("sep_token", sep),
            ("mask_token", mask),
        ];
        all.into_iter()
            .filter_map(|(role, token)| token.as_deref().map(|token| (role, token)))
            .collect()
    }

    /// The tokens, each once, in the order of the roles.
    pub fn tokens(&self) -> Vec<&str> {
        let mut tokens = Vec::new();
        for (_, token) in self.roles() {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// Writes the roles into a `tokenizer_config.json`.
    pub(super) fn declare(&self, config: &mut Map<String, Value>) {
        for (role, token) in self.roles() {
            config.insert(role.to_owned(), Value::String(token.to_owned()));
        }
    }
}

/// The token that a `tokenizer_config.json` names for a role: a string, or an object with `content`.
pub(super) fn declared<'a>(config: &'a Map<String, Value>, role: &str) -> Option<&'a str> {
    match config.get(role)? {
        Value::String(token) => Some(token),
        Value::Object(token) => token.get("content")?.as_str(),
        _ => None,
    }
}
