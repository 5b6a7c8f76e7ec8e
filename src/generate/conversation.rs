//! A conversation with a model: what was said, the settings in force, and the next answer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Map, Value};

use super::speech::{Asking, Speech, Turn};
use super::watched::{Pieces, Watched};
use super::{Finish, GenerateError, Sampling, Writer, decode, end_tokens};
use crate::data::read::{Format, Unit};
use crate::data::{Row, rows};
use crate::models::ModelConfig;
use crate::prompt::{ChatTemplate, Template, few_shot};
use crate::seed::Seed;
use crate::tokenizer::Tokenizer;

/// New tokens of an answer, unless the context is small or something else is set.
const NEW_TOKENS: usize = 256;

/// What a conversation begins with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// The model's folder.
    pub model: PathBuf,
    /// The prompt template that messages go into.
    pub template: Option<PathBuf>,
    /// The field of it that they go into, where several are possible.
    pub field: Option<String>,
    /// Rows to draw examples from: a split's folder, or a file that `dataset` reads.
    pub examples: Option<PathBuf>,
}

/// A conversation with one model.
pub struct Conversation {
    writer: Writer,
    parameters: usize,
    tokenizer: Tokenizer,
    eos: Vec<u32>,
    speech: Speech,
    pool: Vec<Row>,
    system: Option<String>,
    shots: usize,
    history: bool,
    sampling: Sampling,
    seed: u64,
    /// Answers since the seed was set: each draws from a seed of its own.
    drawn: u64,
    turns: Vec<Turn>,
}

/// An answer and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the model wrote.
    pub text: String,
    /// Why it ended; `None` when it was stopped.
    pub finish: Option<Finish>,
    /// Tokens that the model read.
    pub prompt_tokens: usize,
    /// Tokens that it wrote.
    pub output_tokens: usize,
    /// Tokens of the context that are left after it: of an encoder, of what it reads.
    pub left: usize,
    /// Earlier turns that no longer fitted, and are forgotten.
    pub dropped_turns: usize,
    /// Examples that did not fit.
    pub dropped_examples: usize,
}

/// How a conversation goes, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By the model's own chat template.
    Chat,
    /// By a prompt template.
    Template,
    /// Text is continued.
    Plain,
}

impl Conversation {
    /// Loads a model and what belongs to it.
    ///
    /// # Errors
    /// What cannot be loaded; a template into which no message can go.
    pub fn open(opening: &Opening, device: &Device) -> Result<Self, GenerateError> {
        let folder = &opening.model;
        let writer = Writer::load(folder, device)?;
        let tokenizer = Tokenizer::load(folder)?;
        let eos = end_tokens(folder, &tokenizer)?;
        let asking = match &opening.template {
            Some(path) => Some(Asking::of(Template::load(path)?, opening.field.as_deref())?),
            None => None,
        };
        let speech = match (ChatTemplate::from_directory(folder)?, asking) {
            (Some(chat), asking) => Speech::Chat(Box::new(chat), asking.map(Box::new)),
            (None, Some(asking)) => Speech::Template(Box::new(asking)),
            (None, None) => Speech::Plain,
        };
        let pool = opening.examples.as_deref().map(pool).transpose()?.unwrap_or_default();
        let context = writer.config().context;
        let encodes = writer.config().decoder_start().is_some();
        let room = if encodes {
            context.saturating_sub(1)
        } else {
            context / 2
        };
        let sampling = Sampling {
            temperature: 0.7,
            max_new_tokens: NEW_TOKENS.min(room).max(1),
            ..Sampling::default()
        };
        let history = match speech {
            Speech::Chat(..) => true,
            Speech::Template(_) => false, // each message is a row
            Speech::Plain => !encodes,
        };
        Ok(Self {
            parameters: writer.parameters(),
            writer,
            tokenizer,
            eos,
            speech,
            pool,
            system: None,
            shots: 0,
            history,
            sampling,
            seed: 0,
            drawn: 0,
            turns: Vec::new(),
        })
    }

    /// How it goes.
    pub fn manner(&self) -> Manner {
        match self.speech {
            Speech::Chat(..) => Manner::Chat,
            Speech::Template(_) => Manner::Template,
            Speech::Plain => Manner::Plain,
        }
    }

    /// The field of the prompt template that messages go into.
    pub fn field(&self) -> Option<&str> {
        self.speech.asking().map(|asking| asking.field.as_str())
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        self.writer.config()
    }

    /// The number of its weights' elements.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Whether the model reads with an encoder.
    pub fn encodes(&self) -> bool {
        self.writer.config().decoder_start().is_some()
    }

    /// Rows that examples are drawn from.
    pub fn pool(&self) -> usize {
        self.pool.len()
    }

    /// Forgets what was said.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.drawn = 0;
    }

    /// Every setting with its value.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = sampling_settings(&self.sampling);
        settings.insert("system".into(), self.system.clone().map_or(Value::Null, Value::from));
        settings.insert("shots".into(), self.shots.into());
        settings.insert("history".into(), self.history.into());
        settings.insert("seed".into(), self.seed.into());
        settings
    }

    /// Changes a setting: one of GenerationConfig's, or `system`, `shots`, `history`, `seed`. Gives its
    /// value.
    ///
    /// # Errors
    /// A setting that there is not, or a value that it does not take.
    pub fn set(&mut self, name: &str, text: &str) -> Result<Value, GenerateError> {
        let text = text.trim();
        let wrong = |what: &str| Err(GenerateError::Setting(format!("`{name}` takes {what}, not `{text}`")));
        match name {
            "system" => self.system = (!text.is_empty()).then(|| text.to_owned()),
            "history" => match text {
                "on" | "true" => self.history = true,
                "off" | "false" => {
                    self.history = false;
                    self.turns.clear();
                }
                _ => return wrong("`on` or `off`"),
            },
            "seed" => match text.parse() {
                Ok(seed) => (self.seed, self.drawn) = (seed, 0),
                Err(_) => return wrong("a whole number"),
            },
            "shots" => match text.parse::<usize>() {
                Ok(0) => self.shots = 0,
                Ok(shots) => self.set_shots(shots)?,
                Err(_) => return wrong("a number of examples"),
            },
            _ => self.set_sampling(name, text)?,
        }
        Ok(self.settings().remove(name).unwrap_or_default())
    }

    fn set_shots(&mut self, shots: usize) -> Result<(), GenerateError> {
        let fact = match self.speech.asking() {
            None => "examples need a prompt template, which says what of a row is asked and answered: --template FILE",
            Some(asking) if !asking.template.has_answer() => "the prompt template has no `answer` block to show",
            Some(_) if self.pool.is_empty() => "there are no rows to draw examples from: --examples FILE",
            Some(_) if self.pool.len() < shots => {
                let rows = self.pool.len();
                return Err(GenerateError::Setting(format!(
                    "there are only {rows} rows to draw examples from"
                )));
            }
            Some(_) => {
                self.shots = shots;
                return Ok(());
            }
        };
        Err(GenerateError::Setting(fact.into()))
    }

    fn set_sampling(&mut self, name: &str, text: &str) -> Result<(), GenerateError> {
        let refused = |fact: String| Err(GenerateError::Setting(fact));
        let mut settings = sampling_settings(&self.sampling);
        let Some(value) = settings.get_mut(name) else {
            let names: Vec<String> = self.settings().keys().cloned().collect();
            let near = names.iter().min_by_key(|known| strsim::levenshtein(known, name));
            let near = near.filter(|known| strsim::levenshtein(known, name) <= 1 + name.len() / 4);
            return refused(match near {
                Some(near) => format!("there is no setting `{name}`: did you mean `{near}`?"),
                None => format!("there is no setting `{name}`; there are {}", names.join(", ")),
            });
        };
        let is_number = value.is_number();
        // a list may be written as one text, and a text without quotes
        let plain = || Value::from(text.replace("\\n", "\n"));
        *value = match (value.is_array(), serde_json::from_str(text)) {
            (true, Ok(list @ Value::Array(_))) => list,
            (true, _) if text.is_empty() => Value::Array(Vec::new()),
            (true, Ok(one)) => Value::Array(vec![one]),
            (true, Err(_)) => Value::Array(vec![plain()]),
            (false, Ok(value)) => value,
            (false, Err(_)) => plain(),
        };
        if is_number && !value.is_number() {
            return refused(format!("`{name}` takes a number, not `{text}`"));
        }
        let sampling: Sampling = match serde_json::from_value(Value::Object(settings)) {
            Ok(sampling) => sampling,
            Err(error) => return refused(format!("`{name}`: {error}")),
        };
        if let Some(problem) = sampling.problems().into_iter().next() {
            return refused(format!("`{name}` {}", problem.message));
        }
        let context = self.writer.config().context;
        if sampling.max_new_tokens >= context {
            return refused(format!("`max_new_tokens` must be below the context, {context}"));
        }
        self.sampling = sampling;
        Ok(())
    }

    /// The model's answer to a message. `tell` hears it in pieces as it is made, and ends it with
    /// `Break`: what was written until then counts.
    ///
    /// # Errors
    /// A message that does not fit by itself; what ends generation. Nothing of it is remembered then.
    pub fn answer(
        &mut self,
        message: &str,
        tell: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, GenerateError> {
        let seed = Seed::root(self.seed).child("chat").child(self.drawn);
        let Fitted {
            prompt,
            dropped_turns,
            dropped_examples,
        } = self.fitted(message, seed.child("examples"))?;
        let new = self.sampling.max_new_tokens;
        let (cached, before) = self.writer.start(&prompt, new)?;
        let (tokenizer, stops) = (&self.tokenizer, &self.sampling.stop);
        let mut pieces = Pieces::default();
        let mut told = |output: &[u32]| {
            let text = tokenizer.decode(output);
            match pieces.next(&text, stops) {
                "" => tell(""),
                piece => tell(piece),
            }
        };
        let mut watched = Watched::new(cached, &mut told);
        let text = |tokens: &[u32]| tokenizer.decode(tokens);
        let outcome = decode(&mut watched, &before, &self.sampling, &self.eos, &text, seed);
        let (text, finish, tokens) = match outcome {
            Ok(output) => (output.text, Some(output.finish), output.tokens),
            Err(GenerateError::Stopped) => {
                let tokens = watched.output();
                let text = tokenizer.decode(&tokens);
                (text.trim_end_matches('\u{fffd}').to_owned(), None, tokens)
            }
            Err(error) => return Err(error),
        };
        let rest = pieces.rest(&text);
        if finish.is_some() && !rest.is_empty() {
            // the end is not put off: what is left of the text is told whatever is answered
            let _ = tell(rest);
        }
        self.drawn += 1;
        if self.history {
            self.turns.drain(..dropped_turns);
            self.turns.push(Turn {
                message: message.to_owned(),
                answer: text.clone(),
            });
        }
        let taken = if self.encodes() {
            prompt.len()
        } else {
            prompt.len() + tokens.len()
        };
        Ok(Answer {
            text,
            finish,
            prompt_tokens: prompt.len(),
            output_tokens: tokens.len(),
            left: self.writer.config().context.saturating_sub(taken),
            dropped_turns,
            dropped_examples,
        })
    }

    /// The prompt for a message, without what does not fit: the oldest turns go first, then the
    /// examples that were drawn last.
    fn fitted(&self, message: &str, seed: Seed) -> Result<Fitted, GenerateError> {
        let context = self.writer.config().context;
        let reserved = if self.encodes() {
            0
        } else {
            self.sampling.max_new_tokens
        };
        let mut turns = self.turns.as_slice();
        let mut examples: Vec<&Row> = Vec::new();
        if let Some(asking) = self.speech.asking().filter(|_| self.shots > 0) {
            let item = asking.row(message);
            let chosen = few_shot::choose(&asking.template, &self.pool, &item, self.shots, seed)?;
            examples = chosen.into_iter().map(|at| &self.pool[at]).collect();
        }
        loop {
            let system = self.system.as_deref();
            let prompt = self.encode(&self.speech.text(system, &examples, turns, message)?)?;
            if prompt.len() + reserved <= context {
                return Ok(Fitted {
                    prompt,
                    dropped_turns: self.turns.len() - turns.len(),
                    dropped_examples: self.shots - examples.len(),
                });
            }
            if let [_, rest @ ..] = turns {
                turns = rest;
            } else if examples.pop().is_none() {
                return Err(GenerateError::TooLong {
                    prompt: prompt.len(),
                    new: reserved,
                    context,
                    help: "write less, or lower max_new_tokens",
                });
            }
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        let mut tokens = Vec::new();
        if self.manner() == Manner::Chat {
            tokens.extend(self.tokenizer.encode(text)?); // the template wrote what stands around
        } else {
            tokens.extend(self.tokenizer.prefix());
            tokens.extend(self.tokenizer.encode(text)?);
            if self.encodes() {
                tokens.extend(self.tokenizer.suffix());
            }
        }
        if tokens.is_empty() {
            let first = self.tokenizer.bos().or(self.tokenizer.eos());
            tokens.push(first.ok_or(GenerateError::EmptyPrompt)?);
        }
        Ok(tokens)
    }
}

/// A prompt that fits.
struct Fitted {
    prompt: Vec<u32>,
    dropped_turns: usize,
    dropped_examples: usize,
}

/// The settings of sampling that one answer has.
fn sampling_settings(sampling: &Sampling) -> Map<String, Value> {
    let Ok(Value::Object(mut settings)) = serde_json::to_value(sampling) else {
        unreachable!("settings are an object")
    };
    for other in [
        "num_beams",
        "length_penalty",
        "early_stopping",
        "num_return_sequences",
        "logprobs",
    ] {
        settings.remove(other);
    }
    settings
}

/// Rows of a split's folder or of a file.
fn pool(path: &Path) -> Result<Vec<Row>, GenerateError> {
    if path.is_dir() {
        return Ok(rows::read(path)?);
    }
    Ok(Format::of(path)?.read(path, Unit::Line)?)
}
