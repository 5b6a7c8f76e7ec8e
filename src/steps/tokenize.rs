//! `tokenize`: a tokenizer, trained, loaded, or by its published name.

use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{rows, splits, text_of};
use crate::step::{
    ArtifactType, Context, Dataset, FilePath, Input, Interrupted, Key, KeyError, Kind, Problem, Ref, Step, parse_as,
    schema_of,
};
use crate::tokenizer::{Algorithm, SpecialTokens, Tokenizer, Vocabulary};

/// Makes a tokenizer: trains one (`algorithm` and `data`), loads one (`path`), or takes a published
/// vocabulary (`vocabulary`). Exactly one of the three.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokenize {
    /// Train on this dataset: name the training part (`dialogues.train`); without a part, all splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Ref<Dataset>>,
    /// How to train.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// For `bpe`: all tokens together (256 bytes, special tokens, merges).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 257, max = 1_000_000))]
    pub vocab_size: Option<usize>,
    /// The fields to train on (without this, every text field in row order).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub fields: Option<Vec<String>>,
    /// Special tokens by role. Without this: `{eos: "<|endoftext|>"}` for `bpe`, none for `char` and
    /// `byte`. With `path`, gives roles to tokens that are in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_tokens: Option<SpecialTokens>,
    /// Load this `tokenizer.json`; a `tokenizer_config.json` beside it is read too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
    /// Take this published vocabulary, whose end token is `<|endoftext|>` (`gpt2` is `r50k_base`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
}

/// The kind `tokenize`.
pub const KIND: Kind = Kind {
    name: "tokenize",
    about: "Trains a tokenizer, loads one, or takes a published vocabulary.",
    version: 1,
    output: ArtifactType::Tokenizer,
    example: "uses: tokenize\nwith: {data: dialogues.train, algorithm: bpe, vocab_size: 2048}",
    schema: schema_of::<Tokenize>,
    parse: parse_as::<Tokenize>,
};

impl Tokenize {
    fn special(&self, algorithm: Algorithm) -> SpecialTokens {
        self.special_tokens
            .clone()
            .unwrap_or_else(|| algorithm.default_special())
    }

    /// Settings that belong to another source than the one that is named.
    fn strays(&self) -> Vec<Problem> {
        let trains = self.algorithm.is_some();
        let given = [
            ("data", self.data.is_some(), trains, "is what `algorithm` trains on"),
            (
                "vocab_size",
                self.vocab_size.is_some(),
                trains,
                "is for `algorithm: bpe`",
            ),
            (
                "fields",
                self.fields.is_some(),
                trains,
                "is for training with `algorithm`",
            ),
            (
                "special_tokens",
                self.special_tokens.is_some(),
                trains || self.path.is_some(),
                "is for `algorithm` or `path`: a published vocabulary has its own",
            ),
        ];
        let strays = given.into_iter().filter(|(_, given, used, _)| *given && !used);
        strays.map(|(field, _, _, why)| Problem::at(field, why)).collect()
    }

    fn texts(&self, context: &Context, data: &Ref<Dataset>) -> anyhow::Result<Vec<String>> {
        let mut texts = Vec::new();
        for (name, folder) in splits(context.path(data))? {
            for (number, row) in (1..).zip(rows::read(&folder)?) {
                let text = text_of(&row, self.fields.as_deref());
                texts.push(text.map_err(|error| anyhow::anyhow!("row {number} of split `{name}` {error}"))?);
            }
        }
        Ok(texts)
    }
}

impl Step for Tokenize {
    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        let sources = [self.algorithm.is_some(), self.path.is_some(), self.vocabulary.is_some()];
        if sources.iter().filter(|given| **given).count() != 1 {
            let problem = Problem::at("", "needs exactly one of `algorithm`, `path` and `vocabulary`");
            return vec![problem.help("to train one, write `data`, `algorithm: bpe` and `vocab_size`")];
        }
        let mut problems = self.strays();
        if let Some(algorithm) = self.algorithm {
            if self.data.is_none() {
                problems.push(Problem::at("algorithm", "needs `data` to train on"));
            }
            let special = self.special(algorithm);
            match (algorithm.smallest(&special), self.vocab_size) {
                (Some(_), None) => problems.push(Problem::at("algorithm", "needs a `vocab_size`, for instance 2048")),
                (Some(smallest), Some(size)) if size < smallest => problems.push(Problem::at(
                    "vocab_size",
                    format!("{size} is too small: 256 bytes and the special tokens are {smallest}"),
                )),
                (None, Some(_)) => problems.push(Problem::at("vocab_size", "is only for `algorithm: bpe`")),
                _ => {}
            }
            if special.unk.is_some() && algorithm != Algorithm::Char {
                problems.push(Problem::at(
                    "special_tokens.unk",
                    "is only for `algorithm: char`: no byte is unknown",
                ));
            }
        }
        if let Some(path) = &self.path
            && !path.as_path().is_file()
        {
            let problem = Problem::at("path", format!("no such file: {}", path.as_path().display()));
            problems.push(problem.help("name the tokenizer.json itself"));
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            data,
            algorithm,
            vocab_size,
            fields,
            special_tokens,
            path,
            vocabulary,
        } = self;
        if let Some(data) = data {
            key.artifact("data", data);
        }
        key.set("algorithm", algorithm);
        key.set("vocab_size", vocab_size);
        key.set("fields", fields);
        match algorithm {
            Some(algorithm) => key.set("special_tokens", &self.special(*algorithm)),
            None => key.set("special_tokens", special_tokens),
        }
        key.set("vocabulary", vocabulary);
        if let Some(path) = path {
            key.file("path", path)?;
            let config = path.as_path().with_file_name("tokenizer_config.json");
            if config.is_file() {
                key.file("config", &config.into())?;
            } else {
                key.set("config", &Value::Null);
            }
        }
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let tokenizer = match (self.algorithm, &self.path, self.vocabulary) {
            (Some(algorithm), None, None) => {
                let Some(data) = &self.data else {
                    bail!("`algorithm` needs `data` to train on")
                };
                let texts = self.texts(context, data)?;
                if context.stopping() {
                    return Err(Interrupted.into());
                }
                algorithm.train(self.vocab_size, &self.special(algorithm), &texts)?
            }
            (None, Some(path), None) => {
                Tokenizer::open(path.as_path(), &self.special_tokens.clone().unwrap_or_default(), None)?
            }
            (None, None, Some(vocabulary)) => vocabulary.tokenizer()?,
            _ => bail!("needs exactly one of `algorithm`, `path` and `vocabulary`"),
        };
        tokenizer.save(&context.out)?;
        context.info(format!("{} tokens", tokenizer.vocab_size()));
        if let Some(size) = self.vocab_size.filter(|&size| size > tokenizer.vocab_size()) {
            context.warn(format!(
                "the data has no more pairs to merge: {} tokens instead of {size}",
                tokenizer.vocab_size()
            ));
        }
        Ok(())
    }
}
