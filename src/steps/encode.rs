//! `encode`: a dataset into tokens.

use std::ops::Range;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::tokens::TokenWriter;
use crate::data::{Row, rows, splits, text_of};
use crate::prompt::Template;
use crate::step::{
    ArtifactType, Context, Dataset, FilePath, Input, Interrupted, Key, KeyError, Kind, Problem, Ref, Step,
    TokenizerOrModel, parse_as, schema_of,
};
use crate::tokenizer::{Counts, Tokenizer, TokenizerError};

/// Encodes a dataset with a tokenizer. Steps that train or measure on tokens add this step by
/// themselves; it is cached by itself, so two models over the same data encode it once.
///
/// Each row becomes one document: its text, or with a template the prompt and the answer, then the
/// tokenizer's end token if it declares one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encode {
    /// The dataset; all its splits are encoded. Of a part (`dialogues.test`) the one split `all` is made.
    pub data: Ref<Dataset>,
    /// The tokenizer, or a model for the one inside.
    pub tokenizer: Ref<TokenizerOrModel>,
    /// The fields whose texts are joined by a newline (without this, every text field in row order).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub fields: Option<Vec<String>>,
    /// A prompt template with an `answer` block: documents are prompt and answer, and only the answer's
    /// tokens and the end token are targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<FilePath>,
}

/// The kind `encode`.
pub const KIND: Kind = Kind {
    name: "encode",
    about: "Encodes a dataset with a tokenizer (added by itself before training and perplexity).",
    version: 2, // with statistics
    output: ArtifactType::Tokens,
    example: "uses: encode\nwith: {data: dialogues, tokenizer: tokenizer}",
    schema: schema_of::<Encode>,
    parse: parse_as::<Encode>,
};

/// Rows that are encoded between two looks at whether to stop, by all threads; no more are in memory.
const BATCH: usize = 4096;
/// Bytes of text, after which a batch has no more rows.
const BATCH_BYTES: usize = 8 << 20;

impl Step for Encode {
    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(path) = &self.template {
            if self.fields.is_some() {
                problems.push(Problem::at(
                    "fields",
                    "is not used together with `template`, which names its fields",
                ));
            }
            match Template::load(path.as_path()) {
                Err(error) => problems.push(Problem::at("template", error.to_string())),
                Ok(template) if !template.has_answer() => problems.push(
                    Problem::at("template", "has no `answer` block, so there is nothing to learn")
                        .help("write {% block answer %}..{% endblock %} after the prompt"),
                ),
                Ok(_) => {}
            }
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            data,
            tokenizer,
            fields,
            template,
        } = self;
        key.artifact("data", data);
        key.artifact("tokenizer", tokenizer);
        key.set("fields", fields);
        match template {
            Some(template) => key.file("template", template)?,
            None => key.set("template", &Value::Null),
        }
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let tokenizer = Tokenizer::load(context.path(&self.tokenizer))?;
        let template = self
            .template
            .as_ref()
            .map(|path| Template::load(path.as_path()))
            .transpose()?;
        for (name, folder) in splits(context.path(&self.data))? {
            let out = context.out.join(&name);
            let all = rows::count(&folder);
            let mut rows = rows::each(&folder)?;
            let mut writer = TokenWriter::create(&out, tokenizer.vocab_size(), template.is_some())?;
            let mut counts = Counts::default();
            let mut done = 0;
            loop {
                let mut texts = Vec::new();
                let mut size = 0;
                while texts.len() < BATCH && size < BATCH_BYTES {
                    let Some(row) = rows.next() else { break };
                    let text = self.text(&row?, template.as_ref());
                    size += text.as_ref().map_or(0, |(read, learned)| read.len() + learned.len());
                    texts.push(text);
                }
                if texts.is_empty() {
                    break;
                } else if context.stopping() {
                    return Err(Interrupted.into());
                }
                let count = texts.len();
                for (document, targets) in documents(&tokenizer, texts, &mut counts)
                    .map_err(|(at, error)| error.context(format!("row {} of split `{name}`", done + at + 1)))?
                {
                    writer.push(&document, targets)?;
                }
                done += count;
                context.progress(done as u64, all.unwrap_or(0).max(done as u64), "rows", &name);
            }
            let (documents, tokens) = writer.finish()?;
            let statistics = counts.statistics(&tokenizer);
            statistics.write(&out)?;
            context.info(format!(
                "{name}: {documents} documents, {tokens} tokens; {:.2} bytes a token, {:.2} tokens a word",
                statistics.bytes_per_token(),
                statistics.tokens_per_word()
            ));
        }
        Ok(())
    }
}

/// What a row's document is made of: a text that is only read, and one that is learned.
type Texts = anyhow::Result<(String, String)>;

impl Encode {
    fn text(&self, row: &Row, template: Option<&Template>) -> Texts {
        match template {
            None => Ok((String::new(), text_of(row, self.fields.as_deref())?)),
            Some(template) => {
                let answer = template
                    .answer(row)?
                    .context("the template has no answer for this row")?;
                Ok((template.with_examples(&[], row)?, answer))
            }
        }
    }
}

/// The tokens of each row and the positions among them that are targets, or the first row (by its
/// position) that has none, and why.
fn documents(
    tokenizer: &Tokenizer,
    texts: Vec<Texts>,
    counts: &mut Counts,
) -> Result<Vec<(Vec<u32>, Range<usize>)>, (usize, anyhow::Error)> {
    let mut parts = Vec::with_capacity(2 * texts.len());
    for (at, text) in texts.into_iter().enumerate() {
        let (read, learned) = text.map_err(|error| (at, error))?;
        parts.extend([read, learned]);
    }
    let failed = |(at, error): (usize, TokenizerError)| (at / 2, error.into());
    let tokens = tokenizer.encode_batch(&parts).map_err(failed)?;
    for (text, tokens) in parts.iter().zip(&tokens) {
        counts.add(text, tokens);
    }
    let documents = tokens.chunks_exact(2).map(|pair| {
        let mut document = tokenizer.prefix().to_vec();
        document.extend(&pair[0]);
        let start = document.len();
        document.extend(&pair[1]);
        document.extend(tokenizer.eos());
        let end = document.len();
        (document, start..end)
    });
    Ok(documents.collect())
}
