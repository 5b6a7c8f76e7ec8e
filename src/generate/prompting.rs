//! From a row to its prompt, its tokens and its references.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GenerateError;
use crate::data::Row;
use crate::prompt::Template;
use crate::prompt::few_shot;
pub use crate::prompt::few_shot::Overflow;
use crate::seed::Seed;
use crate::step::{Dataset, FilePath, Input, Key, KeyError, Problem, Ref};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// How a row becomes a prompt.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompting {
    /// The prompt template (minijinja), filled with the row's fields. Its `prompt` block is what the
    /// model is given; its `answer` block, rendered and trimmed, is the reference, and what an example
    /// shows.
    pub template: FilePath,
    /// How many examples come before the question.
    #[serde(default)]
    pub shots: usize,
    /// The rows that examples are drawn from, by seed and for each row anew. A row is never among its
    /// own examples, nor is one with an equal prompt.
    pub examples: Option<Ref<Dataset>>,
    /// What happens when prompt and new tokens do not fit the model's context.
    #[serde(default)]
    pub overflow: Overflow,
    /// The row's fields that hold right answers, as text or lists of text, in place of the template's
    /// `answer` block.
    pub references: Option<Vec<String>>,
}

impl Prompting {
    /// What settings cannot say alone.
    pub fn problems(&self, inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        match Template::load(self.template.as_path()) {
            Ok(template) if self.shots > 0 && !template.has_answer() => {
                let fact = "examples need answers, and the template has no `answer` block";
                let help = "add {% block answer %}..{% endblock %} to the template, or set shots: 0";
                problems.push(Problem::at("prompt.template", fact).help(help));
            }
            Ok(_) => {}
            Err(error) => problems.push(Problem::at("prompt.template", error.to_string())),
        }
        match &self.examples {
            None if self.shots > 0 => {
                let fact = format!("{} shots need a dataset to draw examples from", self.shots);
                problems.push(Problem::at("prompt.shots", fact).help("add examples: DATASET.train"));
            }
            Some(examples) => problems.extend(whole("prompt.examples", examples, inputs)),
            None => {}
        }
        problems
    }

    /// Everything that prompts depend on.
    ///
    /// # Errors
    /// When the template cannot be read.
    pub fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            template,
            shots,
            examples,
            overflow,
            references,
        } = self;
        key.file("template", template)?;
        key.set("shots", shots);
        if let Some(examples) = examples
            && *shots > 0
        {
            key.artifact("examples", examples); // without shots nothing is drawn from them
        }
        key.set("overflow", overflow);
        key.set("references", references);
        Ok(())
    }
}

/// A reference to a whole dataset that has several parts, where one is needed.
pub fn whole(field: &str, reference: &Ref<Dataset>, inputs: &[Input]) -> Option<Problem> {
    let input = inputs.iter().find(|input| input.text == reference.text())?;
    if input.part.is_some() || input.parts.len() < 2 {
        return None;
    }
    let fact = format!(
        "`{}` has the parts {}: one is needed",
        input.text,
        input.parts.join(", ")
    );
    Some(Problem::at(field, fact).help(format!("write {}.{}", input.text, input.parts[input.parts.len() - 1])))
}

/// A row's prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompted {
    /// The whole prompt.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// The examples that fitted.
    pub shots_used: usize,
    /// The right answers.
    pub references: Vec<String>,
}

/// Makes the prompts of rows.
pub struct Prompter<'a> {
    /// The settings.
    pub settings: &'a Prompting,
    /// The template.
    pub template: &'a Template,
    /// The rows that examples are drawn from.
    pub pool: &'a [Row],
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The model's context, in tokens.
    pub context: usize,
    /// Tokens of it that are kept for the output: none where a decoder has a context of its own.
    pub reserved: usize,
    /// Whether an encoder reads the prompt, which then ends as the tokenizer's template says.
    pub encoder: bool,
}

impl Prompter<'_> {
    /// A row's prompt. Examples are drawn from `seed`.
    ///
    /// # Errors
    /// A row that the template does not fit or that has no reference where one is named; a prompt
    /// that does not fit the context, as the overflow policy says.
    pub fn prompt(&self, row: &Row, seed: Seed) -> Result<Prompted, GenerateError> {
        let chosen = few_shot::choose(self.template, self.pool, row, self.settings.shots, seed)?;
        let examples: Vec<&Row> = chosen.into_iter().map(|index| &self.pool[index]).collect();
        let budget = self.context.saturating_sub(self.reserved);
        let count = |text: &str| {
            self.encode(text)
                .map(|tokens| tokens.len())
                .map_err(|error| error.to_string())
        };
        let overflow = self.settings.overflow;
        let fitted = few_shot::fit(self.template, &examples, row, "the prompt", budget, &count, overflow)?;
        let mut tokens = self.encode(&fitted.text)?;
        if tokens.is_empty() {
            // as Hugging Face's generate does without input
            let first = self.tokenizer.bos().or(self.tokenizer.eos());
            tokens.push(first.ok_or(GenerateError::EmptyPrompt)?);
        }
        if tokens.len() + self.reserved > self.context {
            return Err(GenerateError::TooLong {
                prompt: tokens.len(),
                new: self.reserved,
                context: self.context,
                help: "shorten the template or the row, lower max_new_tokens, or train with a larger context",
            });
        }
        Ok(Prompted {
            text: fitted.text,
            tokens,
            shots_used: fitted.shots_used,
            references: self.references(row)?,
        })
    }

    /// The tokens that the model is given: what its tokenizer puts before every sequence, then the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = self.tokenizer.prefix().to_vec();
        tokens.extend(self.tokenizer.encode(text)?);
        if self.encoder {
            tokens.extend(self.tokenizer.suffix());
        }
        Ok(tokens)
    }

    fn references(&self, row: &Row) -> Result<Vec<String>, GenerateError> {
        let Some(fields) = &self.settings.references else {
            return Ok(self.template.reference(row)?.into_iter().collect());
        };
        let mut references = Vec::new();
        for field in fields {
            let texts: Option<Vec<&str>> = match row.get(field) {
                Some(Value::String(text)) => Some(vec![text]),
                Some(Value::Array(list)) => list.iter().map(Value::as_str).collect(),
                _ => None,
            };
            let texts = texts.ok_or_else(|| GenerateError::Reference {
                field: field.clone(),
                fields: row.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
            references.extend(texts.into_iter().map(|text| text.trim().to_owned()));
        }
        Ok(references)
    }
}
